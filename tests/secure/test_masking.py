"""Masks: they cancel in the full sum and nowhere else, and what is sent looks random."""

import hashlib

import numpy as np
import pytest
from scipy.stats import chi2

from riskfed.errors import ProtectionError
from riskfed.secure import MaskingCombiner, MaskingProtection
from riskfed.secure.canary import chi_square
from riskfed.secure.integrity import append_tags, tagged_widths
from riskfed.secure.primitives import Keystream
from riskfed.secure.protection import HEADER_BYTES
from riskfed.secure.slots import add_words, slot_widths, subtract_words, words_for, write_slots
from tests.secure.banks import ROSTER, context_of, fixed_session, random_values, session

LENGTH = 20_000
COMBINER = MaskingCombiner()


def words(message: bytes) -> np.ndarray:
    return np.frombuffer(message, dtype="<u8", offset=HEADER_BYTES)


def looks_random(data: np.ndarray) -> bool:
    return bool(chi2.sf(chi_square(data.view(np.uint8)), 255) > 1e-6)


def test_uploads_are_the_known_ones():
    """Written down when the format RFP2 was fixed: a change here breaks agreement between banks of different versions."""
    uploads = [MaskingProtection(k).protect(np.arange(-5, 5), 7, 2**40) for k in fixed_session().values()]
    assert [hashlib.sha256(upload).hexdigest()[:16] for upload in uploads] == [
        "2c3af31d38e2d052",
        "fe4ee7fc9ee34327",
        "b200b1436a4bea5c",
    ]


def test_an_upload_is_what_the_definition_says():
    """In plain long integers: alpha, first of the roster, adds the masks that it has with beta and gamma, and the pad."""
    keys, bounds = fixed_session()["alpha"], np.array([0, 3, 2**62, 100, 0], dtype=np.int64)
    values = np.array([0, -3, -(2**62), 99, 0], dtype=np.int64)
    upload = MaskingProtection(keys).protect(values, 9, bounds)
    widths = [0, 3, 64, 8, 0] + [40] * 7
    layout, size = hashlib.sha256(bytes(widths)).hexdigest(), 8 * -(-sum(widths) // 64)
    total, offset = 0, 0
    for value, width in zip(append_tags(values, keys, 9).tolist(), widths, strict=True):
        total, offset = total + (value << offset), offset + width
    for name in ("beta", "gamma"):
        key = keys.derive_pair(name, f"masking, pair mask, slots {layout}", 9)
        total += int.from_bytes(Keystream(key).read(size), "little")
    total += int.from_bytes(Keystream(keys.derive(f"masking, pad, slots {layout}", 9)).read(size), "little")
    assert upload[HEADER_BYTES:] == (total % 2 ** (8 * size)).to_bytes(size, "little")


def test_pair_masks_cancel_in_the_full_sum_and_the_pad_remains():
    keys = session()
    values = random_values(0, ROSTER, LENGTH, 2**62)
    pad = words(COMBINER.combine([MaskingProtection(keys[n]).protect(values[n], 0, 2**62) for n in ROSTER])).copy()
    widths = tagged_widths(slot_widths(2**62, LENGTH))
    plain = np.empty(words_for(widths), dtype=np.uint64)
    write_slots(np.sum([append_tags(values[n], keys[n], 0) for n in ROSTER], axis=0), widths, plain)
    subtract_words(pad, plain, 0)
    assert looks_random(pad)
    again = {n: MaskingProtection(k) for n, k in keys.items()}
    sums = words(COMBINER.combine([again[n].protect(np.zeros(LENGTH, np.int64), 1, 2**62) for n in ROSTER]))
    assert not np.array_equal(sums[:LENGTH], pad[:LENGTH])


@pytest.mark.parametrize("bound", [1, 2**40, 2**62])
@pytest.mark.parametrize("names", [("alpha",), ("beta",), ("gamma",), ("alpha", "beta"), ("beta", "gamma"), ROSTER])
def test_what_the_server_sees_looks_random_even_of_constant_values(names, bound):
    """Single parts, partial sums and the full sum. The chance of a wrong alarm is one in a million."""
    keys = session()
    parts = [MaskingProtection(keys[n]).protect(np.zeros(LENGTH, np.int64), 0, bound) for n in names]
    assert looks_random(words(COMBINER.combine(parts)))


def test_uploads_of_the_same_values_are_independent():
    values = np.arange(LENGTH)
    keys = session()
    bank = MaskingProtection(keys["beta"])
    uploads = [
        words(bank.protect(values, 0, LENGTH)),
        words(bank.protect(values, 1, LENGTH)),
        words(MaskingProtection(session()["beta"]).protect(values, 0, LENGTH)),
        words(MaskingProtection(keys["gamma"]).protect(values, 0, LENGTH)),
    ]
    for i, one in enumerate(uploads):
        for other in uploads[:i]:
            assert looks_random(one - other)


def test_uploads_do_not_correlate_with_the_values():
    values = random_values(5, ROSTER, LENGTH, 2**62)["beta"]
    upload = words(MaskingProtection(session()["beta"]).protect(values, 0, 2**62))[:LENGTH]
    correlation = np.corrcoef(values.astype(float), upload.view(np.int64).astype(float))[0, 1]
    assert abs(correlation) < 5 / np.sqrt(LENGTH)


def test_a_pair_of_colluding_banks_with_the_server_still_needs_the_third_pair_mask():
    """Gamma and the server know the pad and gamma's masks; alpha's part stays behind the mask of alpha and beta."""
    keys = session()
    values = np.zeros(LENGTH, np.int64)
    alpha, beta, gamma = (words(MaskingProtection(keys[n]).protect(values, 0, 1)) for n in ROSTER)
    both, difference = alpha.copy(), alpha.copy()
    add_words(both, gamma, 0)
    subtract_words(difference, beta, 0)
    for seen in (alpha, both, difference):
        assert looks_random(seen)


@pytest.mark.parametrize("position", [0, 1, 4095, 4096, LENGTH - 1, LENGTH, LENGTH + 3])
@pytest.mark.parametrize("bit", [0, 31, 63])
def test_any_changed_word_of_the_sum_is_found(position, bit):
    """First, last, at the edges of blocks, and in the tag."""
    parties = {n: MaskingProtection(k) for n, k in fixed_session().items()}
    values = random_values(6, ROSTER, LENGTH, 2**62)
    combined = bytearray(COMBINER.combine([parties[n].protect(values[n], 0, 2**62) for n in ROSTER]))
    combined[HEADER_BYTES + 8 * position + bit // 8] ^= 1 << bit % 8
    with pytest.raises(ProtectionError, match="not that of what the 3 banks sent"):
        parties["beta"].reveal(bytes(combined), {}, 0)


def test_masking_needs_no_share():
    bank = MaskingProtection(fixed_session()["alpha"])
    assert bank.share(b"anything", 0) == b""


def test_the_largest_roster():
    roster = tuple(f"bank{i:03}" for i in range(255))
    parties = {n: MaskingProtection(k) for n, k in fixed_session(context_of(roster)).items()}
    combined = COMBINER.combine([bank.protect(np.array([1, -2, 3]), 0, 1000) for bank in parties.values()])
    assert parties["bank254"].reveal(combined, {}, 0).tolist() == [255, -510, 765]
