"""Three banks with real vault services behind real sockets, couriers and a server, in one process; all that crosses is kept."""

from __future__ import annotations

import logging
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pandas as pd
import structlog
from flwr.app import Context, Message, RecordDict

from bank_nodes.config import load_config
from bank_nodes.listener import Listener
from bank_nodes.log import VaultLog, read_log
from bank_nodes.vault import make_service
from riskfed.flower.client_app import app
from riskfed.flower.codec import decode
from riskfed.flower.outcome import Outcome
from riskfed.flower.run_file import Limits, RunFile
from riskfed.flower.server_app import serve_run
from riskfed.flower.session import SessionServer
from riskfed.protocols import events
from tests.bank_nodes.banks import JOB, SCHEMA, make_consortium
from tests.flower.federation import InProcessGrid

NODES = {"ash": 11, "birch": 12, "cedar": 13}
QUICK = Limits(connect_timeout=20, round_timeout=60, farewell_timeout=5)


class WatchedGrid(InProcessGrid):
    """Keeps every byte and every text that a node sends to the server."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.crossed = bytearray()

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        replies = super().pull_messages(message_ids)
        for reply in replies:
            if reply.has_error():
                self.crossed += f"{reply.error.code} {reply.error.reason}".encode()
            elif "batch" in reply.content:
                self.crossed += decode(reply.content)[0]
            else:
                self.crossed += repr(reply.content).encode()
        return replies


@dataclass
class RealBanks:
    """The federation; `run` serves one run."""

    folder: Path
    grid: WatchedGrid
    configs: Mapping[str, Path]
    heard: list[events.Event] = field(default_factory=list)
    server_log: list[str] = field(default_factory=list)

    def run(self, run: str = "run-1", **changes: Any) -> Outcome:
        """Serve a run."""
        fields = {"job": JOB.model_dump(), "roster": NODES, "schema_file": "schema.json", "limits": QUICK.model_dump()}
        fields |= {"progress_file": "progress.jsonl", "on_loss": "fail"}
        (self.folder / "schema.json").write_text(SCHEMA.model_dump_json())
        RunFile(**{**fields, **changes}).save(self.folder / "run.json")
        with (
            _logged("riskfed.server", self.server_log),
            _logged("riskfed.strategy", self.server_log),
            patch.object(SessionServer, "exchange", self._watched(SessionServer.exchange)),
        ):
            return serve_run(self.grid, RunFile.load(self.folder / "run.json"), run, lambda *_: [self.heard.append])

    def _watched(self, exchange: Callable[..., dict[str, bytes]]) -> Callable[..., dict[str, bytes]]:
        def watched(*given: Any) -> dict[str, bytes]:
            answers = exchange(*given)
            for answer in answers.values():
                self.grid.crossed += answer
            return answers

        return watched

    @property
    def known_to_server(self) -> bytes:
        """Everything that crossed, and everything that the server has written or told anybody."""
        files = [path.read_bytes() for path in self.folder.glob("*.json*") if path.name != "schema.json"]
        told = [repr(self.heard).encode(), "\n".join(self.server_log).encode()]
        return b"\0".join([bytes(self.grid.crossed), *files, *told])

    def log(self, bank: str) -> list[dict[str, Any]]:
        """A vault's log."""
        return list(read_log(load_config(self.configs[bank]).vault.log))


@contextmanager
def real_banks(frames: Mapping[str, pd.DataFrame], **changes: Any) -> Iterator[RealBanks]:
    """Lay out and start the banks."""
    folder = Path(tempfile.mkdtemp(prefix="rf"))  # a UNIX socket's path must be short
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        stack.enter_context(structlog.testing.capture_logs())  # what a vault tells its own bank
        configs = make_consortium(folder, frames, **changes)
        contexts = {}
        for bank, path in configs.items():
            config = load_config(path)
            service = make_service(config, stack.enter_context(VaultLog(config.vault.log)))
            listener = stack.enter_context(Listener(config.vault.socket, service))
            threading.Thread(target=_serve, args=(listener,), daemon=True).start()
            contexts[NODES[bank]] = Context(1, NODES[bank], {"vault": str(config.vault.socket)}, RecordDict(), {})
        yield RealBanks(folder, WatchedGrid(app, contexts), configs)


def _serve(listener: Listener) -> None:
    with suppress(OSError):  # closed at the end of the test
        listener.serve()


@contextmanager
def _logged(name: str, lines: list[str]) -> Iterator[None]:
    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    logger, keeper = logging.getLogger(name), Keeper()
    logger.addHandler(keeper)
    try:
        yield
    finally:
        logger.removeHandler(keeper)
