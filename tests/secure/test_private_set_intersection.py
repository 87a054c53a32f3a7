"""The intersection is that of the sets; whoever sends something else is refused, and the process lives on."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riskfed.errors import ConfigurationError, RemoteProtocolError
from riskfed.secure.private_set_intersection import POINT_BYTES, IntersectionClient, IntersectionServer, split_points

ITEMS = [f"item {number}" for number in range(6)]
OFF_THE_CURVE = b"\x02" + bytes(31) + b"\x07"


def intersect(asked: list[str], offered: list[str]) -> list[str]:
    question, server = IntersectionClient().question(asked), IntersectionServer()
    members = question.members(server.setup(offered), server.response(question.request))
    return [asked[place] for place in members]


@settings(max_examples=20)
@given(st.sets(st.text(max_size=8), max_size=12), st.sets(st.text(max_size=8), max_size=12))
def test_it_is_the_intersection_of_the_sets(asked: set[str], offered: set[str]) -> None:
    encodable = [{text for text in items if text.isascii()} for items in (asked, offered)]
    ordered = sorted(encodable[0])
    assert intersect(ordered, sorted(encodable[1])) == [item for item in ordered if item in encodable[1]]


def test_a_message_has_a_point_for_each_item_and_nothing_else() -> None:
    question, server = IntersectionClient().question(ITEMS), IntersectionServer()
    response = server.response(question.request)
    for message in (question.request, server.setup(ITEMS), response):
        points = split_points(message)
        assert len(message) == len(ITEMS) * POINT_BYTES
        assert all(point[0] in (2, 3) for point in points)
        assert len(set(points)) == len(ITEMS)


def test_points_say_nothing_of_order_and_differ_from_key_to_key() -> None:
    setup = IntersectionServer().setup(ITEMS)
    assert split_points(setup) == sorted(split_points(setup))
    client, server = IntersectionClient(), IntersectionServer()
    requests = {client.question(ITEMS).request for _ in range(8)}
    assert len(requests) > 1  # the same points in another order
    assert len({frozenset(split_points(request)) for request in requests}) == 1
    assert not set(split_points(server.setup(ITEMS))) & set(split_points(setup))


def test_a_server_that_answers_one_point_for_all_is_refused() -> None:
    question, server = IntersectionClient().question(ITEMS), IntersectionServer()
    one = split_points(server.response(question.request))[0]
    with pytest.raises(RemoteProtocolError, match="a point twice"):
        question.members(server.setup(ITEMS), one * len(ITEMS))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda response: response[:-1], "multiple of 33"),
        (lambda response: response[POINT_BYTES:], "has 5 points; expected 6"),
        (lambda response: response + response[:POINT_BYTES], "has 7 points; expected 6"),
        (lambda response: b"", "has 0 points; expected 6"),
        (lambda response: OFF_THE_CURVE + response[POINT_BYTES:], "no point of the curve"),
        (lambda response: b"\x09" + response[1:], "no point"),
        (lambda response: bytes(POINT_BYTES) + response[POINT_BYTES:], "no point of the curve"),
    ],
)
def test_malformed_answers_are_refused(change, message) -> None:
    question, server = IntersectionClient().question(ITEMS), IntersectionServer()
    with pytest.raises(RemoteProtocolError, match=message):
        question.members(server.setup(ITEMS), change(server.response(question.request)))


def test_malformed_requests_are_refused_and_not_quoted() -> None:
    server = IntersectionServer()
    with pytest.raises(RemoteProtocolError, match="multiple of 33"):
        server.response(b"short")
    with pytest.raises(RemoteProtocolError, match="no point of the curve$"):
        server.response(OFF_THE_CURVE)


@given(st.binary(max_size=5 * POINT_BYTES))
@settings(max_examples=50)
def test_no_bytes_of_the_other_party_do_any_harm(hostile: bytes) -> None:
    question, server = IntersectionClient().question(ITEMS), IntersectionServer()
    response = server.response(question.request)
    whole = hostile[: len(hostile) // POINT_BYTES * POINT_BYTES]
    assert len(question.members(whole, response)) == 0  # a setup of anything has none of the items
    for refused in (lambda: question.members(b"", hostile), lambda: server.response(hostile or b"\0")):
        with pytest.raises(RemoteProtocolError):
            refused()


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "private_set_intersection.python", None)
    with pytest.raises(ConfigurationError, match=r"install riskfed\[vertical\]"):
        IntersectionClient()
