"""How the features have moved since development, from pooled counts by bin; bins with few loans are merged first.

Intervals and levels are merged as `riskfed.evaluation.cells` says. A special value with few loans falls into the interval that holds the
number; missing values, where they are few, join the largest bin.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from riskfed.evaluation.cells import is_publishable, merge_neighbours, merge_smallest
from riskfed.evaluation.grades import shift_of
from riskfed.evaluation.record import Shift, ShiftBin
from riskfed.protocols.records import Records
from riskfed.schema import Feature, Schema
from riskfed.scorecard.bins import FeatureBins, check_bins

_Sound = Callable[[Sequence[int]], bool]


@dataclass(frozen=True, slots=True, eq=False)
class BinCounts:
    """A feature's bins, and the pooled development loans in each.

    Attributes:
        bins: how values fall into them.
        expected: (len(bins),) int64.
        missing_in: bin of missing values, where they have none of their own.
    """

    bins: FeatureBins
    expected: NDArray[np.int64]
    missing_in: int | None = None


def count_bins(records: Records, bins: FeatureBins) -> NDArray[np.int64]:
    """(len(bins),) int64 loans of a bank in each bin."""
    return np.bincount(bins.codes(records.column), minlength=len(bins)).astype(np.int64)


def feature_shift(
    development: BinCounts, actual: NDArray[np.int64], feature: Feature, least: int, most: int | None
) -> Shift:
    """One feature's shift.

    Args:
        development: its bins with `least` loans or none in each that stays on its own, `least` at least in all.
        actual: (len(bins),) int64 recent loans; none, or `least` at least in all.
        feature: of the schema, for names of levels.
        least: least count that is shown, above 0.
        most: most intervals or groups of levels wanted; None for as many as have enough loans.
    """

    def is_sound(counts: Sequence[int]) -> bool:
        return counts[0] >= least and is_publishable(counts[1], least)

    bins, counts = development.bins, np.stack([development.expected, actual], axis=1)
    if development.missing_in is not None:
        counts = _moved(counts, len(bins) - 1, development.missing_in)
    bins, counts = _without_small_specials(bins, counts, is_sound)
    bins, counts, members = _merged(bins, counts, is_sound, most)
    missing_in = None
    if development.missing_in is not None:
        missing_in = next(at for at, some in enumerate(members) if development.missing_in in some)
    elif not all(is_publishable(count, least) for count in counts[-1].tolist()):
        missing_in = int(np.argmax(counts[: bins.regular, 0]))
        counts = _moved(counts, len(bins) - 1, missing_in)
    if not is_sound(counts[0].tolist()) and counts[0].any():
        # Hardly any loan has a number of its own: all are one bin.
        bins, missing_in = replace(bins, special=()), 0
        counts = np.stack([counts.sum(axis=0), np.zeros(2, dtype=np.int64)])
    return _shift(bins, counts.tolist(), missing_in, feature)


def of_schema(shift: Shift, schema: Schema) -> BinCounts:
    """The bins and development counts that an earlier record holds of a feature.

    Raises:
        SchemaError: the schema is another one.
    """
    at = 0
    columns: tuple[int, ...] = ()
    for feature in schema.features:
        if feature.name == shift.name:
            columns = tuple(range(at, at + len(feature.columns)))
        at += len(feature.columns)
    bins = FeatureBins(shift.name, columns, shift.edges, shift.groups, shift.special)
    check_bins(bins, schema)
    expected = [row.expected for row in shift.bins] + ([] if shift.missing_in is None else [0])
    return BinCounts(bins, np.array(expected, dtype=np.int64), shift.missing_in)


def _without_small_specials(
    bins: FeatureBins, counts: NDArray[np.int64], is_sound: _Sound
) -> tuple[FeatureBins, NDArray[np.int64]]:
    kept = list(range(bins.regular))
    special = []
    for number, value in enumerate(bins.special):
        at = bins.regular + number
        if is_sound(counts[at].tolist()):
            kept.append(at)
            special.append(value)
        else:
            edges = np.array(bins.edges, dtype=np.float32)
            counts = _moved(counts, at, int(np.searchsorted(edges, np.float32(value), side="right")))
    return replace(bins, special=tuple(special)), counts[[*kept, len(bins) - 1]]


def _merged(
    bins: FeatureBins, counts: NDArray[np.int64], is_sound: _Sound, most: int | None
) -> tuple[FeatureBins, NDArray[np.int64], list[tuple[int, ...]]]:
    """With intervals or groups merged; also which of the former each holds."""
    regular, others = counts[: bins.regular], counts[bins.regular :]
    wanted = None if most is None or bins.regular <= most else most
    members: list[tuple[int, ...]]
    if bins.groups:
        members = merge_smallest(regular, is_sound, bins.regular if wanted is None else wanted)
        groups = tuple(tuple(sorted(level for at in some for level in bins.groups[at])) for some in members)
        merged = replace(bins, groups=groups)
    else:
        spans = merge_neighbours(regular, is_sound, wanted)
        members = [tuple(range(*span)) for span in spans]
        merged = replace(bins, edges=tuple(bins.edges[end - 1] for _, end in spans[:-1]))
    rows = [regular[list(some)].sum(axis=0) for some in members]
    return merged, np.concatenate([np.stack(rows), others]), members


def _moved(counts: NDArray[np.int64], source: int, target: int) -> NDArray[np.int64]:
    """Counts with those of one bin added to another's."""
    moved = counts.copy()
    moved[target] += moved[source]
    moved[source] = 0
    return moved


def _shift(bins: FeatureBins, counts: list[list[int]], missing_in: int | None, feature: Feature) -> Shift:
    labels = list(bins.labels(feature))
    if missing_in is not None:
        labels[missing_in] += " or missing"
        labels, counts = labels[:-1], counts[:-1]
    rows = tuple(
        ShiftBin(label=label, expected=expected, actual=actual)
        for label, (expected, actual) in zip(labels, counts, strict=True)
    )
    return shift_of(bins.feature, rows).model_copy(
        update={"edges": bins.edges, "groups": bins.groups, "special": bins.special, "missing_in": missing_in}
    )
