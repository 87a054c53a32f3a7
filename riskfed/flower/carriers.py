"""The two ways in which a round's messages reach the banks and their replies come back.

`MessageCarrier` sends each as a Flower message: for banks that can open no second port. `SessionCarrier` sends one Flower message for
the whole run, which opens a stream, and carries everything else on that: milliseconds a round.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self

from flwr.app import Message
from flwr.serverapp import Grid

from riskfed.errors import BankLostError, RemoteProtocolError, RiskfedError, RunFailedError
from riskfed.flower.codec import COURIER_ERROR, COURIER_LOST, decode, encode
from riskfed.flower.run_file import Limits
from riskfed.flower.session import SessionServer

_POLL_SECONDS = 0.25
_SESSION_TTL = 30 * 24 * 3600.0
"""Flower drops a message whose reply takes longer; a session lasts as long as its run."""


class Carrier(Protocol):
    """Carries a round's messages to the banks' nodes, and the replies back."""

    name: str

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def exchange(self, messages: Sequence[Message]) -> list[Message]:
        """Replies to all messages, one for each.

        Raises:
            BankLostError: a bank did not answer in time; names it.
            RunFailedError: a bank's courier could not go on; names the bank and says why.
        """
        ...

    def farewell(self, messages: Sequence[Message]) -> None:
        """Tell the banks that are still there that the run has failed. Bounded in time, raises nothing."""
        ...


class Mailbox:
    """Flower messages under way, and the replies to them.

    Args:
        grid: Flower's.
        banks: node id -> bank.
    """

    def __init__(self, grid: Grid, banks: Mapping[int, str]) -> None:
        self._grid = grid
        self._banks = banks
        self._pending: dict[str, int] = {}

    def push(self, messages: Sequence[Message]) -> None:
        """Send messages, one to a node.

        Raises:
            BankLostError: Flower did not take one.
        """
        ids: list[str | None] = list(self._grid.push_messages(messages))
        nodes = [message.metadata.dst_node_id for message in messages]
        refused = [
            self._banks[node] for node, key in zip(nodes, ids or [None] * len(nodes), strict=True) if key is None
        ]
        if refused:
            raise BankLostError(
                f"Flower took no message for {', '.join(refused)}; their nodes may have left the federation"
            )
        self._pending.update({key: node for key, node in zip(ids, nodes, strict=True) if key is not None})

    def pull(self) -> list[Message]:
        """Replies that have come in since.

        Raises:
            RunFailedError: a courier's error.
            BankLostError: a courier that has lost its vault, or Flower's own error, such as a node that is gone.
            RemoteProtocolError: a reply from another node than the one asked.
        """
        if not self._pending:
            return []
        replies = list(self._grid.pull_messages(list(self._pending)))
        # All are taken off before any is judged: what Flower has handed out once, it does not hand out again.
        nodes = [self._pending.pop(reply.metadata.reply_to_message_id) for reply in replies]
        for reply, node in zip(replies, nodes, strict=True):
            self._check(reply, node)
        return replies

    def wait(self, timeout: float) -> list[Message]:
        """All replies that are due.

        Raises:
            BankLostError: some did not come within `timeout` seconds; names the banks. And what `pull` raises.
        """
        replies: list[Message] = []
        deadline = time.monotonic() + timeout
        while True:
            replies += self.pull()
            if not self._pending:
                return replies
            if time.monotonic() > deadline:
                silent = ", ".join(self._banks[node] for node in self._pending.values())
                raise BankLostError(
                    f"no answer from {silent} within {timeout:g} s; their operators must look at their nodes"
                )
            time.sleep(_POLL_SECONDS)

    def drain(self, timeout: float) -> None:
        """Wait for what is due, whatever it says."""
        deadline = time.monotonic() + timeout
        while self._pending and time.monotonic() < deadline:
            try:
                self.pull()
            except RiskfedError:
                continue
            time.sleep(_POLL_SECONDS)

    def _check(self, reply: Message, node: int) -> None:
        bank = self._banks[node]
        if reply.has_error():
            code, reason = reply.error.code, reply.error.reason or "no reason given"
            if code == COURIER_ERROR:
                raise RunFailedError(f"bank {bank} ended the run: {reason}")
            if code == COURIER_LOST:
                raise BankLostError(f"bank {bank} is lost: {reason}")
            raise BankLostError(
                f"bank {bank} is lost: Flower reports error {code}, {reason}; its operator must look at the node"
            )
        if reply.metadata.src_node_id != node:
            raise RemoteProtocolError(f"a reply for bank {bank} came from another node")


class MessageCarrier:
    """One Flower message for each bank and round."""

    name = "message"

    def __init__(self, grid: Grid, nodes: Mapping[str, int], limits: Limits) -> None:
        self._mailbox = Mailbox(grid, {node: bank for bank, node in nodes.items()})
        self._limits = limits

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def exchange(self, messages: Sequence[Message]) -> list[Message]:
        """See `Carrier`."""
        self._mailbox.push(messages)
        return self._mailbox.wait(self._limits.round_timeout)

    def farewell(self, messages: Sequence[Message]) -> None:
        """See `Carrier`. A node that is lost is not waited for longer than the others take."""
        try:
            self._mailbox.push(messages)
        except RiskfedError:
            return
        self._mailbox.drain(self._limits.farewell_timeout)


class SessionCarrier:
    """One Flower message for each bank; it opens the stream that carries all rounds."""

    name = "session"

    def __init__(
        self, grid: Grid, nodes: Mapping[str, int], limits: Limits, make_server: Callable[[], SessionServer]
    ) -> None:
        self._mailbox = Mailbox(grid, {node: bank for bank, node in nodes.items()})
        self._nodes = nodes
        self._banks = {node: bank for bank, node in nodes.items()}
        self._limits = limits
        self._make_server = make_server
        self._server: SessionServer | None = None
        self._farewell: bytes | None = None

    def __enter__(self) -> Self:
        self._server = self._make_server().__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close(self._limits.farewell_timeout, self._farewell)
        self._mailbox.drain(self._limits.farewell_timeout)

    def exchange(self, messages: Sequence[Message]) -> list[Message]:
        """See `Carrier`. The first exchange opens the session."""
        assert self._server is not None
        if self._server.absent:
            self._open(messages)
        asked = {self._banks[message.metadata.dst_node_id]: message for message in messages}
        batches = {bank: decode(message.content)[0] for bank, message in asked.items()}
        answers = self._server.exchange(batches, self._limits.round_timeout)
        return [Message(encode(answers[bank]), reply_to=message) for bank, message in asked.items()]

    def farewell(self, messages: Sequence[Message]) -> None:
        """See `Carrier`. Said when the session closes."""
        self._farewell = decode(messages[0].content)[0] if messages else None

    def _open(self, messages: Iterable[Message]) -> None:
        assert self._server is not None
        invitations = []
        for message in messages:
            node = message.metadata.dst_node_id
            invitation = self._server.invitation(self._banks[node])
            content = encode(
                b"",
                **decode(message.content)[1],
                endpoint=invitation.endpoint,
                ticket=invitation.ticket,
                certificate=invitation.certificate,
            )
            invitations.append(Message(content, node, "train.session", ttl=_SESSION_TTL))
        self._mailbox.push(invitations)
        self._server.wait_until_open(self._limits.connect_timeout, check=self._check_mail)

    def _check_mail(self) -> None:
        if early := self._mailbox.pull():
            bank = self._banks[early[0].metadata.src_node_id]
            raise RemoteProtocolError(f"bank {bank} answered its invitation without a session")
