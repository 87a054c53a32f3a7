"""One private set intersection, bucket by bucket, as two party programs in lock-step: one asks, the others answer, or the reverse.

While the answers to one bucket travel, the points of the next do too, so there is one exchange more than there are buckets. How many points
a message may hold follows from numbers that the parties know, and is checked before they are looked at.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from riskfed.errors import RemoteProtocolError
from riskfed.protocols.program import Exchange, Program, Progress
from riskfed.secure.intersection_items import Buckets, Items, texts
from riskfed.secure.private_set_intersection import POINT_BYTES, IntersectionClient, IntersectionServer, Question


@dataclass(frozen=True, slots=True)
class Pass:
    """One intersection of an alignment.

    Attributes:
        label: what is intersected; bound into the envelopes.
        buckets: how items are dealt.
        sizes: party -> its number of customers, of those that this party knows; its own among them.
        me: this party.
        shown: share of the alignment that is done before and after this pass; None where this party shows no progress.
    """

    label: str
    buckets: Buckets
    sizes: Mapping[str, int]
    me: str
    shown: tuple[float, float] | None = None

    def capacity(self, party: str) -> int:
        """Points of a bucket of `party`."""
        return self.buckets.capacity(self.sizes[party])

    def exchange(self, number: int, payloads: Mapping[str, bytes]) -> Program[Mapping[str, bytes]]:
        """Exchange number `number` of the pass."""
        received: Mapping[str, bytes] = yield Exchange(payloads, f"{self.label}, bucket {number}")
        if self.shown is not None and number:
            before, after = self.shown
            yield Progress(0, {"aligned": before + (after - before) * number / len(self.buckets)})
        return received


def ask(own: Items, servers: Sequence[str], the_pass: Pass) -> Program[dict[str, NDArray[np.bool_]]]:
    """The side that learns.

    Args:
        own: this party's items.
        servers: parties that answer.
        the_pass: which intersection.

    Returns:
        Server -> (n,) which of the own items it has too.

    Raises:
        RemoteProtocolError: a server's message is malformed.
    """
    client, capacity = IntersectionClient(), the_pass.capacity(the_pass.me)
    found = {server: np.zeros(len(own), dtype=bool) for server in servers}
    setups: dict[str, bytes] = {}
    before: Question | None = None
    slices = own.slices(the_pass.buckets)
    for number in range(len(slices) + 1):
        question = None
        if number < len(slices):
            question = client.question(texts(own.values[slices[number]], capacity))
        payloads = {} if question is None else dict.fromkeys(servers, question.request)
        received = yield from the_pass.exchange(number, payloads)
        for server in servers:
            response, setup = _answered(server, received, the_pass, number)
            if before is not None:
                with _blaming(server):
                    members = before.members(setups[server], response)
                bucket = slices[number - 1]
                places = members + bucket.start
                found[server][places[places < bucket.stop]] = True  # what fills up the bucket is nobody's
            setups[server] = setup
        before = question
    return found


def answer(own: Items, clients: Sequence[str], the_pass: Pass, *, fill_up: bool) -> Program[None]:
    """The side that is asked.

    Args:
        own: this party's items.
        clients: parties that ask.
        the_pass: which intersection.
        fill_up: whether the clients are not to see how many items a bucket has.

    Raises:
        RemoteProtocolError: a client's message is malformed.
    """
    server = IntersectionServer()
    requests: Mapping[str, bytes] = {}
    slices = own.slices(the_pass.buckets)
    for number in range(len(slices) + 1):
        setup = b""
        if number < len(slices):
            values = own.values[slices[number]]
            setup = server.setup(texts(values, the_pass.capacity(the_pass.me) if fill_up else len(values)))
        payloads = dict.fromkeys(clients, setup)
        for client, request in requests.items():
            with _blaming(client):
                payloads[client] = server.response(request) + setup
        received = yield from the_pass.exchange(number, payloads)
        if number < len(slices):
            requests = {client: _requested(client, received, the_pass) for client in clients}


def _answered(server: str, received: Mapping[str, bytes], the_pass: Pass, number: int) -> tuple[bytes, bytes]:
    """The response to the bucket before, and the setup of this one; both empty where there is none."""
    message = received.get(server, b"")
    response = the_pass.capacity(the_pass.me) * POINT_BYTES if number else 0
    setup = the_pass.capacity(server) * POINT_BYTES if number < len(the_pass.buckets) else 0
    if not response <= len(message) <= response + setup:
        raise _wrong_length(server, message, response + setup)
    return message[:response], message[response:]


def _requested(client: str, received: Mapping[str, bytes], the_pass: Pass) -> bytes:
    message = received.get(client, b"")
    expected = the_pass.capacity(client) * POINT_BYTES
    if len(message) != expected:
        raise _wrong_length(client, message, expected)
    return message


def _wrong_length(party: str, message: bytes, expected: int) -> RemoteProtocolError:
    return RemoteProtocolError(
        f"{party} sent {len(message)} bytes for a bucket of customers; expected {expected} by the number of customers that it "
        "stated; its operator must act"
    )


@contextlib.contextmanager
def _blaming(party: str) -> Iterator[None]:
    try:
        yield
    except RemoteProtocolError as error:
        raise RemoteProtocolError(f"{party}: {error}; its operator must act") from None
