"""The check of a sum: true sums pass, and every other one is found."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from riskfed.errors import ProtectionError
from riskfed.secure import integrity
from riskfed.secure.integrity import TAG_SLOTS, append_tags, verify_and_strip
from riskfed.secure.primitives import Keystream
from tests.secure.banks import ROSTER, context_of, fixed_session, random_values, session

KEYS = fixed_session()
BOUND = 2**62
INT64 = st.integers(-(2**63), 2**63 - 1)


def total_of(values: dict[str, np.ndarray], step: int = 0, keys=KEYS) -> np.ndarray:
    return np.sum([append_tags(values[name], keys[name], step) for name in values], axis=0)


def changed(total: np.ndarray, position: int, error: int) -> np.ndarray:
    """`total` with `error` added to one slot mod 2^64."""
    words = total.view(np.uint64).copy()
    words[position] = (int(words[position]) + error) % 2**64
    return words.view(np.int64)


@given(st.integers(0, 9000), st.integers(0, 2**32), st.integers(0, BOUND))
def test_true_sums_pass_and_come_back_without_the_tag(length, seed, bound):
    values = random_values(seed, ROSTER, length, bound)
    assert np.array_equal(verify_and_strip(total_of(values), KEYS["beta"], 0), np.sum(list(values.values()), axis=0))


@given(hnp.arrays(np.int64, st.integers(0, 20), elements=INT64), st.integers(0, 100))
def test_the_hash_is_that_of_the_definition(values, step):
    """Against Python's integers, at the extremes of int64 too."""
    keys = KEYS["alpha"]
    inner = np.frombuffer(Keystream(keys.derive("sum check, inner weights", step)).read(8 * len(values)), dtype="<u8")
    outer = int.from_bytes(Keystream(keys.derive("sum check, outer weights", step)).read(8), "little")
    block = sum(int(s) * int(v) for s, v in zip(inner, values, strict=True))
    assert integrity._hash(values, keys, step) == outer * block % 2**217


def test_the_hash_of_many_blocks_is_that_of_the_definition():
    keys = KEYS["alpha"]
    values = np.random.default_rng(0).integers(-(2**63), 2**63 - 1, 10_000)
    inner = np.frombuffer(Keystream(keys.derive("sum check, inner weights", 1)).read(8 * 4096), dtype="<u8").tolist()
    outer = np.frombuffer(Keystream(keys.derive("sum check, outer weights", 1)).read(8 * 3), dtype="<u8").tolist()
    expected = sum(outer[i // 4096] * inner[i % 4096] * v for i, v in enumerate(values.tolist())) % 2**217
    assert integrity._hash(values, keys, 1) == expected


@settings(max_examples=200)
@given(st.integers(0, 5000 + TAG_SLOTS - 1), st.integers(1, 2**64 - 1))
def test_any_change_of_any_slot_is_found(position, error):
    """Values of the first and second block, and each limb of the tag."""
    # Adding a multiple of 2^31 to the last limb adds a multiple of the modulus to the tag: same tag, same values.
    assume(position < 5000 + TAG_SLOTS - 1 or error % 2**31)
    total = changed(total_of(random_values(1, ROSTER, 5000, BOUND)), position, error)
    with pytest.raises(ProtectionError, match="not that of what the 3 banks sent"):
        verify_and_strip(total, KEYS["alpha"], 0)


@pytest.mark.parametrize("error", [2**31 - 1, 2**61 - 1, 2**32, 2**62, -(2**63), 1, -1])
def test_changes_by_primes_and_powers_of_two_are_found(error):
    """What a check modulo a number near the range of the values would miss."""
    total = changed(total_of(random_values(1, ROSTER, 100, BOUND)), 50, error)
    with pytest.raises(ProtectionError):
        verify_and_strip(total, KEYS["alpha"], 0)


def test_swapped_values_replays_multiples_and_missing_banks_are_found():
    values = random_values(2, ROSTER, 100, 2**50)
    total = total_of(values)
    swapped = total.copy()
    swapped[[3, 4]] = swapped[[4, 3]]
    without_gamma = total_of({name: values[name] for name in ("alpha", "beta")})
    for wrong in (swapped, total_of(values, step=1), 2 * total, -total, 0 * total, without_gamma, total[::-1].copy()):
        with pytest.raises(ProtectionError):
            verify_and_strip(wrong, KEYS["alpha"], 0)


def test_sums_of_another_run_attempt_or_roster_are_found():
    values = random_values(3, ROSTER, 100, BOUND)
    for keys in (fixed_session(context_of(attempt=1)), fixed_session(context_of(run="other")), session()):
        with pytest.raises(ProtectionError):
            verify_and_strip(total_of(values, keys=keys), KEYS["alpha"], 0)


def test_limbs_of_the_largest_roster_stay_below_a_40_bit_slot():
    roster = tuple(f"{i:03}" for i in range(255))
    group = fixed_session(context_of(roster))
    values = {name: np.array([2**54, -(2**54)]) for name in roster}
    total = total_of(values, keys=group)
    assert total[-TAG_SLOTS:].max() < 2**39
    assert total[-TAG_SLOTS:].min() >= 0
    assert verify_and_strip(total, group["000"], 0).tolist() == [255 * 2**54, -255 * 2**54]


def test_tags_say_nothing_of_the_values():
    """Tags of zeros are padded: each limb is uniform in [0, 2^31), here within six standard errors."""
    limbs = np.array([append_tags(np.zeros(1, np.int64), KEYS["alpha"], step)[1:] for step in range(500)])
    error = 2**31 / np.sqrt(12 * limbs.size)
    assert abs(limbs.mean() - 2**30) < 6 * error
    assert len(np.unique(limbs)) == limbs.size
