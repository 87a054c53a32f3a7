"""The canary: real protection passes, every failure of it that can be seen from outside is found."""

import base64
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phe import PaillierPublicKey
from scipy.stats import chi2

from riskfed.errors import ProtectionError, RemoteProtocolError
from riskfed.secure import (
    Header,
    MaskingProtection,
    PaillierProtection,
    canary_values,
    check_canary_sum,
    check_upload,
    plaintext_on_wire,
)
from riskfed.secure import canary as canary_module
from riskfed.secure.canary import CANARY_BOUND
from riskfed.secure.integrity import append_tags, tagged_widths
from riskfed.secure.packing import pack
from riskfed.secure.slots import slot_widths, words_for, write_slots
from tests.secure.banks import ROSTER, SHORT_KEY_BITS, context_of, fixed_session

pytestmark = pytest.mark.usefixtures("short_keys")
KEYS = fixed_session()
VALUES = canary_values(KEYS["alpha"], "alpha", 1024)
NOISE = np.random.default_rng(0).bytes(20_000)


def halves(order: str) -> bytes:
    low, high = VALUES & 0xFFFFFFFF, VALUES >> 32
    return low.astype(f"{order}u4").tobytes() + high.astype(f"{order}i4").tobytes()


ENCODINGS = {
    "int64 little": VALUES.astype("<i8").tobytes(),
    "int64 big": VALUES.astype(">i8").tobytes(),
    "float64 little": VALUES.astype("<f8").tobytes(),
    "float64 big": VALUES.astype(">f8").tobytes(),
    "float32 little": VALUES.astype("<f4").tobytes(),
    "float32 big": VALUES.astype(">f4").tobytes(),
    "halves little": halves("<"),
    "halves big": halves(">"),
    "high half first": np.stack([VALUES >> 32, VALUES & 0xFFFFFFFF], axis=1).astype("<u4").tobytes(),
    "text": b" ".join(b"%d" % v for v in VALUES.tolist()),
    "csv": b",".join(b"%d" % v for v in VALUES.tolist()),
    "json": str(VALUES.tolist()).encode(),
    "lines": b"\n".join(b"%d" % v for v in VALUES.tolist()),
    "base64": base64.b64encode(VALUES.tobytes()),
    "hexadecimal": VALUES.tobytes().hex().encode(),
    "reversed": VALUES[::-1].astype(">i8").tobytes()[::-1],
} | {
    f"packed in {width} bits, {order}": b"".join(
        int(p % 2**2048).to_bytes(256, order) for p in pack(VALUES, np.full(1024, width, dtype=np.uint8), 2048)
    )
    for width in (56, 64)
    for order in ("little", "big")
}


def test_canaries_are_the_known_ones():
    assert canary_values(KEYS["alpha"], "alpha", 3).tolist() == [103073837310589, -21072059359316, 55749247844541]


def test_canaries_are_common_knowledge_of_the_banks_bounded_and_spread():
    for bank in ROSTER:
        drawn = [canary_values(keys, bank, 1000) for keys in KEYS.values()]
        assert all(np.array_equal(drawn[0], other) for other in drawn)
    assert np.abs(VALUES).max() < 2**48
    assert np.abs(VALUES).max() > 2**46
    assert abs((VALUES < 0).mean() - 0.5) < 0.1
    other_attempt = fixed_session(context_of(attempt=1))["alpha"]
    assert not np.intersect1d(canary_values(other_attempt, "alpha", 1000), VALUES).size
    assert not np.intersect1d(canary_values(KEYS["alpha"], "beta", 1000), VALUES).size


def test_the_sum_of_canaries_is_checked():
    total = np.sum([canary_values(KEYS["alpha"], bank, 50) for bank in ROSTER], axis=0)
    check_canary_sum(KEYS["beta"], total)
    total[17] += 1
    with pytest.raises(ProtectionError, match="not the sum of the banks' canaries"):
        check_canary_sum(KEYS["beta"], total)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("shift", [0, 1, 5])
def test_plaintext_is_found_in_every_encoding_at_any_offset(encoding, shift):
    text = encoding in {"base64", "hexadecimal"}
    assert plaintext_on_wire(VALUES, ENCODINGS[encoding] if text else NOISE[:shift] + ENCODINGS[encoding] + NOISE)


@given(st.integers(0, 1023), st.integers(0, len(NOISE)), st.sampled_from(["<i8", ">i8", "<f8", ">f8"]))
def test_a_single_value_is_found(index, offset, encoding):
    wire = NOISE[:offset] + VALUES[index : index + 1].astype(encoding).tobytes() + NOISE[offset:]
    assert plaintext_on_wire(VALUES, wire) == (abs(int(VALUES[index])) >= 2**32)


def test_small_values_are_found_by_runs_and_not_by_chance():
    counts = np.arange(100, 200)
    assert plaintext_on_wire(counts, NOISE + counts.astype("<i4").tobytes())
    assert not plaintext_on_wire(counts, NOISE + bytes(1000))
    assert not plaintext_on_wire(np.zeros(100, np.int64), bytes(1000))


def test_protected_bytes_hold_no_plaintext(short_key):
    wires = [
        MaskingProtection(fixed_session()["alpha"]).protect(VALUES, 0, CANARY_BOUND),
        PaillierProtection(fixed_session()["alpha"], short_key).protect(VALUES, 0, CANARY_BOUND),
        NOISE,
        b"",
    ]
    assert not any(plaintext_on_wire(VALUES, wire) for wire in wires)


def test_real_protection_passes(short_key):
    for _ in range(5):
        masked = MaskingProtection(fixed_session()["alpha"]).protect(VALUES, 0, CANARY_BOUND)
        check_upload("masking", 0, 1024, masked)
        encrypted = PaillierProtection(fixed_session()["alpha"], short_key).protect(VALUES, 0, CANARY_BOUND)
        check_upload("paillier", SHORT_KEY_BITS, 1024, encrypted, modulus=short_key.public_key.n)


WIDTHS = tagged_widths(slot_widths(CANARY_BOUND, 1024))
TAGGED = append_tags(VALUES, KEYS["alpha"], 0)


def unmasked() -> bytes:
    """The body of a masked message as it is before any mask."""
    words = np.empty(words_for(WIDTHS), dtype=np.uint64)
    write_slots(TAGGED, WIDTHS, words)
    return words.astype("<u8").tobytes()


def test_slots_without_a_mask_are_found():
    assert plaintext_on_wire(VALUES, masking_wire(unmasked()))


def paillier_wire(numbers: list[int], size: int = 2 * SHORT_KEY_BITS // 8) -> bytes:
    header = Header("paillier", 1, 64, 0, 1024, KEYS["alpha"].context.digest)
    return header.to_bytes() + b"".join(number.to_bytes(size, "big") for number in numbers)


def masking_wire(body: bytes) -> bytes:
    return Header("masking", 1, 64, 0, 1024, KEYS["alpha"].context.digest).to_bytes() + body


def test_protection_that_is_off_is_found(short_key):
    public: PaillierPublicKey = short_key.public_key
    packed = [int(p % public.n) for p in pack(TAGGED, WIDTHS, SHORT_KEY_BITS)]
    bare = [1 + m * public.n for m in packed]
    constant = [c * pow(2, public.n, public.nsquare) % public.nsquare for c in bare]
    proper = [int(public.raw_encrypt(m)) for m in packed]
    wires = {
        "cut": (masking_wire(bytes(8 * 900)), "masking", "has 7264 bytes"),
        "plain": (masking_wire(unmasked()), "masking", "not evenly distributed"),
        "zeros": (masking_wire(bytes(8 * words_for(WIDTHS))), "masking", "not evenly distributed"),
        "other scheme": (masking_wire(bytes(8 * words_for(WIDTHS))), "paillier", "1024 values under masking"),
        "packed only": (paillier_wire(packed), "paillier", "far shorter"),
        "no obfuscation": (paillier_wire(bare), "paillier", "lacks its random factor"),
        "not randomised": (paillier_wire([constant[0]] * len(packed)), "paillier", "not randomised"),
        "shorter key": (paillier_wire(packed, 64), "paillier", "takes"),
        "zlib": (masking_wire(zlib.compress(VALUES.tobytes())), "masking", "takes"),
    }
    for wire, name, message in wires.values():
        with pytest.raises(ProtectionError, match=message):
            check_upload(name, SHORT_KEY_BITS, 1024, wire, modulus=public.n)
    check_upload("paillier", SHORT_KEY_BITS, 1024, paillier_wire(proper), modulus=public.n)


def test_a_canary_too_short_to_judge_is_refused():
    wire = MaskingProtection(fixed_session()["alpha"]).protect(np.arange(100), 0, CANARY_BOUND)
    with pytest.raises(ProtectionError, match="too short to judge"):
        check_upload("masking", 0, 100, wire)


def test_bytes_without_a_header_are_refused():
    with pytest.raises(RemoteProtocolError):
        check_upload("masking", 0, 1024, NOISE)


def test_the_limit_of_the_statistic_is_passed_by_chance_once_in_a_billion_uploads():
    assert chi2.sf(canary_module.CHI_SQUARE_LIMIT, 255) < 1e-9
    assert chi2.sf(canary_module.CHI_SQUARE_LIMIT - 1, 255) > 1e-9
