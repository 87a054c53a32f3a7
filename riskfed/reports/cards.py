"""Pictures of what the banks measured together: score distribution, calibration by grade, banks alone, information values, points.

They need an evaluation, a scorecard, or banks that show their own figures. `riskfed.reports.plots` draws what every release allows, and
`riskfed.reports.pictures` picks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from riskfed.errors import ConfigurationError
from riskfed.evaluation.record import Evaluation, Grade
from riskfed.protocols import events
from riskfed.reports.figures import BLUE, GREEN, GREY, ORANGE, legend, picture, whole_numbers
from riskfed.reports.plots import wilson_interval
from riskfed.scorecard.card import CardVariable, Scorecard

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_BARS = 8
_PURPLE, _SKY, _YELLOW = "#CC79A7", "#56B4E9", "#E69F00"
_BANK_COLOURS = (BLUE, ORANGE, GREEN, _PURPLE, _SKY, _YELLOW)
ALONE, FEDERATED = "alone_logloss", "federated_logloss"
"""What a bank measures on its own held-out loans after each tree: its own model, and the federation's."""


def score_distribution(evaluation: Evaluation) -> Figure:
    """Shares of the goods and of the defaults in each grade, from the riskiest to the safest.

    Raises:
        ConfigurationError: there are no grades.
    """
    goods, bads = _counts(evaluation)
    figure, axes = picture("grade, riskiest first", "share of its kind, %")
    places = np.arange(1, len(goods) + 1)
    axes.bar(places - 0.2, goods / goods.sum() * 100, 0.4, color=BLUE, label="repaid")
    axes.bar(places + 0.2, bads / bads.sum() * 100, 0.4, color=ORANGE, hatch="//", edgecolor="white", label="default")
    axes.set_xticks(places)
    axes.grid(visible=False, axis="x")
    legend(axes, "upper center")
    axes.set_ylim(0, axes.get_ylim()[1] * 1.18)
    return figure


def grade_calibration(evaluation: Evaluation) -> Figure:
    """Observed default rate of each grade against its mean PD, with Wilson's 95 % interval. Raises as `score_distribution`."""
    goods, bads = _counts(evaluation)
    pds = np.array([grade.mean_pd for grade in evaluation.grades])
    rate = bads / (goods + bads)
    low, high = wilson_interval(bads, goods + bads)
    top = float(max(pds.max(), high.max())) * 1.05
    figure, axes = picture("mean PD of the grade", "default rate")
    axes.plot([0, top], [0, top], color=GREY, lw=2, ls="--", label="agreement")
    whiskers = np.stack([np.maximum(rate - low, 0), np.maximum(high - rate, 0)])
    axes.errorbar(pds, rate, whiskers, color=BLUE, fmt="o", ms=8, lw=2.5, capsize=4, label="observed, 95 %")
    fit = evaluation.calibration
    axes.plot([], [], " ", label=f"slope {fit.slope.value:.2f}")
    axes.plot([], [], " ", label=f"intercept {fit.intercept.value:+.2f}")
    axes.set(xlim=(0, top), ylim=(0, top))
    legend(axes, "lower right")
    return figure


def federated_against_alone(history: Sequence[events.Event]) -> Figure:
    """Log-loss on a bank's own held-out loans after each tree: the federation's model against the bank's own; one colour a bank.

    Only banks that show their own figures are there.

    Raises:
        ConfigurationError: no bank shows its own.
    """
    curves = alone_curves(history)
    if not curves:
        raise ConfigurationError(
            "no bank shows its own learning curve; the job's compare_alone and a bank's policy allow it"
        )
    figure, axes = picture("trees", "log-loss, own loans")
    for (bank, points), colour in zip(curves.items(), _BANK_COLOURS, strict=False):
        trees, alone, federated = (np.array(column) for column in zip(*points, strict=True))
        axes.plot(trees, federated, color=colour, lw=3, label=_short(bank))
        axes.plot(trees, alone, color=colour, lw=2.2, ls=(0, (2, 1.2)))
    axes.plot([], [], color=GREY, lw=3, label="federated")
    axes.plot([], [], color=GREY, lw=2.2, ls=(0, (2, 1.2)), label="alone")
    whole_numbers(axes)
    legend(axes, "upper right")
    return figure


def alone_curves(history: Sequence[events.Event]) -> dict[str, list[tuple[int, float, float]]]:
    """Bank -> (tree, log-loss alone, log-loss of the federation's model), for as many banks as there are colours."""
    curves: dict[str, list[tuple[int, float, float]]] = {}
    tree = 0
    for event in history:
        match event:
            case events.ProgressMade(step=step):
                tree = step
            case events.BankMetrics(bank=bank, metrics=figures) if ALONE in figures and FEDERATED in figures:
                curves.setdefault(bank, []).append((tree, figures[ALONE], figures[FEDERATED]))
    return dict(sorted(curves.items())[: len(_BANK_COLOURS)])


def information_values(card: Scorecard) -> Figure:
    """Bars of the features' information values, the greatest first; those that are not in the model are pale.

    Raises:
        ConfigurationError: no feature was looked at.
    """
    if not card.candidates:
        raise ConfigurationError("the scorecard lists no candidates")
    ordered = sorted(card.candidates, key=lambda candidate: (-candidate.iv, candidate.feature))
    shown = ordered[:_MOST_BARS]
    more = "" if len(ordered) == len(shown) else f", first {len(shown)} of {len(ordered)}"
    figure, axes = picture(f"information value{more}", "")
    places = np.arange(len(shown))[::-1]
    colours = [BLUE if candidate.left_out == "" else "#B9CFDD" for candidate in shown]
    axes.barh(places, [candidate.iv for candidate in shown], color=colours, height=0.7)
    _name_bars(axes, places, [candidate.feature for candidate in shown])
    if any(candidate.left_out for candidate in shown):
        axes.barh([0], [0], color="#B9CFDD", label="not in the model")
        legend(axes, "lower right")
    return figure


def points_trend(variable: CardVariable) -> Figure:
    """Points of a variable's bins, in the order of the bins; bars to the left take points away."""
    shown = variable.bins
    figure, axes = picture(f"points: {_short(variable.feature, 22)}", "")
    places = np.arange(len(shown))[::-1]
    points = np.array([row.points for row in shown])
    axes.barh(places, points, color=np.where(points < 0, ORANGE, BLUE).tolist(), height=0.7)
    axes.axvline(0, color=GREY, lw=1.5)
    _name_bars(axes, places, [row.label for row in shown])
    axes.margins(x=0.2)
    whole_numbers(axes)
    for place, value in zip(places, points.tolist(), strict=True):
        axes.annotate(
            f" {value:+d} " if value else " 0 ",
            (value, place),
            va="center",
            ha="right" if value < 0 else "left",
            size=min(13, 120 / len(shown)),
            color="#333333",
        )
    return figure


def _name_bars(axes: Axes, places: np.ndarray, names: Sequence[str]) -> None:
    axes.set_yticks(places, [_short(name) for name in names], size=min(14, 130 / max(len(names), 1)))
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")


def _counts(evaluation: Evaluation) -> tuple[np.ndarray, np.ndarray]:
    """(k,) goods and (k,) defaults of the grades."""
    grades: tuple[Grade, ...] = evaluation.grades
    if not grades:
        raise ConfigurationError("the evaluation has no grades")
    return np.array([g.goods for g in grades], dtype=float), np.array([g.bads for g in grades], dtype=float)


def _short(name: str, length: int = 20) -> str:
    return name if len(name) <= length else f"{name[: length - 1]}…"
