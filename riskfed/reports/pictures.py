"""Which pictures a finished run gets, and in which order.

A name is section/card. MLflow's page sorts sections and cards by name, which is why the first section is called as it is, and cards have
numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from riskfed.jobs import grows_trees
from riskfed.protocols import events
from riskfed.protocols.release import ModelRelease
from riskfed.reports import cards, plots
from riskfed.reports.contribution_plots import shapley_bars
from riskfed.reports.figures import png
from riskfed.scorecard.card import Scorecard
from riskfed.scoring import is_scorecard

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIRST = "at a glance"
"""Section of the pictures that are looked at first."""


def run_pictures(release: ModelRelease, history: Sequence[events.Event]) -> dict[str, bytes]:
    """All pictures that the material allows, as PNG by name; what was not measured is left out.

    Args:
        release: the finished model.
        history: the run's `RoundFinished`, `ProgressMade` and `BankMetrics` events in order.
    """
    figures = {**_of_figures(release), **_of_training(release, history), **_of_model(release)}
    if release.contribution is not None:
        figures[f"{FIRST}/1 contribution"] = shapley_bars(release.contribution)
    if any(isinstance(event, events.RoundFinished) for event in history):
        figures[f"{FIRST}/8 traffic"] = plots.bytes_per_round(history)
        if not grows_trees(release.kind):
            figures[f"{FIRST}/9 time"] = plots.seconds_per_round(history)
    return {name: png(figure) for name, figure in figures.items()}


def _of_figures(release: ModelRelease) -> dict[str, Figure]:
    """How good the model is."""
    figures: dict[str, Figure] = {}
    if plots.has_both(release):
        figures |= {
            f"{FIRST}/1 roc": plots.roc_curve(release),
            f"{FIRST}/2 ks": plots.ks_curve(release),
            f"{FIRST}/3 calibration": plots.calibration(release),
        }
    if release.evaluation is not None and release.evaluation.grades:
        figures[f"{FIRST}/3 calibration"] = cards.grade_calibration(release.evaluation)
        figures[f"{FIRST}/4 score distribution"] = cards.score_distribution(release.evaluation)
    return figures


def _of_training(release: ModelRelease, history: Sequence[events.Event]) -> dict[str, Figure]:
    """How the model was grown, tree by tree."""
    figures: dict[str, Figure] = {}
    for metric in ("logloss", "auc"):
        if any(metric in entry for entry in release.history):
            figures[f"{FIRST}/5 learning curve {metric}"] = plots.learning_curve(release, metric)
    if cards.alone_curves(history):
        figures[f"{FIRST}/6 federated against alone"] = cards.federated_against_alone(history)
    if grows_trees(release.kind) and any(isinstance(event, events.ProgressMade) for event in history):
        figures[f"{FIRST}/9 time"] = plots.seconds_per_tree(history)
    return figures


def _of_model(release: ModelRelease) -> dict[str, Figure]:
    """What the model looks at."""
    if is_scorecard(release.model):
        card = Scorecard.from_bytes(release.model)
        trends = {f"points/{_file_safe(v.feature)}": cards.points_trend(v) for v in card.variables}
        return {
            **({f"{FIRST}/7 information values": cards.information_values(card)} if card.candidates else {}),
            **trends,
        }
    has_gains = release.model and release.form == "full" and grows_trees(release.kind)  # other forms state none
    if has_gains and plots.feature_gains(release):
        return {f"{FIRST}/7 feature gain": plots.feature_gain(release)}
    return {}


def _file_safe(name: str) -> str:
    """A picture's name holds letters, digits and a few signs only."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "_-. ") else "_" for c in name)
