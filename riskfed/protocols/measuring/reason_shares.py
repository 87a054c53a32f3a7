"""How often each feature is among the reasons against an applicant, over a sample of all banks' loans."""

from __future__ import annotations

import numpy as np

from riskfed.evaluation.cells import is_publishable, left_out
from riskfed.evaluation.reasons import adverse_reasons, reason_counts
from riskfed.evaluation.record import Reason
from riskfed.protocols.records import Records, is_held_out
from riskfed.schema import Schema
from riskfed.scoring import ScoringModel

MOST_LOANS = 10_000
"""About so many loans of all banks are looked at: explaining a loan takes a thousand times as long as scoring it, and a share of that many
has a standard error of half a per cent at most."""


def sampled(records: Records, pooled_rows: int, seed: int) -> Records:
    """A bank's part of a sample of about `MOST_LOANS` loans, all if there are no more; by a hash of their features, whoever holds them.

    Args:
        records: the bank's.
        pooled_rows: loans of all banks.
        seed: the job's ``validation_seed``; the hash is another than that by which loans are held out.
    """
    if pooled_rows <= MOST_LOANS:
        return records
    chosen = is_held_out(records.columns, MOST_LOANS / pooled_rows, seed + 1)
    return records.where(chosen if records.rows is None else chosen[records.rows])


def count_reasons(model: ScoringModel, records: Records, schema: Schema) -> np.ndarray:
    """(features, 2) int64 loans of a bank for which each feature is the first reason, and among the first four."""
    counts = np.zeros((len(schema.features), 2), dtype=np.int64)
    for block in records.blocks():
        if len(block):
            counts += reason_counts(adverse_reasons(model.reason_contributions(block)), len(counts))
    return counts


def reasons_of(counts: np.ndarray, schema: Schema, least: int) -> tuple[tuple[Reason, ...], int]:
    """Shares from pooled counts.

    Args:
        counts: (features, 2) pooled, as `count_reasons`.
        schema: names the features.
        least: least count that is shown, above 0.

    Returns:
        the features that are a reason at all, by the schema's order, and how many were left out. Every loan with a reason has one first, so
        that the first column adds up to them.
    """
    with_any = int(counts[:, 0].sum())
    hidden = left_out(counts[:, 0].tolist(), least)
    hidden |= {at for at, row in enumerate(counts.tolist()) if not is_publishable(row[1], least)}
    shown = tuple(
        Reason(feature=feature.name, first=int(first) / with_any, among_four=int(four) / with_any)
        for at, (feature, (first, four)) in enumerate(zip(schema.features, counts, strict=True))
        if four and at not in hidden
    )
    return shown, len(hidden)
