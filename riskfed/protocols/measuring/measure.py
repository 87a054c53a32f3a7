"""Every figure of a model on the banks' loans, from protected sums, against a baseline of its development.

    1  score cells, log-loss and Brier score: `riskfed.protocols.measuring.score_cells`
    2  calibration slope and intercept: `riskfed.protocols.measuring.calibration_fit`
    3  loans by points and outcome, also for each level of an attribute; recent ones by points and by the features' bins; a sample by
       adverse reason
    4  sums of PDs by points and by level of an attribute
    5  swap set against the champion: `riskfed.protocols.measuring.swap_set`

All banks then compute the same record. Ranks and counts are exact. PDs are rounded to a common fixed point before they are added, so that
the record does not depend on which bank has which loan, to the last bit.

Who learns what: the banks pooled counts down to single scores, and to levels of an attribute by points, from which each can subtract its
own (three banks at least). The record, which the server sees too, keeps the minimum cell rule of `riskfed.evaluation.cells`: a cell of
fewer loans than the job's ``least_cell`` is merged or left out. That is a rule for single tables: it does not protect against subtracting
two whose edges nearly meet, and of a cell's loans few may have defaulted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from riskfed.errors import JobError
from riskfed.evaluation.cells import is_publishable
from riskfed.evaluation.discrimination import cutoff_at
from riskfed.evaluation.record import Evaluation, SwapSet
from riskfed.jobs import Job
from riskfed.protocols.measuring.breakdowns import codes_of, group_pd_sums, group_tables, recent_rows
from riskfed.protocols.measuring.calibration_fit import calibration_line
from riskfed.protocols.measuring.feature_shift import count_bins
from riskfed.protocols.measuring.measured_record import Baseline, Pooled, Ranked, approved_share, record_of
from riskfed.protocols.measuring.reason_shares import count_reasons, sampled
from riskfed.protocols.measuring.score_cells import ScoreCells, evaluate
from riskfed.protocols.measuring.scored import ScoredLoans, share_bits, size_of, sum_tables, summed_by
from riskfed.protocols.measuring.swap_set import Decided, swap_set
from riskfed.protocols.program import Program
from riskfed.protocols.records import Records
from riskfed.schema import Schema
from riskfed.scorecard.points import ScoreScale
from riskfed.scoring import ScoringModel
from riskfed.secure.keys import MAXIMUM_BANKS


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """What one bank measures.

    Attributes:
        model: the model.
        records: the bank's loans that it is measured on.
        schema, job, scale: the consortium's; the same at every bank.
        champion: model to compare with; the same at every bank.
    """

    model: ScoringModel
    records: Records
    schema: Schema
    job: Job
    scale: ScoreScale
    champion: ScoringModel | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What was measured.

    Attributes:
        figures: pooled ``auc``, ``ks``, ``logloss``, ``brier``, ``rows``, ``defaults``; NaN where not defined.
        cells: pooled score cells.
        evaluation: the whole record; None where one of its figures is not defined: fewer loans than the least cell, measured or at
            development; loans of one outcome; one score for all; scores that part goods and bads.
        margins: (n,) of this bank's loans.
    """

    figures: dict[str, float]
    cells: ScoreCells
    evaluation: Evaluation | None
    margins: np.ndarray


def measure(subject: Subject, baseline: Baseline) -> Program[Measured]:
    """One bank's side."""
    loans = ScoredLoans.of(subject.model, subject.records, subject.scale)
    figures, cells = yield from evaluate(loans.margins, loans.pds, loans.labels)  # 1
    goods, bads = cells.totals()
    enough = min(goods + bads, baseline.rows) >= subject.job.least_cell
    if not (enough and goods and bads):
        return Measured(figures, cells, None, loans.margins)
    try:
        line = yield from calibration_line(loans.margins, loans.labels, goods + bads, cells.margin_bound)  # 2
    except JobError:
        return Measured(figures, cells, None, loans.margins)
    pooled = yield from _pooled(subject, loans, baseline, goods + bads)  # 3, 4
    cutoff = _cutoff(pooled, subject, baseline)
    swap = yield from _against_champion(subject, Decided(loans, cells, cutoff), pooled)  # 5
    public = subject.scale.minimum, subject.job.least_cell
    record = record_of(subject.schema, baseline, pooled, Ranked(figures, cells, line, cutoff, swap), public)
    return Measured(figures, cells, record, loans.margins)


def _pooled(subject: Subject, loans: ScoredLoans, baseline: Baseline, pooled_rows: int) -> Program[Pooled]:
    schema, size = subject.schema, size_of(subject.scale)
    codes = codes_of(subject.records, schema)
    chosen = recent_rows(codes, schema, baseline.recent)
    recent = subject.records if chosen is None else subject.records.where(chosen)
    points = loans.points if chosen is None else loans.points[chosen]
    explained = sampled(subject.records, pooled_rows, subject.job.validation_seed)
    counts = yield from sum_tables(
        [
            np.ones(1, dtype=np.int64),
            loans.by_points(size),
            np.bincount(points, minlength=size).astype(np.int64),
            count_reasons(subject.model, explained, schema),
            *(count_bins(recent, feature.bins) for feature in baseline.features),
            *group_tables(loans, codes, schema, size),
        ],
        max(pooled_rows, MAXIMUM_BANKS),  # rows, and in the first place banks
    )
    bits = share_bits(pooled_rows)
    own_pds = [summed_by(loans.points, size, loans.pds, bits), *group_pd_sums(loans, codes, schema, bits)]
    pds = yield from sum_tables(own_pds, 1 << 62)
    banks, outcomes, lately, reasons = counts[:4]
    first_group = 4 + len(baseline.features)
    bins, groups = counts[4:first_group], counts[first_group:]
    return Pooled(int(banks[0]), outcomes, lately, bins, groups, reasons, pds[0], pds[1:], bits)


def _cutoff(pooled: Pooled, subject: Subject, baseline: Baseline) -> int:
    """Position of the cut-off: the baseline's, unless hardly any loan is on one side of it."""
    rows, least, rate = pooled.outcomes.sum(axis=1), subject.job.least_cell, subject.job.approval_rate
    if baseline.cutoff is not None:
        at = baseline.cutoff - subject.scale.minimum
        sides = int(rows[:at].sum()), int(rows[at:].sum())
        if all(is_publishable(side, least) for side in sides):
            return at
        rate = sides[1] / sum(sides)
    return cutoff_at(rows, rate, least)


def _against_champion(subject: Subject, model: Decided, pooled: Pooled) -> Program[SwapSet | None]:
    if subject.champion is None or subject.job.champion_sha256 is None:
        return None
    loans = ScoredLoans.of(subject.champion, subject.records, subject.scale)
    public = size_of(subject.scale), subject.job.least_cell
    rate = approved_share(pooled, model.cutoff)
    return (yield from swap_set(model, loans, subject.job.champion_sha256, rate, public))
