"""Contribution: Shapley values of banks, from models of coalitions that are measured on the held-out loans of all.

    1  rows that several banks hold are left out at all of them (`copied_rows`)
    2  every bank's rows are counted
    3  what all coalitions' models have in common (`coalition_models`)
    4  batch by batch: the coalitions of a batch train side by side, and each model is measured (`yardstick`)
    5  the values (`riskfed.evaluation.shapley`), and the release: the record and no model

All banks take part in every sum; one that is outside of a coalition adds nothing to it. Banks whose copies left them without a row are null
players: no coalition is trained for them, and their value is 0.

Who learns what: banks learn each bank's number of rows, copies and repeats, and of every coalition what its training and its evaluation
tell all banks of all (`coalition_models`). Of coalitions of fewer than three banks these are single banks' sums, to some or all; of larger
ones that differ by one bank, the difference of rows, defaults and first histograms is that bank's, whatever ``least_coalition`` says. Who
does not want its counts of goods and bads by feature known to the others must not take part. The server learns the record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from riskfed.errors import JobError
from riskfed.evaluation.contribution import BankRows, ContributionRecord, banks_of, warnings_of
from riskfed.evaluation.shapley import (
    Coalition,
    Order,
    Values,
    all_coalitions,
    coalitions_of,
    exact_values,
    leave_one_out,
    sampled_orders,
    sampled_values,
)
from riskfed.jobs import BankContribution
from riskfed.jobs.contribution import MOST_BANKS_OF_EXACT
from riskfed.protocols.contribution.coalition_models import Fit, coalition_fit
from riskfed.protocols.contribution.copied_rows import Distinct, without_copies
from riskfed.protocols.contribution.in_step import in_step
from riskfed.protocols.contribution.journal import Utilities, agree_on_batches, entry
from riskfed.protocols.contribution.yardstick import Yardstick
from riskfed.protocols.program import Checkpoint, Program, Progress, Release, Sum
from riskfed.protocols.records import Records
from riskfed.protocols.release import ModelRelease
from riskfed.schema import Schema

_SIDE_BY_SIDE = 16
"""Coalitions that train at the same time: so many histograms are held at once, and so many times fewer rounds are needed."""
_COUNT_BOUND = 1 << 40


@dataclass(frozen=True, slots=True)
class Contributed:
    """What a bank keeps of a run.

    Attributes:
        release: what was released.
        utilities: of every coalition that was measured; not released, but every bank has it.
    """

    release: ModelRelease
    utilities: Mapping[Coalition, float]

    @property
    def full(self) -> ModelRelease:
        """What the bank keeps: the same, for there is no model in it."""
        return self.release

    @property
    def record(self) -> ContributionRecord:
        """The record in it."""
        assert self.release.contribution is not None
        return self.release.contribution


@dataclass(frozen=True, slots=True)
class _Game:
    """Which coalitions of which banks are needed."""

    players: tuple[str, ...]
    least: int
    orders: list[Order]
    coalitions: list[Coalition]

    @classmethod
    def of(cls, players: tuple[str, ...], job: BankContribution) -> _Game:
        if len(players) <= MOST_BANKS_OF_EXACT:
            return cls(players, job.least_coalition, [], all_coalitions(players, job.least_coalition))
        orders = sampled_orders(players, job.permutations, job.permutation_seed)
        return cls(players, job.least_coalition, orders, coalitions_of(orders, job.least_coalition))

    def values(self, utilities: Mapping[Coalition, float], base: float) -> Values:
        if self.orders:
            return sampled_values(self.orders, utilities, self.least, base)
        return exact_values(self.players, utilities, self.least, base)


def measure(
    records: Records,
    schema: Schema,
    job: BankContribution,
    *,
    bank: str,
    roster: tuple[str, ...],
    journal: Sequence[bytes] | None = None,
    threads: int = 1,
) -> Program[Contributed]:
    """One bank's side.

    Args:
        records: this bank's.
        schema, job: the consortium's, and what is measured.
        bank, roster: this bank's name, and all banks'.
        journal: None in a run's first attempt; later what this bank has kept of the ones before, maybe nothing.
        threads: how many work on this bank's records; no figure depends on it.

    Raises:
        JobError: too few banks hold records, or their held-out loans are too few or of one outcome; or the job does not suit schema or
            roster.
        ConfigurationError: the journal is damaged.
    """
    distinct = Distinct(records, 0, 0)
    if job.copied_rows == "drop":
        distinct = yield from without_copies(records)  # 1
    development, held_out = _split(distinct.records, bank, roster, job)
    rows, goods, bads = yield from _count(distinct, development, held_out, bank, roster)  # 2
    players = tuple(name for name in sorted(roster) if rows[name].development)
    _check(players, goods, bads, job)
    game, yardstick = _Game.of(players, job), Yardstick(held_out, goods, bads, job)
    fit = yield from coalition_fit(development, schema, job, threads)  # 3
    done: Utilities = []
    batches = _batches(game.coalitions)
    if journal is not None:
        done = yield from agree_on_batches(journal, distinct.records.digest(), len(batches))
    yield from _measure_batches(batches, done, bank, fit, yardstick, distinct.records.digest())  # 4
    record, utilities = _record_of(game, done, yardstick, rows)  # 5
    release = _release_of(record, schema, job)
    yield Release(release.to_bytes())
    return Contributed(release, utilities)


def most_batches(job: BankContribution, banks: int) -> int:
    """Most batches of coalitions that a job over so many banks takes, each of which takes as many sums as one training and measuring."""
    coalitions = 1 << banks
    if banks > MOST_BANKS_OF_EXACT:
        coalitions = min(coalitions, 2 * job.permutations * banks + banks)
    return -(-coalitions // _SIDE_BY_SIDE)


def _batches(coalitions: list[Coalition]) -> list[list[Coalition]]:
    return [coalitions[at : at + _SIDE_BY_SIDE] for at in range(0, len(coalitions), _SIDE_BY_SIDE)]


def _split(records: Records, bank: str, roster: tuple[str, ...], job: BankContribution) -> tuple[Records, Records]:
    """This bank's rows to train on, and those to measure on.

    Raises:
        JobError: the job names a bank that does not take part.
    """
    measuring = roster if job.validation_banks is None else job.validation_banks
    if unknown := sorted(set(measuring) - set(roster)):
        raise JobError(f"validation_banks names banks that do not take part: {', '.join(unknown)}")
    development, held_out = records.hold_out(job.validation_fraction, job.validation_seed)
    return development, held_out if bank in measuring else held_out.where(np.zeros(len(held_out), dtype=bool))


def _count(
    distinct: Distinct, development: Records, held_out: Records, bank: str, roster: tuple[str, ...]
) -> Program[tuple[dict[str, BankRows], int, int]]:
    """Every bank's rows, and the held-out goods and bads of all."""
    table = np.zeros((len(roster) + 1, 4), dtype=np.int64)
    table[roster.index(bank)] = len(distinct.records), distinct.copies, distinct.repeats, len(development)
    bads = int((held_out.labels != 0).sum())
    table[-1, :2] = len(held_out) - bads, bads
    pooled = (yield Sum(table.ravel(), _COUNT_BOUND)).reshape(table.shape).tolist()
    return {name: BankRows(*row) for name, row in zip(roster, pooled[:-1], strict=True)}, pooled[-1][0], pooled[-1][1]


def _check(players: Sequence[str], goods: int, bads: int, job: BankContribution) -> None:
    if len(players) <= job.least_coalition:
        raise JobError(
            f"{len(players)} banks hold records of their own, and coalitions begin at {job.least_coalition} (least_coalition): there is "
            "nothing to compare; more banks must take part, or agree to smaller coalitions"
        )
    if not (goods and bads) or goods + bads < job.least_cell:
        raise JobError(
            f"the banks hold out {goods + bads} loans, figures need {job.least_cell} (least_cell) and both outcomes; raise "
            "validation_fraction"
        )


def _measure_batches(
    batches: Sequence[Sequence[Coalition]], done: Utilities, bank: str, fit: Fit, yardstick: Yardstick, records: str
) -> Program[None]:
    """Measure the coalitions that are not `done` yet, and add them there."""
    for number, batch in enumerate(batches):
        if len(done) >= sum(map(len, batches[: number + 1])):
            continue
        found = yield from in_step({s: _utility(bank in s, fit, yardstick) for s in batch})
        done += found.values()
        yield Checkpoint(entry(records, number, list(found.values())))
        yield Progress(100 * (number + 1) // len(batches), {"coalitions": float(len(done))})


def _utility(takes_part: bool, fit: Fit, yardstick: Yardstick) -> Program[float | None]:
    """One coalition's; None where its records give no model, which all banks see alike, since it follows from pooled figures."""
    try:
        model = yield from fit(takes_part)
    except JobError:
        return None
    return (yield from yardstick.utility(model))


def _record_of(
    game: _Game, measured: Utilities, yardstick: Yardstick, rows: Mapping[str, BankRows]
) -> tuple[ContributionRecord, dict[Coalition, float]]:
    base, job = yardstick.base, yardstick.job
    utilities = {s: base if u is None else u for s, u in zip(game.coalitions, measured, strict=True)}
    values = game.values(utilities, base)
    banks = banks_of(values, leave_one_out(game.players, utilities), rows, job.least_cell)
    untrained = sum(utility is None for utility in measured)
    vouching = job.least_coalition > 1 and job.validation_banks is None
    record = ContributionRecord(
        utility=job.utility,
        base=base,
        start=values.start,
        total=values.total,
        least_coalition=job.least_coalition,
        method="sampled" if game.orders else "exact",
        orders=len(game.orders) or None,
        coalitions=len(measured) - untrained,
        untrained=untrained,
        rows=yardstick.goods + yardstick.bads,
        defaults=yardstick.bads,
        banks=banks,
        warnings=warnings_of(banks, values, base, rows, untrained, vouching),
    )
    return record, utilities


def _release_of(record: ContributionRecord, schema: Schema, job: BankContribution) -> ModelRelease:
    return ModelRelease(
        model=b"",
        schema=schema,
        metrics={"rows": float(record.rows), "defaults": float(record.defaults)},
        history=[],
        score_cells=[],
        fixed_point_bits=0,
        form="withheld",
        model_sha256="0" * 64,
        kind=job.kind,
        contribution=record,
    )
