"""The real scoring service as a process, and a line to it that breaks when it is told to."""

from __future__ import annotations

import asyncio
import json
import os
import queue
import signal
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pandas as pd

from riskfed.protocols.release import ModelRelease
from riskfed.serving.access.key_file import add_key
from riskfed.serving.score_file.answers import ServedModel
from riskfed.stack.processes import Process, Processes, free_port, port_open
from riskfed.toml_text import toml_lines

BUSY = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 0\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def write(frame: pd.DataFrame, path: Path) -> Path:
    frame.to_csv(path, index=False) if path.suffix == ".csv" else frame.to_parquet(path)
    return path


class ScoringService:
    """`riskfed serve` for a release in a folder, with API keys, that can be killed and started again on its port."""

    def __init__(
        self, processes: Processes, folder: Path, release: ModelRelease, scopes: Sequence[str] = ("score", "models")
    ) -> None:
        self._processes, self._folder = processes, folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.model = folder / "model"
        self.model.mkdir(parents=True)
        (self.model / "release.json").write_bytes(release.to_bytes())
        self.key = add_key(folder / "keys.json", "desk", list(scopes))
        tables = {
            "model": {"folder": str(self.model), "poll_seconds": 0.2, "retained": 1},
            "listen": {"port": self.port},
            "access": {"keys": str(folder / "keys.json")},
            "records": {"folder": str(folder / "records")},
        }
        lines = [line for section, keys in tables.items() for line in (f"[{section}]", *toml_lines(keys.items()))]
        (folder / "service.toml").write_text("\n".join(lines) + "\n")
        self.start()

    def start(self) -> None:
        riskfed = Path(sys.executable).with_name("riskfed")
        command = [str(riskfed), "serve", "--config", str(self._folder / "service.toml")]
        log = self._folder / "service.log"
        self._process: Process = self._processes.start("service", command, log=log, env=dict(os.environ))
        self._processes.wait_until(self._process, lambda: port_open(self.port), timeout=60)

    def kill(self) -> None:
        self._process.popen.send_signal(signal.SIGKILL)
        self._processes.stop([self._process])

    def change_champion(self, release: ModelRelease) -> None:
        """Put another release into the folder, and wait until the service has taken it up."""
        before = self._champion()
        (self.model / "release.json").write_bytes(release.to_bytes())
        for _ in range(600):
            if self._champion() != before:
                return
            time.sleep(0.05)
        raise TimeoutError("the service did not take up the new model within 30 s")

    def _champion(self) -> str:
        request = urllib.request.Request(f"{self.url}/v1/models", headers={"Authorization": f"Bearer {self.key}"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return next(model["version"] for model in json.load(answer)["models"] if model["role"] == "champion")

    def audited(self) -> list[dict[str, object]]:
        """The "score" lines of its audit log."""
        files = sorted((self._folder / "records" / "audit").glob("audit-*.jsonl"))
        lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
        return [line for line in lines if line["event"] == "score"]


class Watch:
    """Notes what it is told; `at` rows with answers, it does something once."""

    def __init__(self, at: int | None = None, does: Callable[[], None] = lambda: None) -> None:
        self.notices: list[str] = []
        self.waits: list[str] = []
        self.rows = 0
        self.begun: tuple[ServedModel, int | None, int] | None = None
        self._at, self._does = at, does

    def notice(self, text: str) -> None:
        self.notices.append(text)

    def begin(self, model: ServedModel, rows: int | None, done: int) -> None:
        self.begun = model, rows, done

    def advance(self, rows: int) -> None:
        self.rows += rows
        if self._at is not None and self.rows >= self._at:
            self._at = None
            self._does()

    def waiting(self, why: str, seconds: float) -> None:
        self.waits.append(why)


@contextmanager
def broken_line(to: int, faults: Sequence[bytes | int]) -> Iterator[int]:
    """A port that leads to port `to`. Its n-th connection has the n-th fault: bytes are answered instead; after so many bytes of answer
    the line breaks. Connections after these are sound.
    """
    left = list(faults)
    loop, over, ports = asyncio.new_event_loop(), asyncio.Event(), queue.SimpleQueue[int]()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _connect(reader, writer, to, left.pop(0) if left else None)

    async def run() -> None:
        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        ports.put(server.sockets[0].getsockname()[1])
        await over.wait()
        server.close()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    try:
        yield ports.get(timeout=10)
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(10)
        loop.close()


async def _connect(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, to: int, fault: bytes | int | None
) -> None:
    if isinstance(fault, bytes):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(fault)
        # Hanging up on what was not read resets the connection, and with it what was answered.
        with suppress(OSError):
            while await reader.read(1 << 16):
                pass
        writer.close()
        return
    inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", to)
    forth = asyncio.create_task(_pipe(reader, inner_writer, None))
    await _pipe(inner_reader, writer, fault)
    forth.cancel()
    inner_writer.transport.abort()
    writer.transport.abort() if fault is not None else writer.close()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, most: int | None) -> None:
    try:
        while data := await reader.read(4096):
            writer.write(data if most is None else data[:most])
            await writer.drain()
            if most is not None:
                most -= len(data)
                if most <= 0:
                    return
    except OSError:
        return
