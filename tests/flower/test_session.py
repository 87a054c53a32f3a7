"""The session over real gRPC and TLS on loopback: who is let in, what is carried, and how it ends."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import grpc
import pytest

from riskfed.errors import BankLostError, ConfigurationError, RemoteProtocolError, RiskfedError
from riskfed.flower import session, session_wire
from riskfed.flower.session import SessionServer
from riskfed.flower.session_client import SessionStream, dial
from riskfed.flower.session_wire import CHUNK_BYTES, NODE_KEY, RELAY, SERVICE, TICKET_KEY

NODES = {"ash": 2**63 + 11, "birch": 12, "cedar": 13}


@pytest.fixture
def server() -> Iterator[SessionServer]:
    with SessionServer(NODES) as opened:
        yield opened


class Couriers:
    """A thread for each bank that answers every batch by `answer(bank, batch)`."""

    def __init__(self, server: SessionServer, answer: Callable[[str, bytes], bytes]) -> None:
        self.ended: dict[str, Exception | None] = {}
        self.threads = [threading.Thread(target=self._run, args=(server, bank, answer), daemon=True) for bank in NODES]
        for thread in self.threads:
            thread.start()
        server.wait_until_open(20)

    def _run(self, server: SessionServer, bank: str, answer: Callable[[str, bytes], bytes]) -> None:
        try:
            with dial(server.invitation(bank), NODES[bank], 10) as stream:
                for batch in stream.requests():
                    stream.answer(answer(bank, batch))
            self.ended[bank] = None
        except Exception as error:
            self.ended[bank] = error

    def join(self) -> None:
        for thread in self.threads:
            thread.join(10)
            assert not thread.is_alive()


def test_every_bank_gets_its_own_batch_and_answers_it(server: SessionServer) -> None:
    couriers = Couriers(server, lambda bank, batch: bank.encode() + batch)
    sizes = [0, 5, CHUNK_BYTES, 5 * CHUNK_BYTES + 3]

    for size in sizes:
        batches = {bank: bytes([i]) * size for i, bank in enumerate(NODES)}
        assert server.exchange(batches, 20) == {bank: bank.encode() + batch for bank, batch in batches.items()}

    server.close(5)
    couriers.join()
    assert couriers.ended == dict.fromkeys(NODES)


def test_the_farewell_reaches_every_courier_before_the_stream_ends(server: SessionServer) -> None:
    heard: list[tuple[str, bytes]] = []
    couriers = Couriers(server, lambda bank, batch: heard.append((bank, batch)) or b"")

    server.close(10, farewell=b"why")
    couriers.join()

    assert sorted(heard) == [(bank, b"why") for bank in NODES]
    assert couriers.ended == dict.fromkeys(NODES)


def _try(invitation: session_wire.Invitation, node: int) -> SessionStream:
    with dial(invitation, node, 10) as stream:
        return stream


def test_a_ticket_is_good_for_one_stream(server: SessionServer) -> None:
    _try(server.invitation("ash"), NODES["ash"])
    with pytest.raises(RemoteProtocolError, match="the ticket was used before"):
        _try(server.invitation("ash"), NODES["ash"])


@pytest.mark.parametrize(
    ("ticket_of", "node"),
    [("birch", NODES["ash"]), ("ash", 999), (None, NODES["ash"])],
    ids=["another bank's ticket", "unknown node", "made-up ticket"],
)
def test_node_and_ticket_must_belong_together(server: SessionServer, ticket_of: str | None, node: int) -> None:
    invitation = server.invitation(ticket_of) if ticket_of else replace(server.invitation("ash"), ticket="x" * 43)
    with pytest.raises(RemoteProtocolError, match="node and ticket do not belong together"):
        _try(invitation, node)
    assert server.absent == list(NODES)


def test_a_refused_stream_does_not_disturb_the_others(server: SessionServer) -> None:
    couriers = Couriers(server, lambda bank, batch: batch)
    for bank, node in NODES.items():
        with pytest.raises(RemoteProtocolError):
            _try(server.invitation(bank), node)

    assert server.exchange(dict.fromkeys(NODES, b"on"), 10) == dict.fromkeys(NODES, b"on")
    server.close(5)
    couriers.join()


def test_a_server_with_another_certificate_is_not_talked_to(server: SessionServer) -> None:
    with SessionServer(NODES) as impostor:
        invitation = replace(server.invitation("ash"), endpoint=impostor.invitation("ash").endpoint)
        with pytest.raises(BankLostError, match="did not reach the session"), dial(invitation, NODES["ash"], 1.5):
            pass
        assert impostor.absent == list(NODES)


def test_the_certificate_is_for_the_advertised_name() -> None:
    with SessionServer(NODES, address="localhost") as named:
        assert named.invitation("ash").endpoint.startswith("localhost:")
        _try(named.invitation("ash"), NODES["ash"])


def test_absent_banks_are_named(server: SessionServer) -> None:
    with (
        dial(server.invitation("birch"), NODES["birch"], 10),
        pytest.raises(BankLostError, match=r"ash, cedar within 0\.3 s"),
    ):
        server.wait_until_open(0.3)


def test_a_bank_that_does_not_answer_is_named(server: SessionServer) -> None:
    hang = threading.Event()
    couriers = Couriers(server, lambda bank, batch: (bank == "cedar" and hang.wait(20) and b"") or batch)
    with pytest.raises(BankLostError, match=r"no answer from cedar within 0\.5 s"):
        server.exchange(dict.fromkeys(NODES, b"?"), 0.5)
    hang.set()
    server.close(5)
    couriers.join()


def test_a_broken_stream_is_noticed_at_once(server: SessionServer) -> None:
    with ExitStack() as stack:
        for bank, node in NODES.items():
            stack.enter_context(dial(server.invitation(bank), node, 10))
        started = time.monotonic()
        threading.Timer(0.2, stack.close).start()
        with pytest.raises(BankLostError, match="the stream of bank (ash|birch|cedar) broke"):
            server.exchange(dict.fromkeys(NODES, b"?"), 30)
        assert time.monotonic() - started < 10


def test_a_courier_notices_that_the_server_is_gone(server: SessionServer) -> None:
    couriers = Couriers(server, lambda bank, batch: time.sleep(1) or batch)
    threading.Timer(0.2, lambda: server.close(0)).start()
    with pytest.raises(RiskfedError):
        server.exchange(dict.fromkeys(NODES, b"?"), 2)
    couriers.join()
    assert {type(error) for error in couriers.ended.values()} <= {BankLostError, type(None)}


def test_a_batch_above_the_limit_ends_the_stream_and_names_the_bank(
    server: SessionServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_wire, "MAXIMUM_BATCH_BYTES", 2 * CHUNK_BYTES)
    couriers = Couriers(server, lambda bank, batch: bytes(3 * CHUNK_BYTES) if bank == "ash" else batch)
    with pytest.raises(RemoteProtocolError, match="bank ash: a batch of more than"):
        server.exchange(dict.fromkeys(NODES, b"?"), 10)
    server.close(5)
    couriers.join()
    assert "INVALID_ARGUMENT" in str(couriers.ended["ash"])


def test_a_chunk_above_grpcs_limit_ends_the_stream(server: SessionServer) -> None:
    """A peer that ignores our client's chunking meets gRPC's own limit, before anything is set aside for it."""
    invitation = server.invitation("ash")
    credentials = grpc.ssl_channel_credentials(invitation.certificate.encode())
    options = [("grpc.max_send_message_length", -1)]
    with grpc.secure_channel(invitation.endpoint, credentials, options=options) as channel:
        metadata = ((NODE_KEY, str(NODES["ash"])), (TICKET_KEY, invitation.ticket))
        call: Any = channel.stream_stream(f"/{SERVICE}/{RELAY}")(
            iter([b"\x00" + bytes(4 * CHUNK_BYTES)]), metadata=metadata
        )
        call.initial_metadata()
        with pytest.raises(BankLostError, match="the stream of bank ash broke"):
            server.exchange({"ash": b"?"}, 10)
        with pytest.raises(grpc.RpcError):
            list(call)


def test_a_port_in_use_is_a_configuration_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigurationError, match="the operator must free the port"):
            SessionServer(NODES, port=taken.getsockname()[1])


def test_secrets_do_not_show(server: SessionServer) -> None:
    invitation = server.invitation("ash")
    assert invitation.ticket not in repr(invitation)
    assert len({server.invitation(bank).ticket for bank in NODES}) == len(NODES)
    assert session.self_signed(["127.0.0.1"]).private_key.decode() not in repr(session.self_signed(["127.0.0.1"]))
