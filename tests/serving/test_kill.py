"""kill -9 of the service under load: what was answered is on record, and a retry gets the same answer."""

import hashlib
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import xgboost

from benchmarks.serving_clients import NO_ANSWER, Client, Clients, Exchange
from benchmarks.serving_evidence import is_right, weigh
from benchmarks.serving_service import Service, start_service
from riskfed.stack.processes import Processes
from tests.serving.models import SCHEMA, booster_of, loans, make_release

ENOUGH = 400


def applicants_and_pds(folder: Path) -> tuple[list[dict[str, object]], dict[str, list[float]]]:
    """Write a model's folder; returns applicants, and by the model's version XGBoost's PD of each."""
    release, frame = make_release(), loans(50, 5)
    folder.mkdir()
    (folder / "release.json").write_bytes(release.to_bytes())
    rows = xgboost.DMatrix(SCHEMA.encode(frame), feature_names=list(SCHEMA.columns))
    pds = np.asarray(booster_of(release).predict(rows), dtype=np.float64).tolist()
    records = frame.drop(columns="default").astype(object).where(frame.notna(), None).to_dict("records")
    return records, {hashlib.sha256(release.model).hexdigest()[:12]: pds}


def killed_under_load(service: Service, records: Sequence[dict[str, object]]) -> list[Exchange]:
    clients = Clients(service.server.port, service.headers, records)
    clients.start()
    try:
        deadline = time.monotonic() + 60
        while clients.answered < ENOUGH and time.monotonic() < deadline:
            time.sleep(0.01)
        service.server.kill()
        time.sleep(0.2)
    finally:
        exchanges = clients.stop()
    return exchanges


@pytest.mark.slow
def test_a_killed_service_loses_no_line_and_answers_a_retry_as_before(tmp_path: Path) -> None:
    records, pds = applicants_and_pds(tmp_path / "model")
    with Processes() as processes:
        service = start_service(processes, tmp_path / "service", model_folder=tmp_path / "model")
        exchanges = killed_under_load(service, records)
        answered = [exchange for exchange in exchanges if exchange.status != NO_ANSWER]
        assert len(answered) >= ENOUGH
        assert len(answered) < len(exchanges), "the kill was to meet requests under way"
        service.server.start()

        command = [sys.executable, "-m", "riskfed.cli", "audit", "verify", str(service.audit)]
        verified = subprocess.run(command, capture_output=True, text=True, check=False)
        assert verified.returncode == 0, verified.stdout + verified.stderr

        evidence = weigh(answered, pds, service.audit)
        assert evidence.failed == evidence.wrong_version == 0
        assert evidence.not_audited == evidence.audited_twice == evidence.unlike_replays == 0
        retried_as_before(service, records, pds, exchanges)


def retried_as_before(
    service: Service, records: Sequence[dict[str, object]], pds: dict[str, list[float]], exchanges: Sequence[Exchange]
) -> None:
    """Requests with a key get the answer that they had, and those that had none get one."""
    client = Client(service.server.port, service.headers, records)
    keyed = {exchange.key: exchange for exchange in exchanges if exchange.key is not None}
    assert len(keyed) >= ENOUGH // 20
    for key, before in keyed.items():
        again = client.ask(before.request_id, before.applicant, key)
        assert is_right(again, pds)
        if before.status != NO_ANSWER:
            assert again.replayed
            assert again.body == before.body
    client.close()
