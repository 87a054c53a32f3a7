"""The report's pictures, as inline SVG from pooled counts.

Cells and bands are merged ones of a minimum count: a curve through their edges is exact at the edges and unknown between.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate

import numpy as np
from markupsafe import Markup

from riskfed.evaluation.record import ScoreCell
from riskfed.reports.figures import BLUE, GREY, ORANGE
from riskfed.reports.plots import wilson_interval
from riskfed.reports.validation_report.svg import Axis, Plot, axis
from riskfed.reports.validation_report.text_format import count, decimal, percent
from riskfed.scorecard.points import ScoreScale

_LIGHT = "#9CCBE6"
"""Blue of bars that carry something darker on top."""
_CERTAIN = 1e-12
"""PDs nearer than this to 0 or 1 have no finite points; the scale's ends cut them off."""


def share_axis(title: str) -> Axis:
    """From 0 to 100 %."""
    return Axis(title, 0.0, 1.0, lambda share: percent(share, 0))


def curve(
    title: str, x: Axis, y: Axis, xs: Sequence[float], ys: Sequence[float], *, chance: bool = False, key: str = ""
) -> Markup:
    """One curve; with the diagonal of a model that knows nothing, where `chance`."""
    plot = Plot(title, x, y)
    plot.line(xs, ys, BLUE, key)
    if chance:
        plot.line([0, 1], [0, 1], GREY, "no model", "5 4")
    return plot.svg()


def roc(cells: Sequence[ScoreCell], auc: float) -> Markup:
    """Share of defaults against share of goods among the loans of highest PD."""
    refused, caught = _shares_from_riskiest(cells)
    x, y = share_axis("share of good loans with a worse score"), share_axis("share of defaults caught")
    return curve("ROC curve", x, y, refused, caught, chance=True, key=f"model, AUC {auc:.4f}")


def score_distributions(cells: Sequence[ScoreCell], scale: ScoreScale, ks: float, ks_points: int) -> Markup:
    """Cumulative shares of goods and defaults by rising points, with KS where the distance is greatest."""
    good, bad = _shares_from_riskiest(cells)
    upper = np.clip([cell.upper for cell in _riskiest_first(cells)], _CERTAIN, 1 - _CERTAIN)
    exact = scale.offset - scale.factor * np.log(upper / (1 - upper))
    points = [float(value) for value in np.clip(exact, scale.minimum, scale.maximum)]
    # A cell's upper PD is its lowest score; it ends where the next one begins, and the safest at the best score it could have.
    edges = [*points, points[-1] + (points[-1] - points[-2] if len(points) > 1 else 1.0)]
    plot = Plot("Score distribution of goods and defaults", _span("points up to", edges), share_axis("share of loans"))
    plot.line(edges, bad, ORANGE, "default", "7 3")
    plot.line(edges, good, BLUE, "repaid")
    at = min(max(float(ks_points), edges[0]), edges[-1])
    plot.line([at, at], [float(np.interp(at, edges, good)), float(np.interp(at, edges, bad))], GREY, f"KS {ks:.4f}")
    return plot.svg()


def paired_bars(
    title: str,
    names: Sequence[str],
    first: tuple[str, Sequence[float]],
    second: tuple[str, Sequence[float]],
    x_title: str,
) -> Markup:
    """Two bars for each category, as shares of two populations."""
    plot = Plot(title, names, axis("share of loans", [*first[1], *second[1]], lambda share: percent(share, 0)), x_title)
    for number, (one, other) in enumerate(zip(first[1], second[1], strict=True)):
        plot.bar(number - 0.38, number - 0.02, one, BLUE)
        plot.bar(number + 0.02, number + 0.38, other, ORANGE)
    plot.key(first[0], BLUE)
    plot.key(second[0], ORANGE)
    return plot.svg()


def rates(
    title: str,
    names: Sequence[str],
    bads: Sequence[int],
    loans: Sequence[int],
    predicted: Sequence[float] | None,
    x_title: str,
) -> Markup:
    """Observed default rate of each category with its 95 % interval (Wilson), and the mean PD as a diamond."""
    low, high = _intervals(bads, loans)
    top = [*high, *(predicted or ())]
    plot = Plot(title, names, axis("default rate", top, _rate_ticks(max(top, default=1.0))), x_title)
    for number, (bad, all_) in enumerate(zip(bads, loans, strict=True)):
        if all_:
            plot.bar(number - 0.32, number + 0.32, bad / all_, _LIGHT)
            plot.whisker(number, low[number], high[number])
        if predicted is not None:
            plot.diamond(number, predicted[number], ORANGE)
    plot.key("observed", _LIGHT)
    plot.key("95 % interval", "#333333", "whisker")
    if predicted is not None:
        plot.key("mean PD", ORANGE, "diamond")
    return plot.svg()


def volumes(title: str, names: Sequence[str], loans: Sequence[int], x_title: str) -> Markup:
    """How many loans each category has."""
    plot = Plot(title, names, axis("loans", loans, count), x_title)
    for number, all_ in enumerate(loans):
        plot.bar(number - 0.32, number + 0.32, all_, BLUE)
    return plot.svg()


def calibration(mean_pds: Sequence[float], bads: Sequence[int], loans: Sequence[int]) -> Markup:
    """Observed default rate against mean PD, one point for each grade, with its 95 % interval (Wilson)."""
    low, high = _intervals(bads, loans)
    top = max([*high, *mean_pds], default=1.0) * 1.05
    written = _rate_ticks(top)
    plot = Plot("Calibration", Axis("mean PD", 0, top, written), Axis("observed default rate", 0, top, written))
    plot.line([0, top], [0, top], GREY, "agreement", "5 4")
    for x, bad, all_, least, most in zip(mean_pds, bads, loans, low, high, strict=True):
        plot.whisker(x, least, most, BLUE)
        plot.diamond(x, bad / all_ if all_ else 0.0, BLUE)
    plot.key("grade", BLUE, "diamond")
    plot.key("95 % interval", BLUE, "whisker")
    return plot.svg()


def cell_bar(value: float, largest: float, *, signed: bool = False) -> Markup:
    """A bar for a table's cell; `signed` ones begin in the middle, orange to the left and blue to the right."""
    width, middle = 110, 55.0 if signed else 0.0
    length = min(abs(value) / largest, 1.0) * (width - middle) if largest else 0.0
    left = middle - length if value < 0 else middle
    bar = f'<rect x="{left:.1f}" y="2" width="{length:.1f}" height="10" fill="{ORANGE if value < 0 else BLUE}"/>'
    base = f'<path d="M{middle:.0f} 0v14" stroke="{GREY}"/>'
    return Markup(f'<svg class="bar" viewBox="0 0 {width} 14" aria-hidden="true">{bar}{base}</svg>')  # noqa: S704  numbers


def cell_rate(observed: float, predicted: float | None, largest: float) -> Markup:
    """A default rate for a table's cell: a bar as long as what was observed, and an upright at what was predicted."""
    width = 110
    length = min(observed / largest, 1.0) * width if largest else 0.0
    tick = ""
    if predicted is not None and largest:
        at = min(predicted / largest, 1.0) * (width - 3)
        tick = f'<rect x="{at:.1f}" y="0" width="3" height="14" fill="{ORANGE}"/>'
    bar = f'<rect x="0" y="2" width="{length:.1f}" height="10" fill="{_LIGHT}"/>'
    return Markup(f'<svg class="bar" viewBox="0 0 {width} 14" aria-hidden="true">{bar}{tick}</svg>')  # noqa: S704  numbers


def _riskiest_first(cells: Sequence[ScoreCell]) -> list[ScoreCell]:
    return sorted(cells, key=lambda cell: -cell.upper)


def _shares_from_riskiest(cells: Sequence[ScoreCell]) -> tuple[list[float], list[float]]:
    """Cumulative shares of goods and of bads, from 0 to 1, one more than there are cells."""
    ordered = _riskiest_first(cells)
    goods, bads = sum(cell.goods for cell in ordered), sum(cell.bads for cell in ordered)
    good = [total / max(goods, 1) for total in accumulate((cell.goods for cell in ordered), initial=0)]
    bad = [total / max(bads, 1) for total in accumulate((cell.bads for cell in ordered), initial=0)]
    return good, bad


def _span(title: str, values: Sequence[float]) -> Axis:
    return Axis(title, min(values), max(*values, min(values) + 1), "{:.0f}".format)


def _intervals(bads: Sequence[int], loans: Sequence[int]) -> tuple[list[float], list[float]]:
    trials = np.maximum(np.array(loans, dtype=np.float64), 1)
    low, high = wilson_interval(np.array(bads, dtype=np.float64), trials)
    return [float(value) for value in low], [float(value) for value in high]


def _rate_ticks(top: float) -> Callable[[float], str]:
    return lambda rate: f"{decimal(rate * 100, 0 if top > 0.06 else 1)} %"
