"""Packing: round trips, additivity, and the edges of slots."""

import numpy as np
import pytest
from gmpy2 import mpz
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from riskfed.errors import ProtectionError
from riskfed.secure.packing import pack, slot_width, slots_per_plaintext, unpack

WIDTHS = st.sampled_from([40, 48, 56, 64])
MODULUS = mpz(2) ** 2047 + 5


@st.composite
def packed_arrays(draw):
    width = draw(WIDTHS)
    edge = 2 ** (width - 1) - 1
    values = draw(hnp.arrays(np.int64, st.integers(0, 80), elements=st.integers(-edge, edge)))
    return width, draw(st.integers(1, slots_per_plaintext(2048, width))), values


@given(packed_arrays())
def test_unpack_undoes_pack(case):
    width, slots, values = case
    packed = pack(values, width, slots)
    assert all(abs(p) < 2 ** (width * slots - 1) for p in packed)
    residues = [p % MODULUS for p in packed]
    assert unpack(residues, MODULUS, width, slots, len(values)).tolist() == values.tolist()


@given(packed_arrays())
def test_a_packed_integer_is_the_sum_of_shifted_values(case):
    width, slots, values = case
    for k, packed in enumerate(pack(values, width, slots)):
        assert packed == sum(v << (width * i) for i, v in enumerate(values[k * slots : (k + 1) * slots].tolist()))


@given(packed_arrays(), st.integers(2, 255))
def test_sums_of_packed_integers_are_the_packed_sums(case, banks):
    width, slots, values = case
    parts = [values // banks + i % 2 - values // banks * (i % 3 == 2) for i in range(banks)]
    total = np.sum(parts, axis=0)
    if (np.abs(total) >= 2 ** (width - 1)).any():
        return
    sums = [sum(column) % MODULUS for column in zip(*(pack(part, width, slots) for part in parts), strict=True)]
    assert unpack(sums, MODULUS, width, slots, len(values)).tolist() == total.tolist()


@pytest.mark.parametrize(
    ("bound", "width"),
    [(0, 40), (2**39 - 1, 40), (2**39, 48), (2**47 - 1, 48), (2**47, 56), (2**55, 64), (2**62, 64), (2**63 - 1, 64)],
)
def test_slots_have_room_for_the_bound_and_its_sign(bound, width):
    assert slot_width(bound) == width
    values = np.array([bound, -bound])
    assert unpack([p % MODULUS for p in pack(values, width, 2)], MODULUS, width, 2, 2).tolist() == values.tolist()


def test_a_bound_of_64_bits_fits_no_slot():
    with pytest.raises(ProtectionError, match="64 bits"):
        slot_width(2**63)


@pytest.mark.parametrize("bits", [511, 512, 1024, 2047, 2048, 3072])
@pytest.mark.parametrize("width", [40, 48, 56, 64])
def test_packed_integers_stay_below_half_of_every_modulus_of_the_length(bits, width):
    slots = slots_per_plaintext(bits, width)
    largest = sum((2 ** (width - 1) - 1) << (width * i) for i in range(slots))
    assert largest < 2 ** (bits - 1) // 2
    assert width * (slots + 1) > bits - 1


def test_what_is_not_a_packed_integer_is_refused():
    """As a residue that still carries a mask, but for one in 2^64 of them."""
    with pytest.raises(ProtectionError, match="not a packed sum"):
        unpack([MODULUS // 2], MODULUS, 64, 31, 31)
    with pytest.raises(ProtectionError, match="expected 2 for 32 values"):
        unpack([mpz(0)], MODULUS, 64, 31, 32)
