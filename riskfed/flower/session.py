"""The session's server, inside the ServerApp: one stream for each bank, admitted by a one-time ticket over TLS.

Tickets (256 random bits) and the certificate reach a node inside a Flower message, that is over Flower's own TLS and bound to the
node's registered key. So a stream belongs to the bank in whose name the node is registered, and to nobody else. What travels on it is
protected by the banks in any case: who breaks a session can stop a run, and learns nothing but sizes.
"""

from __future__ import annotations

import hmac
import queue
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NoReturn, Self

import grpc

from riskfed.errors import BankLostError, ConfigurationError, RemoteProtocolError
from riskfed.flower.certificates import self_signed
from riskfed.flower.session_wire import NODE_KEY, OPTIONS, RELAY, SERVICE, TICKET_KEY, Invitation, read_batch, to_chunks

_POLL_SECONDS = 0.25
_SPARE_STREAMS = 8
"""Room for streams that are about to be refused."""


@dataclass(slots=True)
class _Line:
    """One bank's stream."""

    bank: str
    node: int
    ticket: str = field(repr=False)
    outbox: queue.SimpleQueue[bytes | None] = field(default_factory=queue.SimpleQueue, repr=False)
    used: bool = False
    ended: threading.Event = field(default_factory=threading.Event, repr=False)


class SessionServer:
    """Serves all banks of a run in lock-step.

    Args:
        nodes: bank -> id of its Flower node.
        bind: address to listen on.
        port: 0 takes a free one.
        address: name or IP address under which couriers reach `bind`.

    Raises:
        ConfigurationError: the address cannot be listened on.
    """

    def __init__(
        self, nodes: Mapping[str, int], *, bind: str = "127.0.0.1", port: int = 0, address: str | None = None
    ) -> None:
        self._lines = {bank: _Line(bank, node, secrets.token_urlsafe(32)) for bank, node in nodes.items()}
        self._inbox: queue.SimpleQueue[tuple[str, bytes | RemoteProtocolError | None]] = queue.SimpleQueue()
        self._admission = threading.Lock()
        self._closing = False
        host = address or bind
        self._identity = self_signed([host, bind])
        self._server = grpc.server(
            ThreadPoolExecutor(len(nodes) + _SPARE_STREAMS, thread_name_prefix="session"),
            handlers=[_handler(self._serve)],
            options=[*OPTIONS, ("grpc.so_reuseport", 0)],
            maximum_concurrent_rpcs=len(nodes) + _SPARE_STREAMS,
        )
        credentials = grpc.ssl_server_credentials([(self._identity.private_key, self._identity.certificate)])
        try:
            bound = self._server.add_secure_port(_join(bind, port), credentials)
        except RuntimeError:
            raise ConfigurationError(
                f"the session cannot listen on {bind}, port {port}; the operator must free the port or name another"
            ) from None
        self._endpoint = _join(host, bound)

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close(0.0)

    def invitation(self, bank: str) -> Invitation:
        """What the node of `bank` needs to dial."""
        return Invitation(self._endpoint, self._lines[bank].ticket, self._identity.certificate.decode())

    @property
    def absent(self) -> list[str]:
        """Banks that have not dialled yet."""
        return [line.bank for line in self._lines.values() if not line.used]

    def wait_until_open(self, timeout: float, check: Callable[[], None] = lambda: None) -> None:
        """Wait until every bank has dialled.

        Args:
            timeout: seconds.
            check: called about four times a second; what it raises ends the wait.

        Raises:
            BankLostError: names the banks that did not dial in time.
        """
        deadline = time.monotonic() + timeout
        while absent := self.absent:
            check()
            if time.monotonic() > deadline:
                raise BankLostError(
                    f"no session from {', '.join(absent)} within {timeout:g} s; their operators must see whether the node "
                    "runs and can reach the session's port"
                )
            time.sleep(_POLL_SECONDS)

    def exchange(self, batches: Mapping[str, bytes], timeout: float) -> dict[str, bytes]:
        """Send every bank its batch, and take one from each.

        Raises:
            BankLostError: a stream broke, or a bank did not answer within `timeout` seconds; names it.
            RemoteProtocolError: a bank sent something malformed; names it.
        """
        for bank, batch in batches.items():
            self._lines[bank].outbox.put(batch)
        answers: dict[str, bytes] = {}
        deadline = time.monotonic() + timeout
        while silent := [bank for bank in batches if bank not in answers]:
            try:
                bank, said = self._inbox.get(timeout=max(deadline - time.monotonic(), 0))
            except queue.Empty:
                raise BankLostError(
                    f"no answer from {', '.join(silent)} within {timeout:g} s; their operators must look at the vault's log"
                ) from None
            answers[bank] = self._checked(bank, said)
        return answers

    def close(self, timeout: float, farewell: bytes | None = None) -> None:
        """End all streams, after a last batch where one is given; waits `timeout` seconds for couriers to take it."""
        self._closing = True
        for line in self._lines.values():
            if farewell is not None:
                line.outbox.put(farewell)
            line.outbox.put(None)
        deadline = time.monotonic() + timeout
        for line in self._lines.values():
            if line.used:
                line.ended.wait(max(deadline - time.monotonic(), 0))
        self._server.stop(grace=0.5).wait()

    def _checked(self, bank: str, said: bytes | RemoteProtocolError | None) -> bytes:
        if isinstance(said, bytes):
            return said
        if said is not None:
            raise RemoteProtocolError(f"bank {bank}: {said}")
        raise BankLostError(f"the stream of bank {bank} broke; its operator must look at the node and start it again")

    def _serve(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        line = self._admit(context)
        # Sent before anything else: the courier touches its vault only once it knows that it was let in.
        context.send_initial_metadata(())
        if not context.add_callback(lambda: self._end(line)):
            self._end(line)
            return
        while (batch := line.outbox.get()) is not None:
            yield from to_chunks(batch)
            try:
                answer = read_batch(requests)
            except RemoteProtocolError as error:
                self._inbox.put((line.bank, error))
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            except grpc.RpcError:
                return  # the stream broke; the callback tells
            if answer is None:
                return
            self._inbox.put((line.bank, answer))

    def _admit(self, context: grpc.ServicerContext) -> _Line:
        shown = dict(context.invocation_metadata())
        node, ticket = str(shown.get(NODE_KEY, "")), str(shown.get(TICKET_KEY, ""))
        with self._admission:
            # Compared for every line in constant time, so that an answer's delay tells nothing about a ticket.
            lines = self._lines.values()
            known = [
                line
                for line in lines
                if hmac.compare_digest(line.ticket.encode(), ticket.encode()) & (str(line.node) == node)
            ]
            if not known:
                _refuse(context, "node and ticket do not belong together in this run")
            if known[0].used:
                _refuse(context, "the ticket was used before; a ticket is good for one stream")
            known[0].used = True
            return known[0]

    def _end(self, line: _Line) -> None:
        line.ended.set()
        line.outbox.put(None)
        if not self._closing:
            self._inbox.put((line.bank, None))


def _refuse(context: grpc.ServicerContext, why: str) -> NoReturn:
    context.abort(grpc.StatusCode.UNAUTHENTICATED, why)
    raise AssertionError("abort raises")


def _handler(serve: Callable[[Iterator[bytes], grpc.ServicerContext], Iterator[bytes]]) -> Any:
    return grpc.method_handlers_generic_handler(SERVICE, {RELAY: grpc.stream_stream_rpc_method_handler(serve)})


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
