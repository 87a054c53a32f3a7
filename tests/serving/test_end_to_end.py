"""The whole way: a recorded run, MLflow's server, its registry, the scoring server; and what the scoring process loads."""

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import mlflow
import numpy as np
import pytest
import xgboost

from riskfed.errors import RegistryError
from riskfed.serving.registry_client import MlflowRegistry
from riskfed.tracking.gate import gate
from riskfed.tracking.run import MlflowRun
from tests.serving.models import SCHEMA, booster_of, loans, make_release
from tests.serving.runs import whole_run

NAME = "default-risk"
SERVE = (
    "import sys; from riskfed.serving.server import serve; serve(sys.argv[1], sys.argv[2], port=0, poll_seconds=0.2)"
)


@contextlib.contextmanager
def process(*command: str, folder: Path, **settings: str) -> Iterator[subprocess.Popen[str]]:
    """A process of our own, stopped by its id at the end."""
    with (folder / f"{settings.pop('LOG')}.log").open("w") as log:
        started = subprocess.Popen(
            [sys.executable, *command], stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, **settings}
        )
        try:
            yield started
        finally:
            started.terminate()
            try:
                started.wait(20)
            except subprocess.TimeoutExpired:
                started.kill()
                started.wait()


@pytest.fixture(scope="module")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path, subprocess.Popen[str]]]:
    """Address, folder and process of an MLflow server that keeps the files itself."""
    folder = tmp_path_factory.mktemp("server")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    store = ["--backend-store-uri", f"sqlite:///{folder}/server.db", "--artifacts-destination", str(folder / "files")]
    command = ["-m", "mlflow", "server", *store, "--host", "127.0.0.1", "--port", port, "--workers", "1"]
    with process(*command, folder=folder, LOG="mlflow", MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false") as server:
        deadline = time.monotonic() + 200
        while time.monotonic() < deadline and server.poll() is None:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200:
                    break
            time.sleep(0.2)
        else:
            pytest.fail("the MLflow server did not start")
        yield f"http://127.0.0.1:{port}", folder, server


def record(uri: str, trees: int, folder: Path) -> MlflowRun:
    with MlflowRun(uri, "credit", NAME, release_path=folder / f"release-{trees}.json") as tracking:
        for event in whole_run(make_release(trees)):
            tracking(event)
    return tracking


def wait_for_version(client: httpx.Client, version: str) -> None:
    deadline = time.monotonic() + 60
    while client.get("/readyz").json()["model"]["version"] != version:
        assert time.monotonic() < deadline, f"version {version} was not taken up"
        time.sleep(0.1)


@pytest.mark.slow
def test_from_the_banks_to_the_applicant(
    mlflow_server: tuple[str, Path, subprocess.Popen[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri, folder, server = mlflow_server
    first = record(uri, 10, tmp_path)
    assert first.gate_result is not None
    assert first.gate_result.passed
    with process("-c", SERVE, uri, NAME, folder=tmp_path, LOG="serving") as serving:
        assert serving.stdout is not None
        announced = serving.stdout.readline()
        found = re.fullmatch(r"scoring with default-risk version 1 on (http://127\.0\.0\.1:\d+)/v1/score\n", announced)
        assert found, announced
        with httpx.Client(base_url=found[1]) as client:
            scores_as_xgboost(client, 10, alias="champion")
            swaps_without_a_failed_request(client, uri, tmp_path)
            scores_as_xgboost(client, 40, alias="champion")
            keeps_the_sound_model(client, uri, folder, tmp_path)
            server.terminate()
            server.wait(30)
            time.sleep(0.5)
            scores_as_xgboost(client, 40, alias="champion")


def scores_as_xgboost(client: httpx.Client, trees: int, alias: str) -> None:
    frame, release = loans(40, 4), make_release(trees)
    rows = xgboost.DMatrix(SCHEMA.encode(frame), feature_names=list(SCHEMA.columns))
    expected = booster_of(release).predict(rows)
    applicants = frame.drop(columns="default").astype(object).where(frame.notna(), None).to_dict("records")
    answers = [client.post("/v1/score", json={"applicant": applicant}).json() for applicant in applicants]
    pds = np.array([answer["pd"] for answer in answers], dtype=np.float32)
    np.testing.assert_array_max_ulp(pds, expected, maxulp=1)
    assert {answer["model"]["alias"] for answer in answers} == {alias}


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
    """Someone moves the alias by hand to a model whose file is spoilt: the gate refuses it, and so does the scoring server."""
    third = record(uri, 41, folder)
    registry = mlflow.MlflowClient(uri, uri)
    location = registry.get_model_version_download_uri(NAME, third.version)
    spoilt = server_folder / "files" / location.partition(":/")[2] / "model.json"
    spoilt.write_bytes(spoilt.read_bytes()[:-100])
    assert not gate(uri, NAME, third.version).passed
    registry.set_registered_model_alias(NAME, "champion", third.version)
    time.sleep(1)
    assert client.get("/readyz").json()["model"]["version"] == "2"
    with pytest.raises(RegistryError):
        source = MlflowRegistry(uri, NAME)
        source.download(source.resolve())


CLEAN = """
import asyncio, json, sys
import httpx
from riskfed.serving import server
from riskfed.serving.app import create_app
from riskfed.serving.live import LiveModel
from riskfed.serving.registry_client import ModelFolder

live = LiveModel(ModelFolder(sys.argv[1]))
live.refresh()

async def ask():
    transport = httpx.ASGITransport(create_app(live, poll_seconds=None))
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        return await client.post("/v1/score", json={"applicant": live.engine.form.example()})

assert asyncio.run(ask()).status_code == 200
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def test_the_scoring_process_loads_no_heavy_package(tmp_path: Path) -> None:
    (tmp_path / "release.json").write_bytes(make_release().to_bytes())
    ran = subprocess.run([sys.executable, "-c", CLEAN, str(tmp_path)], capture_output=True, text=True, check=True)
    loaded = set(json.loads(ran.stdout))
    assert {"fastapi", "uvicorn", "httpx", "numpy", "pydantic"} <= loaded
    unwanted = {
        "mlflow",
        "xgboost",
        "numba",
        "llvmlite",
        "flwr",
        "sklearn",
        "scipy",
        "matplotlib",
        "phe",
        "grpc",
        "ray",
    }
    assert not loaded & unwanted
