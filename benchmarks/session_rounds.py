"""Rounds over session transport: a SessionServer here, and for every bank a process with the courier's relay and an echoing vault."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Hashable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from bank_nodes.listener import Listener
from riskfed.flower.session import SessionServer
from riskfed.flower.session_wire import Invitation
from riskfed.protocols.frames import Frame, Kind, encode_batch

_HEADER_BYTES = 13
_WARM_UP = 10
_START_SECONDS = 120.0
_ROUND_SECONDS = 60.0
_LABEL = "bench/1"


def measure(n_banks: int, size: int, rounds: int) -> list[float]:
    """Seconds of every round.

    Args:
        n_banks: processes that answer.
        size: bytes to each bank and from each bank.
        rounds: counted rounds, after some that are not.
    """
    nodes = {f"bank{i}": i + 1 for i in range(n_banks)}
    batch = encode_batch([Frame(Kind.COMBINE, 0, bytes(size - _HEADER_BYTES))])
    with ExitStack() as closing:
        server = closing.enter_context(SessionServer(nodes))
        for bank, node in nodes.items():
            closing.callback(_end, _courier(server.invitation(bank), node))
        server.wait_until_open(_START_SECONDS)
        seconds = [_round(server, dict.fromkeys(nodes, batch)) for _ in range(_WARM_UP + rounds)]
        server.close(5.0)
    return seconds[_WARM_UP:]


def _round(server: SessionServer, batches: dict[str, bytes]) -> float:
    started = time.perf_counter()
    answers = server.exchange(batches, _ROUND_SECONDS)
    elapsed = time.perf_counter() - started
    assert answers == batches
    return elapsed


def _courier(invitation: Invitation, node: int) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.session_rounds"], stdin=subprocess.PIPE)
    assert process.stdin is not None
    with process.stdin as pipe:  # not by arguments, which every user of the machine can read: it holds the ticket
        pipe.write(json.dumps({"node": node, **asdict(invitation)}).encode())
    return process


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class _Echo:
    """A vault that answers at once."""

    def handle(self, label: str, batch: bytes, carrier: Hashable = None) -> bytes:
        return batch

    def disconnect(self, carrier: Hashable) -> None: ...


def _be_a_bank() -> None:
    from flwr.app import Context, RecordDict

    from riskfed.flower.client_app import Vault
    from riskfed.flower.session_client import dial

    given = json.load(sys.stdin)
    node = given.pop("node")
    with tempfile.TemporaryDirectory(prefix="rf") as folder:
        path = Path(folder) / "v.sock"
        with Listener(path, _Echo()) as listener:
            threading.Thread(target=listener.serve, daemon=True).start()
            context = Context(1, node, {"vault": str(path)}, RecordDict(), {})
            with (
                Vault(context, _LABEL, _ROUND_SECONDS, _ROUND_SECONDS) as vault,
                dial(Invitation(**given), node, _START_SECONDS) as stream,
            ):
                for batch in stream.requests():
                    stream.answer(vault.ask(batch))


if __name__ == "__main__":
    _be_a_bank()
