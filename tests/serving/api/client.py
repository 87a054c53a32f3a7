"""The service over a small real model, and ways to call it: in process, and over a real socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import AsyncIterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from riskfed.protocols.release import ModelRelease
from riskfed.serving.access.gate import Gate
from riskfed.serving.api.app import create_app
from riskfed.serving.api.service import Service
from riskfed.serving.engine.engine import ScoringEngine
from riskfed.serving.engine.reason_texts import ReasonOverlay
from riskfed.serving.models.folder import ModelFolder
from riskfed.serving.models.live import LiveModels
from riskfed.serving.records.audit import AuditLog, read_audit
from riskfed.serving.records.idempotency import store_of
from tests.serving.models import make_release

SOUND = {"income": 30_000, "balance/limit": 0.5, "late payments": "one", "region": 3, "free": None}
OTHER = {"income": 90_000, "late payments": "none"}


def put(folder: Path, release: ModelRelease) -> None:
    """Make a release the one that the folder holds."""
    folder.mkdir(exist_ok=True)
    (folder / "release.json").write_bytes(release.to_bytes())


class Api:
    """Calls the app without a network; audit log and store of answers are real ones."""

    def __init__(
        self,
        folder: Path,
        *,
        release: ModelRelease | None = None,
        start: bool = True,
        gate: Gate | None = None,
        texts: ReasonOverlay | None = None,
        **parts: Any,
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.model_folder = folder / "model"
        if start:
            put(self.model_folder, release or make_release())
        self.live = LiveModels(ModelFolder(self.model_folder), build=partial(ScoringEngine, texts=texts))
        if start:
            self.live.start()
        self.audit_folder = folder / "audit"
        parts.setdefault("audit", AuditLog(self.audit_folder))
        parts.setdefault("idempotency", store_of(f"sqlite:///{folder}/answers.db"))
        self.service = Service(self.live, gate or Gate(), **parts)
        self.app = create_app(self.service, poll_seconds=None)

    @property
    def engine(self) -> Any:
        assert self.live.champion is not None
        return self.live.champion

    def __call__(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        return self.together((method, path, arguments))[0]

    def together(self, *requests: tuple[str, str, dict[str, Any]]) -> list[httpx.Response]:
        """All at once, in one event loop."""

        async def call() -> list[httpx.Response]:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
                return await asyncio.gather(*(client.request(m, p, **arguments) for m, p, arguments in requests))

        return asyncio.run(call())

    def score(self, **body: Any) -> httpx.Response:
        return self("POST", "/v1/score", json=body)

    def stream(self, content: bytes | AsyncIterable[bytes], **arguments: Any) -> httpx.Response:
        headers = {"content-type": "application/x-ndjson"}
        return self("POST", "/v1/score:batch", content=content, headers=headers, **arguments)

    def audited(self, event: str = "score") -> list[dict[str, Any]]:
        """The audit log's lines of one event."""
        return [line for line in read_audit(self.audit_folder) if line["event"] == event]

    def close(self) -> None:
        if self.service.audit is not None:
            self.service.audit.close()
        if self.service.idempotency is not None:
            asyncio.run(self.service.idempotency.close())


def lines_of(answer: httpx.Response) -> list[dict[str, Any]]:
    """An NDJSON answer's lines."""
    return [json.loads(line) for line in answer.text.splitlines()]


@contextlib.contextmanager
def listening(app: Any) -> Iterator[int]:
    """The app in a real server on a free port of this machine, in a thread; yields the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", access_log=False, server_header=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(10)
