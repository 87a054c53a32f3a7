"""The service against its own OpenAPI document: no 5xx, and no answer, type, header or body that the document does not have."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from riskfed.serving.access.api_keys import ApiKeys
from riskfed.serving.access.gate import Gate
from riskfed.serving.access.key_file import add_key
from tests.serving.api.client import Api, listening

HERE = Path(__file__).parent


def run(api: Api, folder: Path, *options: str) -> int:
    """Let schemathesis's own runner call every operation, with all of its checks; returns how many calls it made up."""
    with listening(api.app) as port:
        command = [
            *(str(Path(sys.executable).parent / "schemathesis"), "--config-file", str(HERE / "schemathesis.toml")),
            *("run", f"http://127.0.0.1:{port}/openapi.json", "--continue-on-failure"),
            *("--phases", "examples,coverage,fuzzing", "--seed", "20", "--generation-deterministic", "--no-color"),
            *("--suppress-health-check", "all", *options),
        ]
        environment = {**os.environ, "SCHEMATHESIS_HOOKS": "tests.serving.schemathesis_hooks"}
        environment["PYTHONPATH"] = str(HERE.parents[1])
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    counted = re.search(r"(\d[\d,]*) generated", done.stdout)
    assert counted is not None, done.stdout
    return int(counted[1].replace(",", ""))


@pytest.mark.slow
def test_anybody(tmp_path: Path) -> None:
    api = Api(tmp_path)
    assert run(api, tmp_path, "--max-examples", "3") > 300
    api.close()


@pytest.mark.slow
def test_clients_with_keys(tmp_path: Path) -> None:
    key = add_key(tmp_path / "keys.toml", "desk", ["score", "models", "metrics"])
    api = Api(tmp_path, gate=Gate(keys=ApiKeys(tmp_path / "keys.toml")))
    made_up = run(api, tmp_path, "--max-examples", "450", "--header", f"Authorization: Bearer {key}")
    assert made_up >= 5_000
    api.close()
