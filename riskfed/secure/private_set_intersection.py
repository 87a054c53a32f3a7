"""Private set intersection of two parties: the client learns which of its items the server has, and nobody learns more.

Diffie-Hellman intersection (Meadows 1986; Huberman, Franklin and Hogg 1999) on P-256, by openmined-psi:

    client -> server   request   H(x)^c for each of its items x, in a random order, c the client's key
    server -> client   setup     H(y)^s for each of its items y, sorted, s the server's key
    server -> client   response  H(x)^(c s), in the request's order; the client takes c off and looks in the setup

Secret: c and s, made anew for each object and never told; the items. Who learns what. The server sees random points (decisional
Diffie-Hellman, H a random oracle) and how many there are. The client learns which of its items are in the setup, and how many the server
has. Whoever lies about its own items learns no more than if it had these items; but a server that permutes its response makes the client
believe in the wrong ones, so what the client believes must be confirmed before it is told to anybody (`riskfed.protocols.alignment`).

Two choices are our own. Points travel as bare 33 bytes each: what comes from outside is cut into points here and never parsed as protobuf.
And the setup is the list of points, not the library's Golomb-compressed set: a third more on the wire, but no false positives, and the
library ends the process where a hostile compressed set has a hash range of zero.
"""

from __future__ import annotations

import importlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from riskfed.errors import ConfigurationError, LocalProtocolError, RemoteProtocolError

POINT_BYTES: Final = 33
"""A compressed point of P-256 (SEC 1, 2.3.3); the point at infinity has no such form."""

_NO_FALSE_POSITIVES: Final = 0.5
"""The library's rate of false positives, which a plain list of points does not have; it must be in (0, 1)."""


class IntersectionClient:
    """The side that learns which of its items the other has.

    Raises:
        ConfigurationError: openmined-psi is not installed.
    """

    def __init__(self) -> None:
        self._client = library().client.CreateWithNewKey(reveal_intersection=True)

    def question(self, items: Sequence[str]) -> Question:
        """Ask for n different items; several servers may be asked the same."""
        order = list(range(len(items)))
        random.SystemRandom().shuffle(order)
        made = self._client.CreateRequest([items[place] for place in order])
        return Question(_joined(made.encrypted_elements, len(items)), self._client, np.array(order, dtype=np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """What a client asked, and what it needs to read the answer.

    Attributes:
        request: what to send: a point for each item, in a random order.
    """

    request: bytes = field(repr=False)
    _client: Any = field(repr=False)
    _order: NDArray[np.int64] = field(repr=False)

    def members(self, setup: bytes, response: bytes) -> NDArray[np.int64]:
        """Positions, ascending, of the items that are in the server's setup.

        Args:
            setup, response: as the server sent them.

        Raises:
            RemoteProtocolError: not as many points as the request had, the same twice, or what is no point of the curve.
        """
        answered, count = split_points(response), len(self._order)
        if len(answered) != count:
            raise RemoteProtocolError(f"the answer of an intersection has {len(answered)} points; expected {count}")
        # Different items give different points. One answer given for all would make all of them look common.
        if len(set(answered)) != count:
            raise RemoteProtocolError("the answer of an intersection holds a point twice, so it is not honest")
        if not answered:
            return np.empty(0, dtype=np.int64)
        offered, doubled = library().ServerSetup(), library().Response(encrypted_elements=answered)
        offered.raw.encrypted_elements.extend(sorted(split_points(setup)))
        return np.sort(self._order[_foreign(self._client.GetIntersection, offered, doubled)])


class IntersectionServer:
    """The side that has items looked up, and learns how often only. One object may serve several clients.

    Raises:
        ConfigurationError: openmined-psi is not installed.
    """

    def __init__(self) -> None:
        self._library = library()
        self._server = self._library.server.CreateWithNewKey(reveal_intersection=True)

    def setup(self, items: Sequence[str]) -> bytes:
        """What to send for n different items: a point for each, sorted, so that their order says nothing."""
        if not items:
            return b""
        raw = self._library.DataStructure.RAW
        made = self._server.CreateSetupMessage(_NO_FALSE_POSITIVES, len(items), list(items), raw)
        return _joined(sorted(made.raw.encrypted_elements), len(items))

    def response(self, request: bytes) -> bytes:
        """The points of a request under this side's key too, in their order.

        Raises:
            RemoteProtocolError: the request holds what is no point of the curve.
        """
        points = split_points(request)
        if not points:
            return b""
        asked = self._library.Request(reveal_intersection=True, encrypted_elements=points)
        return _joined(_foreign(self._server.ProcessRequest, asked).encrypted_elements, len(points))


def split_points(message: bytes) -> list[bytes]:
    """Cut a message into its points; whether they are on the curve is the library's to check.

    Raises:
        RemoteProtocolError: its length is no multiple of a point's.
    """
    if len(message) % POINT_BYTES:
        raise RemoteProtocolError(
            f"a message of an intersection has {len(message)} bytes; expected a multiple of {POINT_BYTES}"
        )
    return [message[at : at + POINT_BYTES] for at in range(0, len(message), POINT_BYTES)]


def library() -> Any:
    """The library, loaded when it is first needed: only vertical jobs do.

    Raises:
        ConfigurationError: it is not installed.
    """
    try:
        return importlib.import_module("private_set_intersection.python")
    except ImportError:
        raise ConfigurationError(
            "aligning customers needs openmined-psi, which is not installed; install riskfed[vertical]"
        ) from None


def _joined(points: Sequence[bytes], count: int) -> bytes:
    if len(points) != count or any(len(point) != POINT_BYTES for point in points):
        raise LocalProtocolError("openmined-psi made points of another form; check that its version is a supported one")
    return b"".join(points)


def _foreign(work: Any, *points: Any) -> Any:
    """The library's work on points that another party made. Its own message is dropped: it may quote what it was given."""
    try:
        return work(*points)
    except (RuntimeError, ValueError):
        raise RemoteProtocolError("a message of an intersection holds what is no point of the curve") from None
