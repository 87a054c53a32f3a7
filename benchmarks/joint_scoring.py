"""What a partner's part costs a score: `riskfed serve` and `riskfed node answer` as processes on loopback, over TLS 1.3.

    python -m benchmarks.joint_scoring [--scores 500] [--trees 100] [--depth 4]

Taiwan accounts, split into a lender's and a payments company's columns (`riskfed.datasets.vertical`). Applicants are scored one after the
other by one client that keeps its connection; milliseconds are those of the whole request, as this client sees it.
"""

from __future__ import annotations

import argparse
import hashlib
import ssl
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import xgboost

from benchmarks.joint_models import VerticalModel, take_apart
from benchmarks.serving_processes import Server, quiet_environment
from riskfed.datasets import load_taiwan
from riskfed.datasets.vertical import LENDER, taiwan_vertical_schema
from riskfed.schema import Schema
from riskfed.stack.keys import write_own_certificate
from riskfed.stack.processes import Processes, free_port, port_open
from riskfed.toml_text import toml_lines
from riskfed.vertical_model import Answers

PARTNER = "payments"
_START_SECONDS = 120.0
_TOOL = str(Path(sys.executable).parent / "riskfed")
_KNOWN = 27_000
"""Customers whom the partner has; the others of the 30,000 are strangers to it."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What a partner's part costs a score.")
    parser.add_argument("--scores", type=int, default=500)
    parser.add_argument("--trees", type=int, default=100)
    parser.add_argument("--depth", type=int, default=4)
    asked = parser.parse_args(arguments)
    figures = measured(asked.scores, asked.trees, asked.depth)
    print(f"\n{asked.scores} applicants, {asked.trees} trees of depth {asked.depth}; milliseconds of a whole score\n")
    print(f"{'':34}{'p50':>8}{'p95':>8}{'p99':>8}{'fallbacks':>12}")
    for name, row in figures.items():
        print(f"{name:34}{row['p50']:8.2f}{row['p95']:8.2f}{row['p99']:8.2f}{row['fallbacks']:12.0f}")


def measured(scores: int, trees: int, depth: int) -> dict[str, dict[str, float]]:
    """Way of scoring -> p50, p95, p99 in milliseconds, and how many scores were the fallback's."""
    schema, frame = taiwan_vertical_schema(), load_taiwan()
    frame["customer_id"] = [f"TW{person:05d}" for person in frame["id"]]
    joint, own = (_booster(schema, frame, columns, trees, depth) for columns in _columns(schema))
    figures = {}
    ways: tuple[Answers, ...] = ("decisions", "leaf_sets")
    for answers in ways:
        model = take_apart(schema, joint, own, answers)
        with tempfile.TemporaryDirectory() as folder, Processes() as processes:
            service = _start(processes, Path(folder), model, frame)
            bits = len(model.parts[PARTNER].answer(np.zeros(len(schema.part_of(PARTNER).columns), np.float32)))
            known = frame[:scores].to_dict("records")
            figures[f"partner asked, {answers} ({bits} bytes)"] = _timed(service.address, schema, known)
            if answers == "decisions":
                strangers = frame[_KNOWN : _KNOWN + scores].to_dict("records")
                figures["partner asked, customer unknown"] = _timed(service.address, schema, strangers)
                figures["own model alone"] = _timed(service.address, schema, known, ask=False)
    return figures


def _columns(schema: Schema) -> tuple[Sequence[str], Sequence[str]]:
    return schema.joined_columns, schema.part_of(LENDER).columns


def _booster(schema: Schema, frame: pd.DataFrame, columns: Sequence[str], trees: int, depth: int) -> bytes:
    places = [schema.columns.index(column) for column in columns]
    data = xgboost.DMatrix(schema.encode(frame)[:, places], schema.labels(frame), feature_names=list(columns))
    parameters = {"objective": "binary:logistic", "max_depth": depth, "eta": 0.1}
    return bytes(xgboost.train(parameters, data, trees).save_raw("json"))


def _start(processes: Processes, folder: Path, model: VerticalModel, frame: pd.DataFrame) -> Server:
    """Both processes; the lender's service."""
    client, endpoint = (write_own_certificate(folder, name) for name in ("client", "endpoint"))
    port = _start_partner(processes, folder, model, frame, client, endpoint)
    (folder / "model").mkdir()
    (folder / "model" / "release.json").write_bytes(model.release().to_bytes())
    partner = {"name": PARTNER, "url": f"https://127.0.0.1:{port}", **_pair(client), "ca": str(endpoint)}
    tables = {"model": {"folder": "model"}, "records": {"folder": "records"}, "[partners]": partner}

    def serve(port: int) -> list[str]:
        path = _write(folder / "service.toml", {**tables, "listen": {"port": port}})
        return [_TOOL, "serve", "--config", str(path)]

    return Server(processes, "service", folder, serve, "/readyz")


def _start_partner(
    processes: Processes, folder: Path, model: VerticalModel, frame: pd.DataFrame, client: Path, endpoint: Path
) -> int:
    """The partner's endpoint; its port."""
    port, part = free_port(), model.schema.part_of(PARTNER)
    columns = ["customer_id", *(feature.name for feature in part.features)]
    frame[:_KNOWN][columns].to_parquet(folder / "records.parquet")
    (folder / "schema.json").write_text(model.schema.model_dump_json())
    (folder / "models" / "run").mkdir(parents=True)
    (folder / "models" / "run" / "part.json").write_bytes(model.parts[PARTNER].to_bytes())
    fingerprint = hashlib.sha256(ssl.PEM_cert_to_DER_cert(client.read_text())).hexdigest()
    tables: dict[str, Mapping[str, Any]] = {
        "data": {"path": "records.parquet"},
        "schema": {"file": "schema.json"},
        "consortium": {"file": "consortium.toml"},
        "keys": {"identity": "identity.pem"},
        "vault": {"socket": "vault.sock", "log": "vault.log", "models": "models"},
        "answers": {"port": port, **_pair(endpoint), "client_authorities": str(client), "per_minute": 1_000_000},
        "answers.clients": {LENDER: [fingerprint]},
    }
    path = _write(folder / "bank.toml", tables, bank=PARTNER)
    log = folder / "partner.log"
    command = [_TOOL, "node", "answer", "--config", str(path)]
    log = folder / "partner.log"
    process = processes.start("partner", command, log=log, env=quiet_environment())
    processes.wait_until(process, lambda: port_open(port), _START_SECONDS)
    return port


def _pair(certificate: Path) -> dict[str, str]:
    return {"certificate": str(certificate), "key": str(certificate.with_suffix(".key"))}


def _write(path: Path, tables: Mapping[str, Mapping[str, Any]], **top: Any) -> Path:
    lines = list(toml_lines(top.items()))
    for section, fields in tables.items():
        lines += [f"[{section}]", *toml_lines(fields.items())]
    path.write_text("\n".join(lines) + "\n")
    return path


def _timed(
    address: str, schema: Schema, applicants: Sequence[Mapping[Any, Any]], *, ask: bool = True
) -> dict[str, float]:
    names = [feature.name for feature in schema.part_of(LENDER).features]
    milliseconds, fallbacks = [], 0
    with httpx.Client(base_url=address, trust_env=False) as client:
        for place, applicant in enumerate([applicants[0], *applicants]):
            body: dict[str, Any] = {"applicant": {name: applicant[name] for name in names}}
            if ask:
                body["customer_id"] = applicant["customer_id"]
            began = time.perf_counter()
            answer = client.post("/v1/score", json=body).raise_for_status()
            if place:  # the first one makes connections
                milliseconds.append(1000 * (time.perf_counter() - began))
                fallbacks += "fallback" in answer.json()
    p50, p95, p99 = np.percentile(milliseconds, (50, 95, 99)).tolist()
    return {"p50": p50, "p95": p95, "p99": p99, "fallbacks": float(fallbacks)}


if __name__ == "__main__":
    main()
