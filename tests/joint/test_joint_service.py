"""`riskfed serve` with a vertical champion and two partners, all real processes: scores, what-if, the card, and what is written down."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest

from riskfed.trees.logit import sigmoid
from tests.joint.models import customers, joint_margins, vertical_model
from tests.joint.world import Holder, holders

FRAME = customers(60, seed=13)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Holder]]:
    with holders(tmp_path_factory.mktemp("world"), FRAME[:50], vertical_model()) as made:
        yield made


def service_file(folder: Path, world: dict[str, Holder], named: tuple[str, ...]) -> Path:
    (folder / "model").mkdir()
    (folder / "model" / "release.json").write_bytes(vertical_model().release().to_bytes())
    text = '[model]\nfolder = "model"\n[listen]\nport = 0\n[answers]\njoint_deadline = 5.0\n'
    for name in named:
        one = world[name].settings()
        fields = {"name": name, "url": one.url, "certificate": one.certificate, "key": one.key, "ca": one.ca}
        text += "[[partners]]\n" + "".join(f"{key} = {json.dumps(str(value))}\n" for key, value in fields.items())
    (folder / "service.toml").write_text(text)
    return folder / "service.toml"


def serve(config: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "riskfed.cli", "serve", "--config", str(config)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=(config.parent / "stderr").open("w"), text=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("service")


@pytest.fixture(scope="module")
def api(folder: Path, world: dict[str, Holder]) -> Iterator[httpx.Client]:
    process = serve(service_file(folder, world, ("shop", "payments")))
    assert process.stdout is not None
    said = process.stdout.readline()
    found = re.search(r"http://127\.0\.0\.1:\d+", said)
    assert found, (folder / "stderr").read_text()
    with httpx.Client(base_url=found[0], trust_env=False, timeout=60) as client:
        yield client
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)


def asked(place: int, **fields: Any) -> dict[str, Any]:
    row = FRAME.iloc[place]
    return {"applicant": {"income": float(row["income"]), "late payments": row["late payments"]}, **fields}


def test_scores_are_those_of_the_joint_booster_one_by_one_and_in_a_batch(api: httpx.Client) -> None:
    expected = sigmoid(joint_margins(vertical_model(), FRAME[:50]))
    requests = [asked(place, customer_id=FRAME["customer_id"][place].lower()) for place in range(50)]
    single = [api.post("/v1/score", json=one).json() for one in requests[:10]]
    assert np.array_equal(np.array([one["pd"] for one in single], dtype=np.float32), expected[:10])
    batch = api.post("/v1/score:batch", json=requests).json()
    assert np.array_equal(np.array([one["pd"] for one in batch], dtype=np.float32), expected)
    assert not [one for one in (*single, *batch) if "fallback" in one]


def test_a_stranger_and_an_applicant_without_an_id_are_scored_by_the_own_model(api: httpx.Client) -> None:
    strange = api.post("/v1/score", json=asked(55, customer_id=FRAME["customer_id"][55])).json()
    nameless = api.post("/v1/score", json=asked(55)).json()
    assert (strange["fallback"], nameless["fallback"]) == ("unknown_customer", "no_customer")
    assert strange["pd"] == nameless["pd"]


def test_what_would_change_it_is_told_of_the_own_model(api: httpx.Client) -> None:
    found = api.post("/v1/score:what-if", json=asked(3)).json()
    assert found["fallback"] == "no_customer"
    assert found["pd"] == api.post("/v1/score", json=asked(3)).json()["pd"]
    assert {one["feature"] for one in found["alternatives"]} <= {"income", "late payments"}


def test_the_model_says_who_is_asked_and_asks_for_own_fields_only(api: httpx.Client) -> None:
    (served,) = api.get("/v1/models").json()["models"]
    details = api.get(f"/v1/models/{served['version']}").json()
    assert details["partners"] == ["payments", "shop"]
    assert list(details["inputs"]["properties"]) == ["income", "late payments"]
    assert {one["feature"] for one in details["card"]["importance"]} == {"income", "late payments", "payments", "shop"}


def test_a_file_with_a_column_of_customers_is_scored_jointly(api: httpx.Client, tmp_path: Path) -> None:
    FRAME.drop(columns="default").to_csv(tmp_path / "new.csv", index=False)
    options = ["--customer-id", "customer_id", "--url", str(api.base_url), "--output", str(tmp_path / "scores.csv")]
    command = [sys.executable, "-m", "riskfed.cli", "score-file", str(tmp_path / "new.csv"), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    scores = pd.read_csv(tmp_path / "scores.csv")
    expected = sigmoid(joint_margins(vertical_model(), FRAME[:50]))
    assert np.array_equal(scores["pd"][:50].to_numpy(np.float32), expected)
    assert scores["fallback"][:50].isna().all()
    assert scores["fallback"][50:].tolist() == ["unknown_customer"] * 10
    assert "customer_id" not in scores.columns


def test_no_id_is_written_anywhere(api: httpx.Client, folder: Path, world: dict[str, Holder]) -> None:
    assert api.post("/v1/score", json=asked(0, customer_id="Q00000")).status_code == 200
    written = [path for home in (folder, *(one.home for one in world.values())) for path in home.rglob("*")]
    kept = [path for path in written if path.is_file() and path.name != "records.parquet"]
    assert any("audit" in path.name for path in kept)
    told = b"".join(path.read_bytes() for path in kept).lower()
    assert [one for one in FRAME["customer_id"] if one.lower().encode() in told] == []


def test_without_one_of_the_partners_it_does_not_start(tmp_path: Path, world: dict[str, Holder]) -> None:
    process = serve(service_file(tmp_path, world, ("payments",)))
    assert process.wait(60) != 0
    told = (tmp_path / "stderr").read_text()
    assert "shop has a part in it, and the service file names no such partner" in told
