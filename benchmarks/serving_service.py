"""`riskfed serve` as a bank would run it: API keys, audit log, idempotency store and reasons, all as configured by a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks.serving_processes import Server, tool
from riskfed.serving.access.key_file import add_key
from riskfed.stack.processes import Processes
from riskfed.toml_text import toml_lines

CLIENT = "loan-desk"


@dataclass(frozen=True, slots=True)
class Service:
    """A running service.

    Attributes:
        server: its process.
        headers: what its client sends besides the body.
        records: folder of its audit log and store.
    """

    server: Server
    headers: dict[str, str]
    records: Path

    @property
    def audit(self) -> Path:
        """The folder of its audit log."""
        return next(self.records.rglob("audit-*.jsonl")).parent


def start_service(
    processes: Processes,
    folder: Path,
    *,
    registry: str | None = None,
    name: str | None = None,
    model_folder: Path | None = None,
    poll_seconds: float = 15.0,
    command: tuple[str, ...] = (),
) -> Service:
    """Start `riskfed serve` for the champion of a registry, or for a model's folder.

    Args:
        processes: its owner.
        folder: for its configuration, records and log.
        registry, name: address of the MLflow server and the registered model.
        model_folder: in place of those.
        poll_seconds: time between two looks at the alias.
        command: in place of this environment's ``riskfed``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    keys = folder / "keys.json"
    key = add_key(keys, CLIENT, ["score", "models", "metrics"])
    source = (
        {"tracking_uri": registry, "name": name} if model_folder is None else {"folder": str(model_folder.resolve())}
    )
    tables = {
        "model": {**source, "poll_seconds": poll_seconds},
        "access": {"keys": str(keys.resolve())},
        "records": {"folder": str((folder / "records").resolve())},
    }

    def serve(port: int) -> list[str]:
        return [*(command or (tool("riskfed"),)), "serve", "--config", str(_write(folder, tables, port))]

    server = Server(processes, "service", folder, serve, "/readyz")
    return Service(server, {"Authorization": f"Bearer {key}"}, folder / "records")


def _write(folder: Path, tables: dict[str, dict[str, object]], port: int) -> Path:
    lines = []
    for section, fields in {**tables, "listen": {"port": port}}.items():
        lines += [f"[{section}]", *toml_lines(fields.items())]
    path = folder / "service.toml"
    path.write_text("\n".join(lines) + "\n")
    return path
