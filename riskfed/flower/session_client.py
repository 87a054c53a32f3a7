"""The courier's end of a session: dials the ServerApp and takes batches until it hangs up."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from riskfed.errors import BankLostError, RemoteProtocolError
from riskfed.flower.session_wire import NODE_KEY, OPTIONS, RELAY, SERVICE, TICKET_KEY, Invitation, read_batch, to_chunks


class SessionStream:
    """An open session: `requests` gives the server's batches, and each is answered before the next one is taken."""

    def __init__(self, call: Any, outgoing: queue.SimpleQueue[bytes | None]) -> None:
        self._call = call
        self._outgoing = outgoing

    def requests(self) -> Iterator[bytes]:
        """The server's batches, until it ends the session.

        Raises:
            BankLostError: the stream broke, or the server refused what was sent.
            RemoteProtocolError: the server sent something malformed.
        """
        while True:
            try:
                batch = read_batch(self._call)
            except grpc.RpcError as error:
                raise _reason(error) from None
            if batch is None:
                return
            yield batch

    def answer(self, batch: bytes) -> None:
        """Hand over the answer to the last batch."""
        for chunk in to_chunks(batch):
            self._outgoing.put(chunk)


@contextmanager
def dial(invitation: Invitation, node: int, timeout: float) -> Iterator[SessionStream]:
    """Open a session.

    Args:
        invitation: from the Flower message.
        node: this node's Flower id.
        timeout: seconds to reach the server.

    Raises:
        BankLostError: the server cannot be reached, or does not show the invitation's certificate.
        RemoteProtocolError: the server refused the ticket.
    """
    credentials = grpc.ssl_channel_credentials(invitation.certificate.encode())
    outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    with grpc.secure_channel(invitation.endpoint, credentials, options=OPTIONS) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout)
        except grpc.FutureTimeoutError:
            raise BankLostError(
                f"the courier did not reach the session at {invitation.endpoint} within {timeout:g} s; the bank must let it "
                "out to that port, or the operator must choose the message transport"
            ) from None
        relay = channel.stream_stream(f"/{SERVICE}/{RELAY}")
        call = relay(iter(outgoing.get, None), metadata=((NODE_KEY, str(node)), (TICKET_KEY, invitation.ticket)))
        try:
            call.initial_metadata()  # waits for the server's word on the ticket
            if not call.is_active():
                raise _reason(call)
            yield SessionStream(call, outgoing)
        finally:
            outgoing.put(None)
            call.cancel()


def _reason(error: Any) -> BankLostError | RemoteProtocolError:
    """An error of our own; gRPC's text is passed on only where our server wrote it."""
    code = error.code()
    if code is grpc.StatusCode.UNAUTHENTICATED:
        return RemoteProtocolError(f"the session refused this node: {error.details()}")
    return BankLostError(f"the session's stream broke ({code.name}); the operator must look at the run's log")
