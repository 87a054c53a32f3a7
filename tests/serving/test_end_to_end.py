"""The whole way: recorded runs, MLflow's own server, its registry, the scoring service as a process of its own."""

import contextlib
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import mlflow
import numpy as np
import pytest
import xgboost

from riskfed.errors import RegistryError
from riskfed.serving.models.mlflow_registry import MlflowRegistry
from riskfed.tracking.gate import gate
from riskfed.tracking.run import MlflowRun
from tests.serving.models import SCHEMA, booster_of, loans, make_release
from tests.serving.registry_server import ARTIFACTS, RegistryServer
from tests.serving.runs import whole_run

NAME = "default-risk"


@dataclass
class Child:
    """A process of our own, stopped by its id; it writes its log beside."""

    command: list[str]
    log: Path
    settings: dict[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[str] | None" = None

    def start(self) -> "subprocess.Popen[str]":
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, *self.command],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, **self.settings},
                start_new_session=True,
            )
        return self.process

    def kill(self) -> None:
        """With all that it has started."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, 9)
            self.process.wait()
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process = None


def wait_for(done: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.HTTPError):
            if done():
                return
        time.sleep(0.1)
    pytest.fail(what)


@pytest.fixture(scope="module")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path, Child]]:
    """Address, folder and process of an MLflow server that keeps the files itself."""
    folder = tmp_path_factory.mktemp("server")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    store = ["--backend-store-uri", f"sqlite:///{folder}/server.db", "--artifacts-destination", str(folder / "files")]
    command = ["-m", "mlflow", "server", *store, "--host", "127.0.0.1", "--port", port, "--workers", "1"]
    server = Child(command, folder / "log", {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"})
    server.start()
    try:
        wait_for(lambda: httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200, "MLflow did not start")
        yield f"http://127.0.0.1:{port}", folder, server
    finally:
        server.kill()


@pytest.fixture
def service(mlflow_server: tuple[str, Path, Child], tmp_path: Path) -> Iterator[Child]:
    config = tmp_path / "service.toml"
    config.write_text(
        f'[model]\ntracking_uri = "{mlflow_server[0]}"\nname = "{NAME}"\npoll_seconds = 0.2\n\n'
        f'[listen]\nport = 0\n\n[records]\nfolder = "{tmp_path / "records"}"\n'
    )
    child = Child(["-m", "riskfed.cli", "serve", "--config", str(config)], tmp_path / "service.log")
    yield child
    child.kill()


def opened(service: Child, version: str) -> httpx.Client:
    started = service.start()
    assert started.stdout is not None
    announced = started.stdout.readline()
    found = re.fullmatch(rf"scoring with {NAME} version {version} on (http://127\.0\.0\.1:\d+)/v1/score\n", announced)
    assert found, announced + service.log.read_text()
    return httpx.Client(base_url=found[1], timeout=30)


def record(uri: str, trees: int, folder: Path) -> MlflowRun:
    with MlflowRun(uri, "credit", NAME, release_path=folder / f"release-{trees}.json") as tracking:
        for event in whole_run(make_release(trees)):
            tracking(event)
    return tracking


def ready(client: httpx.Client) -> dict[str, Any]:
    return dict(client.get("/readyz").json())


def wait_for_version(client: httpx.Client, version: str) -> None:
    wait_for(lambda: ready(client)["model"]["version"] == version, f"version {version} was not taken up")


@pytest.mark.slow
def test_from_the_banks_to_the_applicant(
    mlflow_server: tuple[str, Path, Child], service: Child, tmp_path: Path
) -> None:
    uri, folder, server = mlflow_server
    first = record(uri, 10, tmp_path)
    assert first.gate_result is not None
    assert first.gate_result.passed
    the_stand_in_answers_alike(uri)
    with opened(service, "1") as client:
        scores_as_xgboost(client, 10)
        swaps_without_a_failed_request(client, uri, tmp_path)
        scores_as_xgboost(client, 40)
        keeps_the_sound_model(client, uri, folder, tmp_path)
        server.kill()
        wait_for(lambda: "cannot be reached" in ready(client)["problem"], "the loss of the registry was not told")
        scores_as_xgboost(client, 40)
    service.kill()
    with opened(service, "2") as client:
        assert (ready(client)["status"], ready(client)["warm_start"]) == ("ready_with_problems", True)
        scores_as_xgboost(client, 40)


def the_stand_in_answers_alike(uri: str) -> None:
    """`RegistryServer`, which the other tests use, gives what MLflow gives: the same model, codes and words."""
    stand_in = RegistryServer()
    stand_in.register(make_release(10), "1", NAME)
    stand_in.aliases[NAME, "champion"] = "1"
    stand_in.start()
    try:
        sources = MlflowRegistry(uri, NAME), MlflowRegistry(stand_in.address, NAME)
        theirs, ours = (source.download(source.resolve()) for source in sources)
        assert (theirs.model, theirs.schema) == (ours.model, ours.schema)
        assert theirs.facts.keys() >= ours.facts.keys()
        assert theirs.reference.source.startswith("mlflow-artifacts:/")
        for path in (
            "/api/2.0/mlflow/registered-models/alias?name=default-risk&alias=nope",
            "/api/2.0/mlflow/registered-models/alias?name=nope&alias=champion",
            "/api/2.0/mlflow/model-versions/get?name=default-risk&version=9",
            f"{ARTIFACTS}1/models/x/none",
        ):
            real, made = httpx.get(uri + path), httpx.get(stand_in.address + path)
            assert real.status_code == made.status_code
            assert {key: real.json()[key] for key in made.json()} == made.json()
    finally:
        stand_in.stop()


def scores_as_xgboost(client: httpx.Client, trees: int) -> None:
    frame, release = loans(40, 4), make_release(trees)
    rows = xgboost.DMatrix(SCHEMA.encode(frame), feature_names=list(SCHEMA.columns))
    expected = booster_of(release).predict(rows)
    applicants = frame.drop(columns="default").astype(object).where(frame.notna(), None).to_dict("records")
    answers = [client.post("/v1/score", json={"applicant": applicant}).json() for applicant in applicants]
    pds = np.array([answer["pd"] for answer in answers], dtype=np.float32)
    np.testing.assert_array_max_ulp(pds, expected, maxulp=1)
    assert {answer["model"]["alias"] for answer in answers} == {"champion"}


def swaps_without_a_failed_request(client: httpx.Client, uri: str, folder: Path) -> None:
    """A better model arrives while requests come in."""
    statuses: list[int] = []
    over = threading.Event()

    def ask() -> None:
        applicant = {"income": 20_000, "late payments": "none"}
        while not over.is_set():
            statuses.append(client.post("/v1/score", json={"applicant": applicant}).status_code)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        assert record(uri, 40, folder).gate_result.passed
        wait_for_version(client, "2")
    finally:
        over.set()
        asking.join()
    assert len(statuses) > 20
    assert set(statuses) == {200}


def keeps_the_sound_model(client: httpx.Client, uri: str, server_folder: Path, folder: Path) -> None:
    """Someone moves the alias by hand to a model whose file is spoilt: the gate refuses it, and so does the scoring service."""
    third = record(uri, 41, folder)
    registry = mlflow.MlflowClient(uri, uri)
    location = registry.get_model_version_download_uri(NAME, third.version)
    spoilt = server_folder / "files" / location.partition(":/")[2] / "model.json"
    spoilt.write_bytes(spoilt.read_bytes()[:-100])
    assert not gate(uri, NAME, third.version).passed
    registry.set_registered_model_alias(NAME, "champion", third.version)
    wait_for(lambda: ready(client)["refused"] == f"{NAME} version {third.version}", "the broken model was not refused")
    assert ready(client)["model"]["version"] == "2"
    with pytest.raises(RegistryError):
        source = MlflowRegistry(uri, NAME)
        source.download(source.resolve())
