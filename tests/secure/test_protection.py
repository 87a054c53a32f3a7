"""What holds for every scheme: the right sum, and nothing but the right sum."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riskfed.errors import LocalProtocolError, PlanError, ProtectionError, RemoteProtocolError
from riskfed.secure import (
    Combiner,
    Context,
    Header,
    MaskingProtection,
    PaillierKey,
    PaillierProtection,
    Protection,
    combiner_for,
    serialize_public,
)
from riskfed.secure.protection import HEADER_BYTES
from tests.secure.banks import ROSTER, context_of, fixed_session, pooled, random_values

pytestmark = pytest.mark.usefixtures("short_keys")
Scheme = tuple[Callable[..., dict[str, Protection]], Combiner]


@pytest.fixture(scope="module", params=["masking", "paillier"])
def scheme(request: pytest.FixtureRequest, short_key: PaillierKey) -> Scheme:
    """Makes the banks' sides with fresh step registers for a context, and the server's side."""
    name = request.param

    def banks(context: Context | None = None) -> dict[str, Protection]:
        keys = fixed_session(context)
        if name == "masking":
            return {bank: MaskingProtection(k) for bank, k in keys.items()}
        return {bank: PaillierProtection(k, short_key) for bank, k in keys.items()}

    request.getfixturevalue("short_keys")
    return banks, combiner_for(name, serialize_public(short_key.public_key) if name == "paillier" else b"")


@settings(max_examples=40)
@given(
    length=st.integers(0, 60),
    seed=st.integers(0, 2**32),
    bound=st.integers(0, 2**62),
    step=st.integers(0, 2**63 - 1),
    count=st.integers(3, 6),
)
def test_every_bank_reveals_the_sum(scheme, length, seed, bound, step, count):
    banks, combiner = scheme
    roster = tuple("abcdef"[:count])
    values = random_values(seed, roster, length, bound)
    expected = np.sum(list(values.values()), axis=0)
    for total in pooled(banks(context_of(roster)), combiner, values, step, bound).values():
        assert total.dtype == np.int64
        assert total.tolist() == expected.tolist()


def test_values_at_the_bound(scheme):
    banks, combiner = scheme
    values = {name: np.zeros(9, np.int64) for name in ROSTER}
    values["beta"][:] = [2**62, -(2**62)] * 4 + [1]
    for total in pooled(banks(), combiner, values, 0, 2**62).values():
        assert total.tolist() == values["beta"].tolist()


@settings(max_examples=20)
@given(bounds=st.lists(st.sampled_from([0, 0, 1, 100, 2**31, 2**55, 2**62]), max_size=60), seed=st.integers(0, 2**32))
def test_each_value_with_a_bound_of_its_own(scheme, bounds, seed):
    banks, combiner = scheme
    bounds = np.array(bounds, dtype=np.int64)
    rng = np.random.default_rng(seed)
    values = {name: rng.integers(-(bounds // 3), bounds // 3, endpoint=True) for name in ROSTER}
    for total in pooled(banks(), combiner, values, 0, bounds).values():
        assert total.tolist() == sum(values.values()).tolist()


def test_banks_that_lay_out_their_slots_differently_reveal_nothing(scheme):
    """The widths have the same sum, so the server notices nothing."""
    banks, combiner = scheme
    bounds = np.full(40, 2**30, dtype=np.int64)
    bounds[:20] = 2**31
    parties = banks()
    parts = [bank.protect(np.ones(40, np.int64), 0, bounds[:: -1 if n == "beta" else 1]) for n, bank in parties.items()]
    refuses(parties, combiner.combine(parts), 0, BY_MASKS_AND_TAGS)


def test_many_steps_of_different_lengths(scheme):
    banks, combiner = scheme
    parties = banks()
    for step, length in enumerate([5, 5, 17, 0, 17]):
        values = random_values(step, ROSTER, length, 2**40)
        for total in pooled(parties, combiner, values, step, 2**40).values():
            assert total.tolist() == np.sum(list(values.values()), axis=0).tolist()


def test_the_banks_own_values_are_left_as_they_were(scheme):
    banks, _ = scheme
    values = np.arange(20)
    banks()["alpha"].protect(values, 0, 100)
    assert values.tolist() == list(range(20))


@pytest.mark.parametrize(
    ("values", "bound", "message"),
    [
        (np.zeros(3), 10, "float64"),
        (np.zeros((3, 1), np.int64), 10, "2 dimensions"),
        (np.zeros(3, np.int32), 10, "int32"),
        (np.array([11]), 10, "above the declared bound"),
        (np.array([-11]), 10, "above the declared bound"),
        (np.array([-(2**63)]), 2**62, "above the declared bound"),
        (np.array([1, 0, 1]), np.array([1, 0, 0]), "above the declared bound"),
        (np.zeros(3, np.int64), np.array([1, 1]), "bounds of shape"),
        (np.zeros(3, np.int64), 2**62 + 1, "expected 0 to 2\\^62"),
        (np.zeros(3, np.int64), -1, "expected 0 to 2\\^62"),
    ],
)
def test_values_and_bounds_that_cannot_be_protected_are_refused(scheme, values, bound, message):
    with pytest.raises(ProtectionError, match=message):
        scheme[0]()["alpha"].protect(values, 0, bound)


def test_a_step_is_answered_once_even_by_another_object_on_the_same_keys(short_key):
    keys = fixed_session()["alpha"]
    MaskingProtection(keys).protect(np.arange(3), 4, 10)
    for again in (MaskingProtection(keys), PaillierProtection(keys, short_key)):
        for step in (4, 3):
            with pytest.raises(LocalProtocolError, match="each step is answered once"):
                again.protect(np.arange(3), step, 10)


def test_a_sum_is_opened_once_and_only_at_the_step_that_was_protected(scheme):
    banks, combiner = scheme
    parties = banks()
    with pytest.raises(LocalProtocolError, match="no open sum of step 0"):
        parties["alpha"].reveal(b"", {}, 0)
    combined = combiner.combine([bank.protect(np.arange(3), 5, 10) for bank in parties.values()])
    for step in (4, 6):
        with pytest.raises(LocalProtocolError, match=f"no open sum of step {step}"):
            parties["alpha"].reveal(combined, {}, step)
    shares = {name: bank.share(combined, 5) for name, bank in parties.items()}
    assert parties["alpha"].reveal(combined, shares, 5).tolist() == [0, 3, 6]
    with pytest.raises(LocalProtocolError, match="opens it once"):
        parties["alpha"].reveal(combined, shares, 5)


def forged(message: bytes, **fields: object) -> bytes:
    """The message with another header."""
    return dataclasses.replace(Header.of(message), **fields).to_bytes() + message[HEADER_BYTES:]


BY_MASKS_AND_TAGS = "not a packed sum|not that of what the 3 banks sent"


def refuses(parties: dict[str, Protection], combined: bytes, step: int, reason: str) -> None:
    """The banks do not open `combined` together."""
    with pytest.raises(ProtectionError, match=reason):
        shares = {name: bank.share(combined, step) for name, bank in parties.items()}
        parties["alpha"].reveal(combined, shares, step)


WRONG_CONTEXTS = {
    "run": context_of(run="other"),
    "attempt": context_of(attempt=1),
    "plan": context_of(plan=b"other"),
    "roster": context_of(roster=("alpha", "beta", "gamma2")),
}


@pytest.mark.parametrize("forge_header", [False, True])
@pytest.mark.parametrize("field", WRONG_CONTEXTS)
def test_the_sum_of_another_run_attempt_plan_or_roster_is_refused(scheme, field, forge_header):
    """By its header; and were that forged, by masks and tags."""
    banks, combiner = scheme
    other = banks(WRONG_CONTEXTS[field])
    combined = combiner.combine([bank.protect(np.arange(30), 0, 100) for bank in other.values()])
    parties = banks()
    for bank in parties.values():
        bank.protect(np.arange(30), 0, 100)
    if forge_header:
        combined = forged(combined, context_digest=context_of().digest)
    refuses(parties, combined, 0, BY_MASKS_AND_TAGS if forge_header else "belongs to another run")


@pytest.mark.parametrize("forge_header", [False, True])
def test_the_sum_of_another_step_is_refused(scheme, forge_header):
    banks, combiner = scheme
    parties = banks()
    old = combiner.combine([bank.protect(np.arange(30), 0, 100) for bank in parties.values()])
    for bank in parties.values():
        bank.protect(np.arange(30), 1, 100)
    if forge_header:
        refuses(parties, forged(old, step=1), 1, BY_MASKS_AND_TAGS)
    else:
        refuses(parties, old, 1, "got the sum of 3 parts for step 0")


@pytest.mark.parametrize("forge_header", [False, True])
@pytest.mark.parametrize(
    "parts", [("alpha", "beta"), ("beta", "gamma"), ("gamma",), ("alpha", "beta", "gamma", "gamma")]
)
def test_the_sum_of_too_few_or_too_many_banks_is_refused(scheme, parts, forge_header):
    banks, combiner = scheme
    parties = banks()
    uploads = {name: bank.protect(np.arange(30), 0, 100) for name, bank in parties.items()}
    combined = combiner.combine([uploads[name] for name in parts])
    if forge_header:
        refuses(parties, forged(combined, parts=3), 0, BY_MASKS_AND_TAGS)
    else:
        refuses(parties, combined, 0, f"got the sum of {len(parts)} parts")


@pytest.mark.parametrize(
    "swapped", [("alpha", "alpha", "beta"), ("alpha", "beta", "beta"), ("gamma", "gamma", "gamma")]
)
def test_one_banks_part_in_place_of_anothers_is_refused(scheme, swapped):
    banks, combiner = scheme
    parties = banks()
    uploads = {name: bank.protect(np.arange(30), 0, 100) for name, bank in parties.items()}
    refuses(parties, combiner.combine([uploads[name] for name in swapped]), 0, BY_MASKS_AND_TAGS)


def test_the_server_refuses_to_add_what_does_not_belong_together(scheme):
    banks, combiner = scheme
    parties = banks()
    first = {name: bank.protect(np.arange(30), 0, 100) for name, bank in parties.items()}
    second = {name: bank.protect(np.arange(31), 1, 100) for name, bank in parties.items()}
    foreign = banks(context_of(attempt=1))["beta"].protect(np.arange(30), 0, 100)
    for parts, message in [
        ([], "no protected parts"),
        ([first["alpha"], second["beta"]], "another step, run, scheme or length"),
        ([first["alpha"], foreign], "another step, run, scheme or length"),
        ([first["alpha"], forged(first["beta"], count=29)], "another step, run, scheme or length"),
        ([first["alpha"], first["beta"][:-1]], "bytes"),
        ([first["alpha"], first["beta"] + b"\0"], "bytes"),
        ([first["alpha"], b""], "does not start with the header"),
        ([first["alpha"], b"XXXX" + first["beta"][4:]], "does not start with the header"),
        ([first["alpha"]] * 256, "at most 255"),
        ([forged(part, items=0) for part in first.values()], "bytes"),
    ]:
        with pytest.raises(RemoteProtocolError, match=message):
            combiner.combine(parts)


def test_the_server_refuses_parts_of_the_other_scheme(short_key):
    keys = fixed_session()
    masked = [MaskingProtection(k).protect(np.arange(3), 0, 10) for k in keys.values()]
    encrypted = [PaillierProtection(k, short_key).protect(np.arange(3), 1, 10) for k in keys.values()]
    with pytest.raises(RemoteProtocolError, match="told to add paillier"):
        combiner_for("paillier", serialize_public(short_key.public_key)).combine(masked)
    with pytest.raises(RemoteProtocolError, match="told to add masking"):
        combiner_for("masking").combine(encrypted)


def test_an_unknown_scheme_is_refused():
    with pytest.raises(PlanError, match="unknown protection 'none'; known are masking, paillier"):
        combiner_for("none")


def test_headers_survive_bytes():
    header = Header("paillier", 255, 64, 2**63 - 1, 2**40, bytes(range(32)))
    assert Header.of(header.to_bytes() + b"body") == header
    assert len(header.to_bytes()) == HEADER_BYTES == 64
    for message in (header.to_bytes()[:63], b"", b"RFP1" + bytes(60), b"RFP2" + bytes(60)):
        with pytest.raises(RemoteProtocolError):
            Header.of(message)


def test_nothing_secret_is_shown(scheme):
    for bank in scheme[0]().values():
        shown = repr(bank) + str(bank)
        assert "group_key" not in shown
        assert fixed_session()["alpha"].group_key.hex() not in shown
