"""How far a distribution has moved, and how concentrated it is, from counts."""

from __future__ import annotations

from collections.abc import Sequence

from riskfed.evaluation.special_functions import log

_HALF = 0.5
"""Count that stands for none on one side, so that the logarithm is finite."""


def shift_index(expected: Sequence[int], actual: Sequence[int]) -> float | None:
    """Population stability index: the sum of (q - p) ln(q / p) over the shares p at development and q lately.

    It is the symmetrised Kullback-Leibler divergence (Jeffreys 1946). By convention (Siddiqi 2006, ch. 9) there is little change below
    0.10, and much above 0.25.

    Args:
        expected, actual: loans in each bin. A bin that is empty on one side counts half a loan there; one empty on both counts nothing.

    Returns:
        the index, or None where one side has no loan at all.
    """
    before, lately = sum(expected), sum(actual)
    if not (before and lately):
        return None
    index = 0.0
    for old, new in zip(expected, actual, strict=True):
        if old or new:
            p, q = (old or _HALF) / before, (new or _HALF) / lately
            index += (q - p) * log(q / p)
    return index


def sampling_noise(expected: Sequence[int], actual: Sequence[int]) -> float | None:
    """What `shift_index` is expected to be of two samples of one population: about (bins - 1) (1/n + 1/m).

    Yurdakul and Naranjo (2020), Statistical properties of the population stability index, J. Risk Model Validation 14(4). None as there.
    """
    before, lately = sum(expected), sum(actual)
    if not (before and lately):
        return None
    filled = sum(1 for old, new in zip(expected, actual, strict=True) if old or new)
    return (filled - 1) * (1 / before + 1 / lately)


def concentration(rows: Sequence[int]) -> float:
    """Herfindahl-Hirschman index of loans over grades: the sum of squared shares, from 1 / grades to 1; there is a loan at least."""
    total = sum(rows)
    return sum(count * count for count in rows) / (total * total)
