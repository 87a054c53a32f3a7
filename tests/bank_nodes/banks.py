"""A small consortium on disk, and its vaults as the real processes that they are."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from bank_nodes.keystore import generate_identity, write_consortium
from bank_nodes.log import read_log
from riskfed.jobs import HorizontalXgboost
from riskfed.plan import Plan
from riskfed.protocols.frames import Frame, Kind, decode_batch, encode_batch
from riskfed.protocols.release import ModelRelease
from riskfed.protocols.socket_frames import receive_message, send_message
from riskfed.protocols.switchboard import Switchboard
from riskfed.schema import Feature, Schema

BANKS = ("ash", "birch", "cedar")
SCHEMA = Schema(
    name="loans",
    version="7",
    target="default",
    features=(
        Feature(name="amount", minimum=0, maximum=50_000, nullable=False),
        Feature(name="dti"),
        Feature(name="grade", encoding="ordinal", levels=("A", "B", "C")),
        Feature(name="region", encoding="onehot", levels=(1, 2, 3)),
    ),
)
JOB = HorizontalXgboost(n_estimators=3, max_depth=2, max_bin=16, validation_fraction=0.3)
START_SECONDS = 240.0
"""A machine that runs many things at once may need this long."""


def loans(seed: int, rows: int = 120) -> pd.DataFrame:
    """Records that meet `SCHEMA`; columns that it does not name are none of its business."""
    rng = np.random.default_rng(seed)
    grade = rng.integers(0, 3, rows)
    dti = rng.normal(30, 10, rows).round(1)
    risk = 1 / (1 + np.exp(2 - grade - (dti - 30) / 10))
    return pd.DataFrame(
        {
            "id": [f"L{seed}-{i}" for i in range(rows)],
            "amount": rng.integers(1_000, 40_000, rows),
            "dti": np.where(rng.random(rows) < 0.1, np.nan, dti),
            "grade": np.array(["A", "B", "C"])[grade],
            "region": rng.integers(1, 4, rows),
            "default": (rng.random(rows) < risk).astype(int),
        }
    )


def make_consortium(
    folder: Path,
    frames: Mapping[str, pd.DataFrame | None],
    *,
    kind: str = "parquet",
    schemas: Mapping[str, Schema] | None = None,
    policies: Mapping[str, str] | None = None,
) -> dict[str, Path]:
    """Write every bank's files; bank -> its node file. One without a frame has no records."""
    public = {bank: generate_identity(folder / bank / "identity.pem").public for bank in frames}
    for bank, frame in frames.items():
        home = folder / bank
        write_consortium(home / "consortium.toml", public)
        (home / "schema.json").write_text((schemas or {}).get(bank, SCHEMA).model_dump_json())
        if frame is not None and kind == "csv":
            frame.to_csv(home / "loans.csv", index=False)
        elif frame is not None:
            frame.to_parquet(home / "loans.parquet", index=False)
        data = "" if frame is None else f'[data]\npath = "loans.{kind}"\n'
        (home / "bank.toml").write_text(
            f'bank = "{bank}"\n{data}[schema]\nfile = "schema.json"\n'
            '[consortium]\nfile = "consortium.toml"\n[keys]\nidentity = "identity.pem"\n'
            '[vault]\nsocket = "v.sock"\nlog = "vault.log"\nmodels = "models"\n'
            f"[policy]\n{(policies or {}).get(bank, 'min_rows = 50')}\n"
        )
    return {bank: folder / bank / "bank.toml" for bank in frames}


def plan_for(run: str, *, attempt: int = 1, roster: Sequence[str] = BANKS, **fields: Any) -> Plan:
    """A plan over `SCHEMA` for a small job."""
    defaults: dict[str, Any] = {"job": JOB, "schema_fingerprint": SCHEMA.fingerprint, "protection": "masking"}
    return Plan(run=run, attempt=attempt, roster=tuple(roster), **{**defaults, **fields})


def plan_batch(plan: Plan) -> bytes:
    """The first batch of a run."""
    return encode_batch([Frame(Kind.PLAN, 0, plan.model_dump_json().encode())])


def label_of(plan: Plan) -> str:
    """What requests of the run are labelled with."""
    return f"{plan.run}/{plan.attempt}"


def reason_in(batch: bytes) -> str:
    """The reason in a batch that must be one FAILED frame."""
    (frame,) = decode_batch(batch)
    assert frame.kind is Kind.FAILED
    return frame.body.decode()


@dataclass
class VaultProcess:
    """One vault as a process, and a connection to its socket, as the courier has one."""

    config: Path
    environment: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        self.folder = self.config.parent
        self.socket_path = self.folder / "v.sock"
        self.log_path = self.folder / "vault.log"
        self.errors = (self.folder / "stderr.txt").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bank_nodes.vault", "--config", str(self.config)],
            stderr=self.errors,
            env={**os.environ, **(self.environment or {})},
        )
        self._connection: socket.socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)
        self.errors.close()

    def connect(self) -> socket.socket:
        """A new connection; waits until the vault listens."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(str(self.socket_path))
            except OSError:
                connection.close()
                assert self.process.poll() is None, f"the vault has ended: {self.stderr()}"
                assert time.monotonic() < deadline, "the vault does not listen"
                time.sleep(0.05)
            else:
                connection.settimeout(START_SECONDS)
                return connection

    def ask(self, label: str, batch: bytes) -> bytes:
        """One request on the connection that is open."""
        if self._connection is None:
            self._connection = self.connect()
        send_message(self._connection, label, batch)
        answer = receive_message(self._connection)
        assert answer is not None
        assert answer[0] == label
        return answer[1]

    def hang_up(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def stderr(self) -> str:
        """What the vault told the bank."""
        return (self.folder / "stderr.txt").read_text()

    def events(self, *names: str) -> list[dict[str, Any]]:
        """Events of the vault's log."""
        return [entry for entry in read_log(self.log_path) if not names or entry["event"] in names]


def train_over_sockets(vaults: Mapping[str, VaultProcess], plan: Plan) -> ModelRelease:
    """The part of the courier and the server: serve the vaults until all have finished."""
    switchboard, label = Switchboard(plan, transport="test"), label_of(plan)
    with ThreadPoolExecutor(len(vaults)) as pool:
        batches = dict(zip(vaults, pool.map(lambda v: v.ask(label, plan_batch(plan)), vaults.values()), strict=True))
        while any(batches.values()):
            answers = switchboard.round(batches)
            asked = [(vaults[bank], answers[bank]) for bank in vaults]
            batches = dict(zip(vaults, pool.map(lambda pair: pair[0].ask(label, pair[1]), asked), strict=True))
    assert switchboard.release is not None
    return switchboard.release


def lines_of(path: Path) -> list[dict[str, Any]]:
    """JSON lines of a file."""
    return [json.loads(line) for line in path.read_text().splitlines() if line.startswith("{")]
