"""A party that does not keep to the protocol of alignment gains nothing, and the run ends with an error that names it."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riskfed.errors import ProtectionError, RemoteProtocolError, RiskfedError
from riskfed.protocols.program import Exchange
from riskfed.secure.intersection_items import MOST_ITEMS
from riskfed.secure.private_set_intersection import POINT_BYTES, split_points
from tests.protocols.aligning import Change, Group

TWO = {"lender": range(40), "shop": range(20, 70)}
THREE = {"archive": range(20, 60), "lender": range(40), "shop": range(15, 70)}
EACH, ALL = "alignment, customers of each", "alignment, customers of all"


def changing(label: str, change) -> Change:
    """Change the payloads of one exchange."""
    return lambda said, to, payload: change(payload) if said == label else payload


def permuted(response: bytes) -> bytes:
    points = split_points(response)
    return b"".join([*points[1:], points[0]])


def test_a_feature_holder_that_permutes_its_answer_is_found_out_and_told_nothing() -> None:
    """With the answers in another order the label holder believes in as many, but other, common customers."""
    group = Group(TWO)
    with pytest.raises(ProtectionError, match="shop found other common customers"):
        group.align(changes={"shop": changing(f"{EACH}, bucket 1", permuted)})
    assert not group.kept
    # All that the lender sent are points under keys of its own, numbers of customers, and that something is wrong.
    sent = {request.label: request.payloads.get("shop", b"") for name, request in group.sent if name == "lender"}
    assert {label for label, payload in sent.items() if payload and ", bucket " not in label} == {
        "alignment, kept, verdict",
        "alignment, buckets",
        "alignment, found, verdict",
    }
    assert all(payload[0] in (2, 3) for label, payload in sent.items() if payload and ", bucket " in label)
    assert len(sent["alignment, found, bucket 0"]) == POINT_BYTES
    assert sent["alignment, found, verdict"] == b"\0"


def test_a_label_holder_that_permutes_its_answer_is_found_out() -> None:
    group = Group({"lender": range(20, 70), "shop": range(40)})
    with pytest.raises(ProtectionError, match="shop found other common customers than lender"):
        group.align(changes={"lender": changing(f"{ALL}, bucket 1", permuted)})


def test_parties_that_are_told_different_customers_do_not_go_on() -> None:
    def hide_one(label: str, to: str, payload: bytes) -> bytes:
        return payload[POINT_BYTES:] if (label, to) == (f"{ALL}, bucket 0", "shop") else payload

    group = Group(THREE)
    with pytest.raises(ProtectionError, match="found other common customers than"):
        group.align(changes={"lender": hide_one})
    assert not group.kept


def test_a_feature_holder_that_makes_one_point_the_answer_to_all_is_refused() -> None:
    def same(response: bytes) -> bytes:
        return split_points(response)[0] * (len(response) // POINT_BYTES)

    with pytest.raises(RemoteProtocolError, match="^shop: .* holds a point twice.* its operator must act"):
        Group(TWO).align(changes={"shop": changing(f"{EACH}, bucket 1", same)})


@pytest.mark.parametrize(
    ("who", "label", "change", "message"),
    [
        ("shop", f"{EACH}, bucket 1", lambda payload: payload[:-1], "shop sent 1319 bytes for a bucket"),
        ("shop", f"{EACH}, bucket 1", lambda payload: b"\x09" + payload[1:], "^shop: .*no point of the curve"),
        ("shop", f"{EACH}, bucket 1", lambda _: None, "shop sent 0 bytes"),
        ("shop", f"{EACH}, bucket 0", lambda payload: payload + bytes(POINT_BYTES), "shop sent 1683 bytes"),
        ("shop", f"{EACH}, bucket 0", lambda payload: payload[:-1], "^shop: .*multiple of 33"),
        ("lender", f"{EACH}, bucket 0", lambda payload: payload + payload, "lender sent 2640 bytes for a bucket"),
        ("lender", f"{EACH}, bucket 0", lambda payload: bytes(len(payload)), "^lender: .*no point of the curve"),
        ("lender", f"{EACH}, bucket 0", lambda _: None, "lender sent 0 bytes"),
        ("shop", f"{ALL}, bucket 0", lambda payload: payload[:-POINT_BYTES], "shop sent 1617 bytes"),
        ("lender", f"{ALL}, bucket 0", lambda payload: payload * 3, "lender sent 1980 bytes"),
        ("shop", "alignment, kept, bucket 0", lambda payload: payload[:5], "^shop: .*multiple of 33"),
        ("lender", "alignment, kept, verdict", lambda _: b"", "lender sent 0 bytes about its alignment; expected 1"),
        ("shop", "alignment, customers", lambda _: bytes(7), "shop sent 7 bytes about its alignment; expected 8"),
        ("shop", "alignment, customers", lambda _: bytes(8), "impossible numbers of customers"),
        ("shop", "alignment, customers", lambda _: b"\xff" * 8, "impossible numbers of customers"),
        ("lender", "alignment, buckets", lambda _: None, "lender sent 0 bytes about its alignment"),
        ("lender", "alignment, buckets", lambda _: struct.pack(">QB", 40, 12), "impossible numbers"),
        ("lender", "alignment, buckets", lambda _: struct.pack(">QB", 0, 0), "impossible numbers"),
        ("lender", "alignment, buckets", lambda _: struct.pack(">QB", MOST_ITEMS, 10), "impossible numbers"),
        ("shop", "alignment, found, bucket 0", lambda _: b"", "shop found other common customers"),
    ],
)
def test_malformed_messages_end_the_run_with_a_name(who, label, change, message) -> None:
    with pytest.raises((RemoteProtocolError, ProtectionError), match=message):
        Group(TWO).align(changes={who: changing(label, change)})


@settings(max_examples=25)
@given(st.data())
def test_any_bytes_give_one_of_our_errors_or_the_true_alignment(data) -> None:
    """Whatever one party sends in place of any one message, the others end with an error or with what is true."""
    honest = Group(TWO)
    expected = {name: set(alignment.ids.tolist()) for name, alignment in honest.align().items()}
    who, request = data.draw(st.sampled_from([(n, r) for n, r in honest.sent if r.payloads]))
    assert isinstance(request, Exchange)
    length = len(next(iter(request.payloads.values())))
    hostile = data.draw(st.one_of(st.binary(max_size=100), st.binary(min_size=length, max_size=length)))
    group = Group(TWO)
    try:
        alignments = group.align(changes={who: changing(request.label, lambda _: hostile)})
    except RiskfedError:
        return
    assert {name: set(alignment.ids.tolist()) for name, alignment in alignments.items()} == expected


def test_a_label_holder_that_claims_a_kept_alignment_does_not_deceive_one_that_has_none() -> None:
    group = Group(TWO)
    first = group.align()
    del group.kept["shop"]
    lie = changing("alignment, kept, verdict", lambda _: b"\x01")
    second = group.align(changes={"lender": lie})
    assert set(second["shop"].ids.tolist()) == set(first["shop"].ids.tolist())
    assert second["shop"].digest == second["lender"].digest
