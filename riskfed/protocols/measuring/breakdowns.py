"""One bank's counts by attribute: who the loans are, not what the model looks at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from riskfed.evaluation.groups import MISSING, Breakdown, figures_by_group
from riskfed.evaluation.record import Group, Vintage
from riskfed.protocols.measuring.scored import ScoredLoans, summed_by
from riskfed.protocols.records import Records
from riskfed.schema import Attribute, Level, Schema


def codes_of(records: Records, schema: Schema) -> list[np.ndarray]:
    """For each attribute (n,) int16 positions of a bank's loans among its levels; missing values come after the last."""
    found = []
    for number, attribute in enumerate(schema.attributes):
        codes = attribute.codes(records.attribute(number))
        codes[codes < 0] = len(attribute.groups)
        found.append(codes)
    return found


def group_counts(loans: ScoredLoans, codes: np.ndarray, levels: int, size: int) -> np.ndarray:
    """(levels, size, 2) int64 goods and bads by level and points."""
    cells = 2 * (codes.astype(np.int64) * size + loans.points) + (loans.labels != 0)
    return np.bincount(cells, minlength=2 * size * levels).reshape(levels, size, 2).astype(np.int64)


def group_tables(loans: ScoredLoans, codes: Sequence[np.ndarray], schema: Schema, size: int) -> list[np.ndarray]:
    """`group_counts` of every attribute."""
    pairs = zip(codes, schema.attributes, strict=True)
    return [group_counts(loans, own, len(attribute.groups) + 1, size) for own, attribute in pairs]


def group_pd_sums(loans: ScoredLoans, codes: Sequence[np.ndarray], schema: Schema, bits: int) -> list[np.ndarray]:
    """For each attribute (levels,) int64 sums of PDs, in multiples of 2^-bits."""
    pairs = zip(codes, schema.attributes, strict=True)
    return [summed_by(own, len(attribute.groups) + 1, loans.pds, bits) for own, attribute in pairs]


def recent_rows(codes: Sequence[np.ndarray], schema: Schema, recent: Sequence[Level]) -> np.ndarray | None:
    """(n,) bool, true for loans of the cohorts `recent`; None where none is named."""
    if not recent or schema.cohort is None:
        return None
    own = codes[schema.attributes.index(schema.cohort)]
    names = schema.cohort.levels or schema.cohort.groups
    return np.isin(own, [names.index(level) for level in recent])


def breakdowns(
    counts: Sequence[np.ndarray], pd_sums: Sequence[np.ndarray], schema: Schema, bits: int
) -> Iterator[Breakdown]:
    """Pooled counts of each attribute, with its names."""
    for attribute, cells, sums in zip(schema.attributes, counts, pd_sums, strict=True):
        levels = (*attribute.groups, MISSING)
        means = [int(total) / 2.0**bits for total in sums]
        yield Breakdown(attribute.name, attribute.role, levels, attribute.reference, cells, means)


def groups_of(found: Sequence[Breakdown], lowest: int, cutoff: int, least: int) -> tuple[tuple[Group, ...], int]:
    """Groups of all attributes, and how many levels were left out."""
    groups: list[Group] = []
    out = 0
    for breakdown in found:
        shown, hidden = figures_by_group(breakdown, lowest, cutoff, least)
        groups += shown
        out += len(hidden)
    return tuple(groups), out


def vintages_of(groups: Sequence[Group], cohort: Attribute | None) -> tuple[Vintage, ...]:
    """The groups of the cohort."""
    chosen = (group for group in groups if cohort is not None and group.attribute == cohort.name)
    return tuple(Vintage(cohort=group.level, rows=group.rows, defaults=group.defaults) for group in chosen)
