"""Pictures of a finished run, drawn from what the banks released together and from the traffic that the server saw.

The cells of scores are merged ones of a minimum count, so a curve through their edges is exact at the edges and unknown between.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from riskfed.errors import ConfigurationError
from riskfed.protocols import events
from riskfed.protocols.release import ModelRelease
from riskfed.reports.figures import BLUE, GREEN, GREY, ORANGE, legend, picture, whole_numbers
from riskfed.trees.booster_json import parse_booster

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BARS = 12
_NAMED_BARS = 8
_NORMAL_95 = 1.959963984540054


def roc_curve(release: ModelRelease) -> Figure:
    """Share of defaults against share of goods among the loans of highest PD.

    The curve joins the cells' edges with straight lines. The AUC beside it is the released one, which is exact.

    Raises:
        ConfigurationError: nothing was held out, or only goods or only defaults.
    """
    _, goods, bads = _cells(release)
    caught = np.concatenate([[0.0], np.cumsum(bads[::-1]) / bads.sum()])
    refused = np.concatenate([[0.0], np.cumsum(goods[::-1]) / goods.sum()])
    figure, axes = picture("share of good loans refused", "share of defaults")
    auc = release.metrics.get("auc")
    axes.plot(refused, caught, color=BLUE, lw=3, label="model" if auc is None else f"AUC {auc:.3f}")
    axes.plot([0, 1], [0, 1], color=GREY, lw=2, ls="--", label="coin")
    axes.set(xlim=(0, 1), ylim=(0, 1.005))
    legend(axes, "lower right")
    return figure


def ks_curve(release: ModelRelease) -> Figure:
    """Cumulative shares of goods and defaults by PD; KS is their largest distance. Raises as `roc_curve`.

    Cumulative, because cells of unequal width would need a density, whose height depends on where the cells happen to end.
    """
    upper, goods, bads = _cells(release)
    good_share, bad_share = (np.concatenate([[0.0], np.cumsum(n) / n.sum()]) for n in (goods, bads))
    edges = np.concatenate([[0.0], upper])
    figure, axes = picture("PD up to", "share of loans")
    axes.plot(edges, good_share, color=BLUE, lw=3, label="repaid")
    axes.plot(edges, bad_share, color=ORANGE, lw=3, ls="--", label="default")
    at = int(np.argmax(np.abs(good_share - bad_share)))
    ks = release.metrics.get("ks", float(abs(good_share[at] - bad_share[at])))
    axes.plot([edges[at]] * 2, [bad_share[at], good_share[at]], color=GREY, lw=2, label=f"KS {ks:.3f}")
    axes.set(xlim=(0, edges[-1]), ylim=(0, 1.005))
    legend(axes, "lower right")
    return figure


def calibration(release: ModelRelease) -> Figure:
    """Observed default rate of each cell over the range of its PDs. Raises as `roc_curve`.

    A cell's mean PD is not released; it lies between the cell's edges. So a cell is a box, as wide as its PDs and as high as the 95 %
    interval of its default rate (Wilson 1927), and agrees with the model where the diagonal meets the box.
    """
    upper, goods, bads = _grouped(*_cells(release), groups=_BARS)
    lower = np.concatenate([[0.0], upper[:-1]])
    low, high = wilson_interval(bads, goods + bads)
    figure, axes = picture("PD of the model", "default rate")
    top = float(max(upper.max(), high.max()))
    axes.plot([0, top], [0, top], color=GREY, lw=2, ls="--", label="agreement")
    axes.bar(lower, high - low, upper - lower, low, align="edge", color=BLUE, alpha=0.25, label="95 % interval")
    axes.hlines(bads / (goods + bads), lower, upper, color=BLUE, lw=3.5, label="observed")
    axes.set(xlim=(0, top), ylim=(0, top * 1.02))
    legend(axes, "upper left")
    return figure


def learning_curve(release: ModelRelease, metric: str = "logloss") -> Figure:
    """A pooled held-out figure after each tree; the dotted line marks the best tree.

    Raises:
        ConfigurationError: `metric` was not measured.
    """
    points = [(tree, entry[metric]) for tree, entry in enumerate(release.history, 1) if metric in entry]
    if not points:
        raise ConfigurationError(f"the release has no {metric} by tree; hold out loans with validation_fraction")
    trees, values = (np.array(series) for series in zip(*points, strict=True))
    names = {"logloss": "log-loss, held out", "auc": "AUC, held out", "brier": "Brier score, held out"}
    figure, axes = picture("trees", names.get(metric, metric))
    axes.plot(trees, values, color=BLUE, lw=3, marker="o" if len(trees) < 3 else None)
    best = trees[np.argmax(values) if metric in ("auc", "ks") else np.argmin(values)]
    axes.axvline(best, color=ORANGE, lw=2, ls=":", label=f"best: tree {best}")
    whole_numbers(axes)
    legend(axes, "best")
    return figure


def feature_gains(release: ModelRelease) -> dict[str, float]:
    """Total loss reduction of the splits on each feature, one-hot columns together; features without a split are left out.

    By column this is XGBoost's ``total_gain``.
    """
    feature_of = [feature.name for feature in release.schema.features for _ in feature.columns]
    gains: dict[str, float] = {}
    for tree in parse_booster(release.model).trees:
        for node in np.flatnonzero(~tree.is_leaf):
            name = feature_of[tree.split_indices[node]]
            gains[name] = gains.get(name, 0.0) + float(tree.loss_changes[node])
    return dict(sorted(gains.items(), key=lambda item: (-item[1], item[0])))


def feature_gain(release: ModelRelease) -> Figure:
    """Bars of the features that reduced the loss most, as shares of the whole reduction."""
    gains = feature_gains(release)
    whole = sum(gains.values()) or 1.0
    shown = list(gains.items())[:_NAMED_BARS]
    whole_list = len(gains) == len(shown)
    figure, axes = picture(
        "share of gain" + ("" if whole_list else f", first {len(shown)} of {len(gains)} features"), ""
    )
    places = np.arange(len(shown))[::-1]
    axes.barh(places, [gain / whole * 100 for _, gain in shown], color=BLUE, height=0.7)
    axes.set_yticks(places, [_short(name) for name, _ in shown])
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_formatter("{x:g} %")
    return figure


def bytes_per_round(history: Sequence[events.Event]) -> Figure:
    """Bytes of all banks together in each round, by direction, as the server sees them.

    Raises:
        ConfigurationError: no rounds.
    """
    rounds = [event for event in history if isinstance(event, events.RoundFinished)]
    if not rounds:
        raise ConfigurationError("the history holds no rounds")
    figure, axes = picture("round", "bytes, all banks")
    series = [("banks to server", BLUE, "o", "received"), ("server to banks", ORANGE, "x", "sent")]
    for label, colour, marker, direction in series:
        sizes = [sum(getattr(event, direction).values()) for event in rounds]
        axes.scatter([event.step for event in rounds], sizes, s=22, color=colour, marker=marker, label=label, alpha=0.7)
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.set_ylim(low / 3, high * 3)  # at least a decade, so that the axis has ticks
    axes.yaxis.set_major_formatter(lambda value, _: _bytes(value))
    axes.yaxis.set_minor_formatter("")
    whole_numbers(axes)
    legend(axes, "best")
    return figure


def seconds_per_round(history: Sequence[events.Event]) -> Figure:
    """Wall seconds of each round.

    Raises:
        ConfigurationError: no rounds.
    """
    rounds = [event for event in history if isinstance(event, events.RoundFinished)]
    if not rounds:
        raise ConfigurationError("the history holds no rounds")
    figure, axes = picture("round", "seconds")
    axes.bar([event.step for event in rounds], [event.seconds for event in rounds], width=0.9, color=GREEN)
    whole_numbers(axes)
    return figure


def seconds_per_tree(history: Sequence[events.Event]) -> Figure:
    """Wall seconds of the rounds of each tree. What comes before the first tree (keys, cuts) is in its bar, which may be cut off.

    Raises:
        ConfigurationError: no trees.
    """
    trees: list[int] = []
    seconds: list[float] = []
    since = 0.0
    for event in history:
        match event:
            case events.RoundFinished():
                since += event.seconds
            case events.ProgressMade(step=step):
                trees.append(step)
                seconds.append(since)
                since = 0.0
    if not trees:
        raise ConfigurationError("the history holds no trees")
    figure, axes = picture("tree", "seconds")
    axes.bar(trees, seconds, width=0.9, color=GREEN)
    whole_numbers(axes)
    if len(seconds) > 1 and seconds[0] > 3 * max(seconds[1:]) > 0:
        axes.set_ylim(0, 1.25 * max(seconds[1:]))
        axes.annotate(
            f" tree 1 with keys and cuts: {seconds[0]:.3g} s", (trees[0], axes.get_ylim()[1]), va="top", size=13
        )
    return figure


def wilson_interval(events_: np.ndarray, trials: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95 % score interval of a proportion (Wilson 1927, J. Amer. Statist. Assoc. 22, 209-212).

    Args:
        events_: (k,) counts.
        trials: (k,) counts, above 0.

    Returns:
        (k,) lower and (k,) upper limits in [0, 1].
    """
    z2 = _NORMAL_95**2
    share = events_ / trials
    middle = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = _NORMAL_95 / (1 + z2 / trials) * np.sqrt(share * (1 - share) / trials + z2 / (4 * trials**2))
    return np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)


def has_both(release: ModelRelease) -> bool:
    """Whether goods and defaults were held out and counted."""
    cells = _released_cells(release)
    return sum(cell[1] for cell in cells) > 0 and sum(cell[2] for cell in cells) > 0


def _released_cells(release: ModelRelease) -> Sequence[tuple[float, int, int]]:
    """(upper edge of the PD, goods, bads); a scorecard's are in its evaluation."""
    if release.score_cells or release.evaluation is None:
        return release.score_cells
    return [(cell.upper, cell.goods, cell.bads) for cell in release.evaluation.cells]


def _cells(release: ModelRelease) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if not has_both(release):
        raise ConfigurationError(
            "the release counts no held-out loans of both kinds; hold out more with validation_fraction"
        )
    cells = _released_cells(release)
    upper, goods, bads = (np.array(column, dtype=np.float64) for column in zip(*cells, strict=True))
    return upper, goods, bads


def _grouped(
    upper: np.ndarray, goods: np.ndarray, bads: np.ndarray, *, groups: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Merge neighbouring cells into at most `groups` of about equally many loans."""
    rows = np.cumsum(goods + bads)
    of = np.minimum(((rows - (goods + bads) / 2) / rows[-1] * groups).astype(int), groups - 1)
    last = np.flatnonzero(np.append(of[1:] != of[:-1], True))
    sums = [np.diff(np.concatenate([[0.0], np.cumsum(counts)[last]])) for counts in (goods, bads)]
    return upper[last], sums[0], sums[1]


def _short(name: str) -> str:
    return name if len(name) <= 20 else f"{name[:19]}…"


def _bytes(value: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:g} {unit}"
        value /= 1000
    raise AssertionError
