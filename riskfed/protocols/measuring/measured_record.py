"""The record of a model's quality from what was pooled: the same arithmetic at every bank, and the minimum cell rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from riskfed.evaluation.calibration import hosmer_lemeshow
from riskfed.evaluation.cells import is_publishable
from riskfed.evaluation.discrimination import interval, ks_at
from riskfed.evaluation.grades import ScoreTable, grades_of, score_shift
from riskfed.evaluation.record import (
    Calibration,
    Discrimination,
    Evaluation,
    Grade,
    Interval,
    Population,
    ScoreCell,
    Shift,
    SwapSet,
)
from riskfed.evaluation.stability import concentration
from riskfed.protocols.measuring.breakdowns import breakdowns, groups_of, vintages_of
from riskfed.protocols.measuring.feature_shift import BinCounts, feature_shift
from riskfed.protocols.measuring.reason_shares import reasons_of
from riskfed.protocols.measuring.score_cells import ScoreCells
from riskfed.schema import Level, Schema


@dataclass(frozen=True, slots=True, eq=False)
class Baseline:
    """What a model was developed on: public, the same at every bank.

    Attributes:
        rows, defaults: development loans.
        low, high: (b,) first and last point of bands of the score, rising, without gaps, from end to end of the scale.
        development: (b,) int64 development loans in each.
        features: their bins, with the development loans in each.
        most: most grades, and intervals or groups of levels of a feature, that are wanted; None to keep the bands and bins.
        cutoff: points from which a loan is approved; None to find them for the job's rate.
        recent: cohorts that are recent; none, where all loans that are measured are.
    """

    rows: int
    defaults: int
    low: Sequence[int]
    high: Sequence[int]
    development: np.ndarray
    features: Sequence[BinCounts]
    most: int | None
    cutoff: int | None
    recent: tuple[Level, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Pooled:
    """Sums over all banks; p points, b bands of the baseline.

    Attributes:
        banks: how many there are.
        outcomes: (p, 2) goods and bads.
        recent: (p,) recent loans.
        bins: for each feature (bins,) recent loans.
        groups: for each attribute (levels, p, 2).
        reasons: (features, 2).
        pd_sums, group_pd_sums: (p,), and for each attribute (levels,), in multiples of 2^-bits.
    """

    banks: int
    outcomes: np.ndarray
    recent: np.ndarray
    bins: list[np.ndarray]
    groups: list[np.ndarray]
    reasons: np.ndarray
    pd_sums: np.ndarray
    group_pd_sums: list[np.ndarray]
    bits: int


def approved_share(pooled: Pooled, cutoff: int) -> float:
    """Share of loans from a position of the points upwards."""
    return int(pooled.outcomes[cutoff:].sum()) / int(pooled.outcomes.sum())


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """What is known besides the tables.

    Attributes:
        figures, cells: of `riskfed.protocols.measuring.score_cells`.
        line: calibration intercept and slope.
        cutoff: position of the points from which loans are approved.
        swap: against the champion.
    """

    figures: dict[str, float]
    cells: ScoreCells
    line: tuple[Interval, Interval]
    cutoff: int
    swap: SwapSet | None


def record_of(
    schema: Schema, baseline: Baseline, pooled: Pooled, ranked: Ranked, public: tuple[int, int]
) -> Evaluation:
    """Put the record together.

    Args:
        schema: the consortium's.
        baseline, pooled, ranked: all that is known; loans of both outcomes, the least cell of them at least.
        public: the lowest points of the scale, and the least cell.
    """
    lowest, least = public
    before = int(pooled.recent.sum())
    rows = int(pooled.outcomes.sum())
    comparable = is_publishable(before, least) and is_publishable(rows - before, least)
    table = _score_table(pooled, baseline, comparable)
    grades = grades_of(table, least, baseline.most)
    cutoff = lowest + ranked.cutoff
    found = list(breakdowns(pooled.groups, pooled.group_pd_sums, schema, pooled.bits))
    groups, hidden_groups = groups_of(found, lowest, cutoff, least)
    reasons, hidden_reasons = reasons_of(pooled.reasons, schema, least)
    hidden_swap = 4 * (ranked.swap is not None and ranked.swap.both_goods is None)
    return Evaluation(
        population=_population(pooled, baseline),
        discrimination=_discrimination(ranked, pooled, lowest),
        calibration=_calibration(ranked, table, grades),
        cutoff=cutoff,
        approval_rate=approved_share(pooled, ranked.cutoff),
        grades=grades,
        cells=tuple(ScoreCell(upper=pd, goods=g, bads=b) for pd, g, b in ranked.cells.merged(least)),
        score_shift=score_shift(grades),
        features=_feature_shifts(schema, baseline, pooled, comparable, least),
        concentration=concentration([grade.goods + grade.bads for grade in grades]),
        groups=groups,
        swap=ranked.swap,
        vintages=vintages_of(groups, schema.cohort),
        reasons=reasons,
        least_cell=least,
        left_out=hidden_groups + hidden_reasons + hidden_swap + (not comparable),
    )


def _score_table(pooled: Pooled, baseline: Baseline, comparable: bool) -> ScoreTable:
    starts = np.array(baseline.low, dtype=np.int64) - baseline.low[0]
    goods, bads, recent, pd_sums = (
        np.add.reduceat(values, starts)
        for values in (pooled.outcomes[:, 0], pooled.outcomes[:, 1], pooled.recent * comparable, pooled.pd_sums)
    )
    unit = 2.0**pooled.bits
    return ScoreTable(baseline.low, baseline.high, baseline.development, goods, bads, recent, pd_sums, unit)


def _population(pooled: Pooled, baseline: Baseline) -> Population:
    goods, bads = pooled.outcomes.sum(axis=0).tolist()
    return Population(
        rows=goods + bads,
        defaults=bads,
        development_rows=baseline.rows,
        development_defaults=baseline.defaults,
        banks=pooled.banks,
        recent=baseline.recent,
    )


def _discrimination(ranked: Ranked, pooled: Pooled, lowest: int) -> Discrimination:
    auc, variance = ranked.cells.auc(), ranked.cells.placements.variance()
    return Discrimination(
        auc=interval(auc, variance, 0.0, 1.0),
        gini=interval(2 * auc - 1, None if variance is None else 4 * variance, -1.0, 1.0),
        ks=ranked.figures["ks"],
        ks_points=lowest + ks_at(pooled.outcomes),
    )


def _calibration(ranked: Ranked, table: ScoreTable, grades: Sequence[Grade]) -> Calibration:
    tested = hosmer_lemeshow(
        [grade.goods + grade.bads for grade in grades],
        [grade.bads for grade in grades],
        [grade.mean_pd for grade in grades],
    )
    goods, bads = ranked.cells.totals()
    return Calibration(
        intercept=ranked.line[0],
        slope=ranked.line[1],
        mean_pd=table.mean_pd,
        default_rate=bads / (goods + bads),
        brier=ranked.figures["brier"],
        log_loss=ranked.figures["logloss"],
        hosmer_lemeshow=None if tested is None else tested[0],
        hosmer_lemeshow_p=None if tested is None else tested[1],
    )


def _feature_shifts(
    schema: Schema, baseline: Baseline, pooled: Pooled, comparable: bool, least: int
) -> tuple[Shift, ...]:
    named = {feature.name: feature for feature in schema.features}
    return tuple(
        feature_shift(bins, actual * comparable, named[bins.bins.feature], least, baseline.most)
        for bins, actual in zip(baseline.features, pooled.bins, strict=True)
    )
