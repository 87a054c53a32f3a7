"""Slots in one long integer: as wide as the bound, additive, and its sums those of a group."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskfed.errors import ProtectionError
from riskfed.secure.slots import (
    add_words,
    all_within,
    read_slots,
    slot_widths,
    subtract_words,
    words_for,
    write_slots,
)

BOUNDS = st.one_of(st.just(0), st.integers(0, 2**62), st.integers(0, 62).map(lambda k: 2**k), st.integers(0, 300))


@st.composite
def bounded_values(draw):
    """(n,) int64 bounds and values within them, often at the edge."""
    bounds = draw(st.lists(BOUNDS, max_size=60))
    values = [draw(st.one_of(st.integers(-bound, bound), st.sampled_from([bound, -bound]))) for bound in bounds]
    return np.array(bounds, dtype=np.int64), np.array(values, dtype=np.int64)


def written(values, widths):
    words = np.full(words_for(widths), 12345, dtype=np.uint64)
    write_slots(values, widths, words)
    return words


def as_integer(words):
    return sum(int(word) << 64 * i for i, word in enumerate(words))


@given(bounded_values())
def test_slots_are_as_wide_as_their_bounds_and_give_the_values_back(case):
    bounds, values = case
    widths = slot_widths(bounds, len(bounds))
    assert widths.tolist() == [bound.bit_length() + 1 if bound else 0 for bound in bounds.tolist()]
    words = written(values, widths)
    assert read_slots(words, widths).tolist() == values.tolist()
    offsets = (np.cumsum(widths.astype(int)) - widths).tolist()
    assert as_integer(words) == sum(v << o for v, o in zip(values.tolist(), offsets, strict=True)) % 2 ** (
        64 * len(words)
    )


@given(bounded_values(), st.integers(1, 255), st.integers(0, 2**32))
def test_whoever_adds_needs_no_widths(case, parties, seed):
    bounds, _ = case
    widths, share = slot_widths(bounds, len(bounds)), bounds // parties
    parts = np.random.default_rng(seed).integers(-share, share, (parties, len(bounds)), endpoint=True)
    total = written(parts[0], widths)
    for part in parts[1:]:
        add_words(total, written(part, widths), 0)
    assert read_slots(total, widths).tolist() == parts.sum(axis=0).tolist()


WORDS = st.lists(st.sampled_from([0, 1, 2**63, 2**64 - 1]) | st.integers(0, 2**64 - 1), min_size=1, max_size=9)


@given(WORDS, st.integers(0, 9), st.data())
def test_long_addition_and_subtraction_in_pieces(first, cut, data):
    """Carries run through words and from piece to piece."""
    second = data.draw(st.lists(st.sampled_from([0, 1, 2**64 - 1]), min_size=len(first), max_size=len(first)))
    a, b = np.array(first, dtype=np.uint64), np.array(second, dtype=np.uint64)
    modulus, total, rest = 2 ** (64 * len(a)), a.copy(), a.copy()
    carry = add_words(total[cut:], b[cut:], add_words(total[:cut], b[:cut], 0))
    assert as_integer(total) + carry * modulus == as_integer(a) + as_integer(b)
    borrow = subtract_words(rest[cut:], b[cut:], subtract_words(rest[:cut], b[:cut], 0))
    assert as_integer(rest) - borrow * modulus == as_integer(a) - as_integer(b)


@given(bounded_values())
def test_one_bound_for_all_is_that_bound_for_each(case):
    bounds, values = case
    bound = int(bounds.max(initial=0))
    each = np.full(len(bounds), bound, dtype=np.int64)
    assert slot_widths(bound, len(bounds)).tolist() == slot_widths(each, len(bounds)).tolist()
    assert all_within(values, bound)
    assert all_within(values, bounds)
    if len(values) and bounds[0] < 2**62:
        values[0] = -bounds[0] - 1
        assert not all_within(values, bounds)


@pytest.mark.parametrize(
    ("bound", "message"),
    [
        (2**62 + 1, "expected 0 to 2\\^62"),
        (-1, "expected 0 to 2\\^62"),
        (np.array([1, -1, 2]), "a bound is negative"),
        (np.array([1, 2**62 + 1, 2]), "or above 2\\^62"),
        (np.array([1, 2]), "shape \\(2,\\)"),
        (np.ones(3), "float64 bounds"),
    ],
)
def test_impossible_bounds_are_refused(bound, message):
    with pytest.raises(ProtectionError, match=message):
        slot_widths(bound, 3)
