"""What a validation report is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from riskfed.errors import ConfigurationError
from riskfed.evaluation.limits import Limit, Limits, Verdict
from riskfed.jobs import grows_trees
from riskfed.linear_model import VerticalLogisticModel
from riskfed.protocols.release import ModelRelease
from riskfed.protocols.release_verdict import linear_model_of
from riskfed.scorecard.card import Scorecard
from riskfed.scorecard.points import ScoreScale
from riskfed.trees.booster_json import ParsedBooster, parse_booster

MONITORING = "model_monitoring"
SCORECARD = "horizontal_scorecard"


@dataclass(frozen=True)
class ReportInput:
    """A finished model, the verdict on it, and what else is known of the run.

    Attributes:
        release: as the banks released it.
        verdict: on its evaluation; None where nothing was held out.
        facts: the run in texts, by name; what is absent is left out of the report. Known names are ``run``, ``banks``, ``roster``,
            ``protection``, ``key_bits``, ``transport``, ``started``, ``finished``, ``rounds``, ``bytes``, ``champion`` (its name),
            ``registered`` (name and version in the registry) and ``bank_figures`` (JSON: bank -> its own figures, of those that
            show them). Any other is shown as a parameter of the job, under its own name.
    """

    release: ModelRelease
    verdict: Verdict | None = None
    facts: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def card(self) -> Scorecard | None:
        """The scorecard, where the model is one and was released."""
        is_card = self.release.kind == SCORECARD and self.release.model
        return Scorecard.from_bytes(self.release.model) if is_card else None

    @cached_property
    def booster(self) -> ParsedBooster | None:
        """The trees, where the model has some and was released."""
        has_trees = grows_trees(self.release.kind) and self.release.model
        return parse_booster(self.release.model) if has_trees else None

    @cached_property
    def linear(self) -> VerticalLogisticModel | None:
        """The label holder's part of a linear model, where the model is one and was released."""
        return linear_model_of(self.release)

    @cached_property
    def scale(self) -> ScoreScale:
        """The scale of the points: the model's own, else the job's, else the usual one."""
        if self.card is not None:
            return self.card.scale
        if self.linear is not None:
            return self.linear.scale
        try:
            base, odds, pdo = (float(self.facts[name]) for name in ("base_score", "base_odds", "pdo"))
            return ScoreScale(base, odds, pdo)
        except (KeyError, ValueError, ConfigurationError):
            return ScoreScale()  # trees have no scale of their own

    def limit(self, name: str) -> Limit:
        """The limit on a figure: the one that it was held against, else the common one."""
        checks = self.verdict.checks if self.verdict is not None else ()
        common: Limit = getattr(Limits(), name)
        return next((check.limit for check in checks if check.name == name), common)
