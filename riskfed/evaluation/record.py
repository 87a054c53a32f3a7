"""What is known of a model's quality: the record that the banks release, and that the report, MLflow and the gate read.

Every figure comes from sums over all banks. A published cell holds as many loans as the job's ``least_cell`` at least, or none; what is
smaller is merged with a neighbour or left out, and the record says how many cells were (`riskfed.evaluation.cells`). Of a cell's loans,
fewer may have defaulted or been approved.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from riskfed.schema import Level

Role = Literal["segment", "protected", "cohort"]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Interval(_Record):
    """An estimate with its 95 % confidence interval and standard error; None where it is not defined."""

    value: float
    standard_error: float | None = None
    low: float | None = None
    high: float | None = None


class Population(_Record):
    """Who was measured: all banks together.

    Attributes:
        rows, defaults: held-out loans, on which all figures are.
        development_rows, development_defaults: loans that the model was fitted on.
        banks: how many took part.
        recent: cohorts that count as recent; empty where the schema names none, and all held-out loans do.
    """

    rows: int
    defaults: int
    development_rows: int
    development_defaults: int
    banks: int
    recent: tuple[Level, ...] = ()

    @property
    def default_rate(self) -> float:
        """Observed default rate of the held-out loans."""
        return self.defaults / self.rows if self.rows else 0.0


class Discrimination(_Record):
    """How well the model ranks.

    Attributes:
        auc: with DeLong's interval.
        gini: 2 AUC - 1, with the interval that follows.
        ks: greatest distance of the score distributions of goods and bads.
        ks_points: points up to which the distance is greatest.
    """

    auc: Interval
    gini: Interval
    ks: float
    ks_points: int


class Calibration(_Record):
    """How well PDs agree with what happened.

    Attributes:
        intercept: of a logistic regression of default on the model's log-odds with slope 1; 0 is perfect.
        slope: of a logistic regression of default on the model's log-odds with an intercept; 1 is perfect.
        mean_pd, default_rate: predicted and observed.
        brier, log_loss: mean squared error, and mean negative log-likelihood (natural logarithm).
        hosmer_lemeshow, hosmer_lemeshow_p: statistic over the grades, and p with as many degrees of freedom as there are grades.
    """

    intercept: Interval
    slope: Interval
    mean_pd: float
    default_rate: float
    brier: float
    log_loss: float
    hosmer_lemeshow: float | None
    hosmer_lemeshow_p: float | None


class Grade(_Record):
    """A band of the score, from the riskiest (1) upwards.

    Attributes:
        low, high: first and last point of the band, both in it.
        goods, bads: held-out loans.
        mean_pd: mean PD of the held-out loans.
        jeffreys_p: probability, after what was observed, that the true default rate is at most `mean_pd` (Jeffreys' prior): near 0 the PDs
            are too low, near 1 too high.
        development, recent: loans in the band at development and in the recent period.
    """

    low: int
    high: int
    goods: int
    bads: int
    mean_pd: float
    jeffreys_p: float
    development: int
    recent: int


class ScoreCell(_Record):
    """Held-out loans of a narrow range of PD, by rising PD, for curves: `upper` is the range's upper edge."""

    upper: float
    goods: int
    bads: int


class ShiftBin(_Record):
    """One bin of a distribution: what it holds, and how many loans it had at development (`expected`) and lately (`actual`)."""

    label: str
    expected: int
    actual: int


class Shift(_Record):
    """How a distribution has moved.

    Attributes:
        name: "score", or a feature.
        index: PSI, or CSI for a feature: sum of (actual - expected) ln(actual / expected) over shares; None where nothing can be compared.
        noise: what sampling alone would give, about (bins - 1) (1/n + 1/m).
        bins: the distribution.
        edges, groups, special: how a feature's values fall into the bins, as in `riskfed.scorecard.bins.FeatureBins`; empty for the score.
        missing_in: bin that holds missing values too, where they are too few for a last bin of their own; None where they have one.
    """

    name: str
    index: float | None
    noise: float | None
    bins: tuple[ShiftBin, ...]
    edges: tuple[float, ...] = ()
    groups: tuple[tuple[int, ...], ...] = ()
    special: tuple[float, ...] = ()
    missing_in: int | None = None


class Group(_Record):
    """Held-out loans of one level of an attribute.

    Attributes:
        attribute, role, level: which.
        rows, defaults: counts.
        approved: how many have a score of at least the cut-off.
        mean_pd, mean_points: means.
        auc: AUC on integer points within the group; None where it holds too few goods or bads.
        air: adverse impact ratio: approval rate over that of the reference level; None for roles other than "protected".
        smd: standardised mean difference of the points to the reference level; likewise.
    """

    attribute: str
    role: Role
    level: str
    rows: int
    defaults: int
    approved: int
    mean_pd: float
    mean_points: float
    auc: float | None = None
    air: float | None = None
    smd: float | None = None


class SwapSet(_Record):
    """Held-out loans that model and champion decide differently, at the same rate of approval.

    Attributes:
        champion_sha256: of the champion.
        approval_rate: share that either approves.
        both_goods, both_bads: approved by both.
        in_goods, in_bads: approved by the new model only.
        out_goods, out_bads: approved by the champion only.
        neither_goods, neither_bads: approved by neither. All eight are None where one of the four cells has too few loans.
        champion_auc: AUC of the champion on the same loans, exact.
        auc_difference: of the new model's AUC over the champion's, with DeLong's paired interval.
    """

    champion_sha256: str
    approval_rate: float
    both_goods: int | None
    both_bads: int | None
    in_goods: int | None
    in_bads: int | None
    out_goods: int | None
    out_bads: int | None
    neither_goods: int | None
    neither_bads: int | None
    champion_auc: float
    auc_difference: Interval


class Vintage(_Record):
    """Loans of one cohort, held-out ones."""

    cohort: str
    rows: int
    defaults: int


class Reason(_Record):
    """How often a feature is the first adverse reason, and among the first four, as a share of the held-out loans with any.

    Of very many loans a sample is looked at. What is a reason for hardly any loan is left out.
    """

    feature: str
    first: float
    among_four: float


class Evaluation(_Record):
    """All that was measured.

    Attributes:
        cutoff, approval_rate: points from which a loan counts as approved, the share that is; for groups and swap set.
        grades: from the riskiest to the safest.
        cells: for curves, by rising PD.
        score_shift: PSI of the score over the grades; features: CSI of each feature.
        concentration: Herfindahl-Hirschman index of the held-out loans over the grades, between 1 / grades and 1.
        least_cell: least published count above 0.
        left_out: cells that were left out because they are smaller.
    """

    population: Population
    discrimination: Discrimination
    calibration: Calibration
    cutoff: int
    approval_rate: float
    grades: tuple[Grade, ...]
    cells: tuple[ScoreCell, ...]
    score_shift: Shift
    features: tuple[Shift, ...] = ()
    concentration: float
    groups: tuple[Group, ...] = ()
    swap: SwapSet | None = None
    vintages: tuple[Vintage, ...] = ()
    reasons: tuple[Reason, ...] = ()
    least_cell: int = Field(ge=1)
    left_out: int = 0

    def figures(self) -> dict[str, float]:
        """The headline as plain numbers by name, for MLflow, the gate and a terminal."""
        rank, fit = self.discrimination, self.calibration
        named: dict[str, float | None] = {
            "auc": rank.auc.value,
            "auc_low": rank.auc.low,
            "auc_high": rank.auc.high,
            "gini": rank.gini.value,
            "ks": rank.ks,
            "logloss": fit.log_loss,
            "brier": fit.brier,
            "calibration_slope": fit.slope.value,
            "calibration_intercept": fit.intercept.value,
            "psi": self.score_shift.index,
            "hhi": self.concentration,
            "rows": float(self.population.rows),
            "defaults": float(self.population.defaults),
        }
        return {name: value for name, value in named.items() if value is not None}
