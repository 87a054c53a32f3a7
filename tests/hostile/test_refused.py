"""Who and what is refused: tickets, certificates, plain text, and frames, chunks and messages that are too long or no such thing."""

from __future__ import annotations

import os
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from bank_nodes import listener
from bank_nodes.listener import Listener
from riskfed.errors import BankLostError, RemoteProtocolError
from riskfed.flower import certificates
from riskfed.flower.session import SessionServer
from riskfed.flower.session_client import dial
from riskfed.flower.session_wire import CHUNK_BYTES, NODE_KEY, OPTIONS, RELAY, SERVICE, TICKET_KEY
from riskfed.protocols.frames import MAXIMUM_BATCH_BYTES, Frame, Kind, encode_batch
from riskfed.protocols.socket_frames import receive_message

NODES = {"ash": 11, "birch": 12, "cedar": 13}


# -- the vault's socket ------------------------------------------------------------------------------------------------


class Echo:
    """Answers every request by its length."""

    def __init__(self) -> None:
        self.hold = threading.Event()
        self.hold.set()

    def handle(self, label: str, batch: bytes, carrier: object = None) -> bytes:
        self.hold.wait(10)
        return encode_batch([Frame(Kind.COMBINE, 0, len(batch).to_bytes(8, "big"))])

    def disconnect(self, carrier: object) -> None:
        pass


@pytest.fixture
def echo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, Echo]]:
    monkeypatch.setattr(listener, "MESSAGE_SECONDS", 1.0)
    service = Echo()
    with Listener(tmp_path / "v.sock", service) as opened:

        def serve() -> None:
            with suppress(OSError):  # closed at the end of the test
                opened.serve()

        threading.Thread(target=serve, daemon=True).start()
        yield tmp_path / "v.sock", service


def connected(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(path))  # waits where the others are not yet accepted
    connection.settimeout(10)
    return connection


def request(length: int, body: bytes) -> bytes:
    return struct.pack(">BQ", 3, length) + b"a/1" + body


def closes(connection: socket.socket) -> bool:
    """The other side hangs up without an answer."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize(
    "sent",
    [
        request(MAXIMUM_BATCH_BYTES + 1, b""),
        struct.pack(">BQ", 255, (1 << 64) - 1),
        struct.pack(">BQ", 2, 0) + b"\xff\xfe",
        struct.pack(">BQ", 4, 0) + b"a\n/1",
        struct.pack(">BQ", 4, 0) + b"\x1b[2J",
    ],
    ids=["too long", "far too long", "not UTF-8", "a line of its own", "a terminal's command"],
)
def test_a_malformed_message_closes_its_connection(echo: tuple[Path, Echo], sent: bytes) -> None:
    with connected(echo[0]) as connection:
        connection.sendall(sent)
        assert closes(connection)


@pytest.mark.parametrize("sent", [b"\x03", request(100, b"half"), request(1 << 30, bytes(2 << 20))])
def test_a_message_that_stops_halfway_closes_its_connection_in_time(echo: tuple[Path, Echo], sent: bytes) -> None:
    with connected(echo[0]) as connection:
        started = time.monotonic()
        connection.sendall(sent)
        assert closes(connection)
        assert time.monotonic() - started < 8


def test_bytes_that_trickle_do_not_prolong_a_messages_time(echo: tuple[Path, Echo]) -> None:
    with connected(echo[0]) as connection:
        connection.sendall(request(1000, b""))
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            for _ in range(60):
                time.sleep(0.1)
                connection.sendall(b"x")


def test_a_connection_that_says_nothing_may_stay(echo: tuple[Path, Echo]) -> None:
    with connected(echo[0]) as connection:
        time.sleep(1.5)
        connection.sendall(request(5, b"hello"))
        assert receive_message(connection) == ("a/1", Echo().handle("", b"hello"))


def test_of_large_messages_one_is_taken_at_a_time(echo: tuple[Path, Echo]) -> None:
    path, service = echo
    service.hold.clear()
    large = bytes(listener.LARGE_MESSAGE_BYTES + 1)
    with connected(path) as first, connected(path) as second, connected(path) as small:
        first.sendall(request(len(large), large))
        time.sleep(0.2)
        second.settimeout(0.5)
        with pytest.raises(TimeoutError):  # nobody takes it in; all that lies in between is the system's own buffer
            second.sendall(request(len(large), large))
        service.hold.set()
        assert receive_message(first) == ("a/1", Echo().handle("", large))
        small.sendall(request(1, b"x"))
        assert receive_message(small) == ("a/1", Echo().handle("", b"x"))


def test_the_silent_make_room_and_a_run_keeps_its_connection(echo: tuple[Path, Echo]) -> None:
    path, _ = echo
    with ExitStack() as stack:
        carrying = stack.enter_context(connected(path))
        carrying.sendall(request(1, b"x"))
        receive_message(carrying)
        crowd = [stack.enter_context(connected(path)) for _ in range(3 * listener.MOST_CONNECTIONS)]
        assert closes(crowd[0])
        carrying.sendall(request(1, b"x"))
        assert receive_message(carrying) is not None


def test_refusals_are_paced() -> None:
    pace = listener._Pace(5, 50.0)
    started = time.monotonic()
    for _ in range(5):
        pace.wait()
    assert time.monotonic() - started < 0.05
    for _ in range(10):
        pace.wait()
    assert time.monotonic() - started > 0.15


# -- the session ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[SessionServer]:
    with SessionServer(NODES) as opened:
        yield opened


def test_a_wrong_node_with_a_right_ticket_is_refused_and_spends_it_not(server: SessionServer) -> None:
    with pytest.raises(RemoteProtocolError, match="node and ticket do not belong together"):
        dial(server.invitation("ash"), NODES["birch"], 10).__enter__()
    with dial(server.invitation("ash"), NODES["ash"], 10):
        assert "ash" not in server.absent


def test_the_certificate_of_another_run_is_refused(server: SessionServer) -> None:
    with SessionServer(NODES) as other:
        mixed = replace(server.invitation("ash"), certificate=other.invitation("ash").certificate)
        with pytest.raises(BankLostError, match="did not reach the session"), dial(mixed, NODES["ash"], 1.5):
            pass
    assert server.absent == list(NODES)


def test_an_expired_certificate_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "_LIFETIME", timedelta(seconds=-60))
    with SessionServer(NODES) as expired:
        with (
            pytest.raises(BankLostError, match="did not reach the session"),
            dial(expired.invitation("ash"), NODES["ash"], 1.5),
        ):
            pass
        assert expired.absent == list(NODES)


def test_plain_text_is_not_talked(server: SessionServer) -> None:
    """Neither does the server answer it, nor does the courier offer it."""
    invitation = server.invitation("ash")
    metadata = ((NODE_KEY, str(NODES["ash"])), (TICKET_KEY, invitation.ticket))
    with grpc.insecure_channel(invitation.endpoint) as channel:
        call: Any = channel.stream_stream(f"/{SERVICE}/{RELAY}")(iter([]), metadata=metadata, timeout=5)
        with pytest.raises(grpc.RpcError):
            list(call)
    assert server.absent == list(NODES)

    heard = []
    with socket.create_server(("127.0.0.1", 0)) as plain:
        endpoint = f"127.0.0.1:{plain.getsockname()[1]}"

        def listen() -> None:
            connection, _ = plain.accept()
            with connection:
                heard.append(connection.recv(4096))

        thread = threading.Thread(target=listen)
        thread.start()
        with pytest.raises(BankLostError), dial(replace(invitation, endpoint=endpoint), NODES["ash"], 1.5):
            pass
        thread.join(10)
    assert heard[0][:1] == b"\x16"  # a TLS handshake, which names neither node nor ticket
    assert invitation.ticket.encode() not in heard[0]


def test_old_tls_is_refused(server: SessionServer) -> None:
    host, _, port = server.invitation("ash").endpoint.rpartition(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with socket.create_connection((host, int(port)), timeout=5) as raw, pytest.raises((ssl.SSLError, OSError)):
        context.wrap_socket(raw, server_hostname=host)


@pytest.mark.parametrize(
    ("chunk", "says"),
    [
        (b"", "a chunk of the session is malformed"),
        (b"\x02data", "a chunk of the session is malformed"),
        (b"\x01" + bytes(10), "a chunk of the session is malformed"),
        (b"\x00" + bytes(CHUNK_BYTES + 64), "broke"),
        (b"\x00" + bytes(5 * CHUNK_BYTES), "broke"),
    ],
    ids=["empty", "unknown mark", "short", "above gRPC's limit", "far above gRPC's limit"],
)
def test_a_malformed_chunk_ends_that_banks_stream_and_names_it(server: SessionServer, chunk: bytes, says: str) -> None:
    invitation = server.invitation("ash")
    credentials = grpc.ssl_channel_credentials(invitation.certificate.encode())
    options = [*OPTIONS[2:], ("grpc.max_send_message_length", -1)]
    with grpc.secure_channel(invitation.endpoint, credentials, options=options) as channel:
        metadata = ((NODE_KEY, str(NODES["ash"])), (TICKET_KEY, invitation.ticket))
        call: Any = channel.stream_stream(f"/{SERVICE}/{RELAY}")(iter([chunk]), metadata=metadata)
        call.initial_metadata()
        with pytest.raises((BankLostError, RemoteProtocolError), match=f"bank ash.*{says}"):
            server.exchange({"ash": b"?"}, 10)


def test_many_strangers_do_not_keep_a_bank_out(server: SessionServer) -> None:
    """Streams without a ticket, and TCP connections that say nothing."""
    invitation = server.invitation("ash")
    host, _, port = invitation.endpoint.rpartition(":")
    with ExitStack() as stack:
        for _ in range(50):
            stack.enter_context(socket.create_connection((host, int(port)), timeout=5)).sendall(os.urandom(8))
        for _ in range(20):
            with suppress(RemoteProtocolError, BankLostError):
                stack.enter_context(dial(replace(invitation, ticket="x"), NODES["ash"], 5))
        with dial(invitation, NODES["ash"], 10):
            assert "ash" not in server.absent
