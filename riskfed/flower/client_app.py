"""The courier: the ClientApp at a bank. It passes batches between Flower and the vault's socket, and can open none of them.

It holds no key and no record, and nothing of the vault's code runs here, so whoever sends a bank other code to run in its place gets a
socket that answers to the bank's policy and to nothing else.
"""

from __future__ import annotations

import logging
import socket
import time
from contextlib import suppress
from typing import Final, Self

from flwr.app import Context, Error, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.typing import ClientAppCallable

from riskfed.errors import BankLostError, ConfigurationError, RemoteProtocolError, RiskfedError
from riskfed.flower.codec import COURIER_ERROR, COURIER_LOST, Setting, decode, encode, seconds, text
from riskfed.flower.session_client import SessionStream, dial
from riskfed.flower.session_wire import Invitation
from riskfed.protocols.frames import Frame, Kind, encode_batch, first_kind
from riskfed.protocols.socket_frames import receive_message, send_message

_log = logging.getLogger("riskfed.courier")
_POLL_SECONDS: Final = 0.5


class Vault:
    """The vault as the courier sees it: one question, one answer, for one run. Connects at the first question.

    Args:
        context: names the vault's socket in its node configuration.
        run: the run's label, "run/attempt".
        timeout: seconds that the vault may take for an answer.
        patience: seconds that it may take to listen: a vault that was restarted loads its records first.

    Raises:
        ConfigurationError: the node's configuration names no vault.
    """

    def __init__(self, context: Context, run: str, timeout: float, patience: float) -> None:
        path = context.node_config.get("vault")
        if not isinstance(path, str):
            raise ConfigurationError("the node's configuration names no vault; start the node with `riskfed node run`")
        self._path, self._run, self._timeout, self._patience = path, run, timeout, patience
        self._connection: socket.socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def ask(self, batch: bytes) -> bytes:
        """The vault's answer; empty once it has finished.

        Raises:
            BankLostError: the vault does not answer, or broke off.
            RemoteProtocolError: it answered for another run, or with something malformed.
        """
        try:
            connection = self._connect()
            send_message(connection, self._run, batch)
            received = receive_message(connection)
        except (OSError, RemoteProtocolError):
            received = None
        if received is None:
            raise BankLostError(
                "the vault does not answer its courier, or broke off; the bank must see whether it runs"
            )
        if received[0] != self._run:
            raise RemoteProtocolError("the vault answered for another run; the bank must look at its log")
        return received[1]

    def _connect(self) -> socket.socket:
        deadline = time.monotonic() + self._patience
        while self._connection is None:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.settimeout(self._timeout)
            try:
                connection.connect(self._path)
            except (FileNotFoundError, ConnectionRefusedError, BlockingIOError):
                connection.close()
                if time.monotonic() > deadline:
                    raise
                time.sleep(_POLL_SECONDS)
            else:
                self._connection = connection
        return self._connection


def _guard(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """Outermost: Flower sends an exception's text to the server as it is, and that text could hold anything."""
    try:
        return call_next(message, context)
    except BankLostError as error:
        return Message(Error(COURIER_LOST, str(error)), reply_to=message)
    except RiskfedError as error:
        return Message(Error(COURIER_ERROR, str(error)), reply_to=message)
    except Exception:  # whatever it is, its text stays here
        _log.exception("internal error in the courier")
        return Message(Error(COURIER_ERROR, "internal error in the courier; see the node's log"), reply_to=message)


app = ClientApp()


@app.train("step", mods=[_guard])
def step(message: Message, context: Context) -> Message:
    """Message transport: one batch to the vault, its answer back."""
    batch, settings = decode(message.content)
    with _vault(context, settings) as vault:
        return Message(encode(vault.ask(batch)), reply_to=message)


@app.train("session", mods=[_guard])
def session(message: Message, context: Context) -> Message:
    """Session transport: dial the server, and relay until it hangs up. The reply holds counts."""
    _, settings = decode(message.content)
    invitation = Invitation(text(settings, "endpoint"), text(settings, "ticket"), text(settings, "certificate"))
    counts = {"rounds": 0, "bytes_to_vault": 0, "bytes_from_vault": 0}
    with (
        _vault(context, settings) as vault,
        dial(invitation, context.node_id, seconds(settings, "connect_timeout")) as stream,
    ):
        _relay(stream, vault, counts)
    return Message(RecordDict({"counts": MetricRecord(dict(counts))}), reply_to=message)


def _vault(context: Context, settings: dict[str, Setting]) -> Vault:
    run = text(settings, "run")
    return Vault(context, run, seconds(settings, "round_timeout"), seconds(settings, "connect_timeout"))


def _relay(stream: SessionStream, vault: Vault, counts: dict[str, int]) -> None:
    open_run = False
    try:
        for batch in stream.requests():
            try:
                answer = vault.ask(batch)
            except RiskfedError as error:
                # The server learns the reason at once, not only when the Flower message ends.
                answer = _batch(Kind.LOST if isinstance(error, BankLostError) else Kind.FAILED, str(error))
            open_run = bool(answer) and not _ends(batch) and not _ends(answer)
            counts["rounds"] += 1
            counts["bytes_to_vault"] += len(batch)
            counts["bytes_from_vault"] += len(answer)
            stream.answer(answer)
    finally:
        if open_run:
            # The stream ended before the run did. Without a word, the vault would keep the run open.
            with suppress(RiskfedError):
                vault.ask(_batch(Kind.FAILED, "the session with the server ended early"))


def _batch(kind: Kind, reason: str) -> bytes:
    return encode_batch([Frame(kind, 0, reason.encode())])


def _ends(batch: bytes) -> bool:
    return first_kind(batch) in {Kind.FAILED, Kind.LOST}
