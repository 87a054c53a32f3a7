"""Packing into Paillier's plaintexts: round trips, additivity, and the edges of slots."""

import numpy as np
import pytest
from gmpy2 import mpz
from hypothesis import given
from hypothesis import strategies as st

from riskfed.errors import ProtectionError
from riskfed.secure.packing import pack, plaintext_slices, unpack
from riskfed.secure.slots import slot_widths
from tests.secure.test_slots import bounded_values

BITS = 512
MODULUS = mpz(2) ** (BITS - 1) + 5


@given(bounded_values())
def test_unpack_undoes_pack(case):
    bounds, values = case
    widths = slot_widths(bounds, len(bounds))
    packed = pack(values, widths, BITS)
    assert all(2 * abs(p) < MODULUS for p in packed)
    assert unpack([p % MODULUS for p in packed], MODULUS, widths).tolist() == values.tolist()


@given(bounded_values())
def test_a_packed_integer_is_the_sum_of_shifted_values(case):
    bounds, values = case
    widths = slot_widths(bounds, len(bounds))
    slices = plaintext_slices(widths, BITS)
    for part, packed in zip(slices, pack(values, widths, BITS), strict=True):
        offsets = np.cumsum(widths[part]).tolist()
        assert packed == sum(v << o - w for v, o, w in zip(values[part].tolist(), offsets, widths[part].tolist()))


@given(bounded_values(), st.integers(2, 255), st.integers(0, 2**32))
def test_sums_of_packed_integers_are_the_packed_sums(case, banks, seed):
    bounds, _ = case
    widths, share = slot_widths(bounds, len(bounds)), bounds // banks
    parts = np.random.default_rng(seed).integers(-share, share, (banks, len(bounds)), endpoint=True)
    sums = [sum(column) % MODULUS for column in zip(*(pack(part, widths, BITS) for part in parts), strict=True)]
    assert unpack(sums, MODULUS, widths).tolist() == parts.sum(axis=0).tolist()


@pytest.mark.parametrize("bits", [511, 512, 2048])
@given(widths=st.lists(st.integers(0, 64), max_size=200))
def test_as_many_slots_as_stay_below_half_of_every_modulus_of_the_length(bits, widths):
    widths = np.array(widths, dtype=np.uint8)
    slices = plaintext_slices(widths, bits)
    assert sum(int(widths[part].sum()) for part in slices) == widths.sum()
    sizes = [int(widths[part].sum()) for part in slices]
    assert all(size <= bits - 1 for size in sizes)  # below 2^(bits - 2), at most half of the modulus
    for size, after in zip(sizes, slices[1:], strict=False):
        assert size + int(widths[after.start]) > bits - 1


def test_what_is_not_a_packed_integer_is_refused():
    """As a residue that still carries a mask, but for one in 2^57 of them."""
    widths = np.full(7, 64, dtype=np.uint8)
    with pytest.raises(ProtectionError, match="not a packed sum"):
        unpack([MODULUS // 2], MODULUS, widths)
    with pytest.raises(ProtectionError, match="expected 2 for 8 values"):
        unpack([mpz(0)], MODULUS, np.full(8, 64, dtype=np.uint8))
