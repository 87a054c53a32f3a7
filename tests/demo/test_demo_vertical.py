"""`riskfed demo-vertical` from the outside, with few customers and trees: alignment, training, registry, joint scoring, nothing left."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.demo.test_demo import RISKFED, _processes

TREES = 3


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_vertical_demo_trains_registers_scores_and_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    command = [RISKFED, "demo-vertical", "--folder", str(folder), "--trees", str(TREES), "--depth", "3"]
    done = subprocess.run([*command, "--rows", "3000"], capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"trees identical to plain xgboost on the joined table: {TREES}/{TREES}" in done.stdout
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["trees"], summary["trees_identical"], summary["bytes_identical"]) == (TREES, TREES, True)
    assert summary["auc_joint"] == summary["auc_pooled"] > 0.65
    assert summary["auc_joint"] > summary["auc_label_holder_alone"]
    assert 2300 < summary["intersection_rows"] < 2600
    assert (summary["protection"], summary["transport"]) == ("sealed", "session")
    assert summary["joint_scores"] >= 200
    assert summary["joint_scores_agreeing"] + summary["joint_scores_by_fallback"] == summary["joint_scores"]
    assert summary["joint_scores_by_fallback"] <= summary["joint_scores"] // 20
    assert summary["fallback_of_unknown_customer"] == "unknown_customer"
    assert 0 < summary["p50_joint_scoring_ms"] < 200
    _check_who_keeps_what(folder)
    assert not [line for line in _processes() if str(folder) in line]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_switch_for_a_scorecard_in_two_parts(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    command = [RISKFED, "demo-vertical", "--model", "logistic", "--folder", str(folder), "--rows", "2400"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["max_coefficient_difference"] < 1e-6
    assert summary["auc_joint"] == pytest.approx(summary["auc_plain"], abs=1e-9)
    assert summary["joint_scores_agreeing"] + summary["joint_scores_by_fallback"] == summary["joint_scores"] >= 200
    assert summary["joint_scores_by_fallback"] <= summary["joint_scores"] // 20
    assert summary["fallback_of_unknown_customer"] == "unknown_customer"
    assert not list((folder / "coordinator" / "models").glob("*")), "who holds the key keeps nothing"
    (part,) = (folder / "payments" / "models").rglob("part.json")
    used = {term["feature"] for term in json.loads(part.read_text())["score"]["terms"]}
    (registered,) = (folder / "mlflow").rglob("partners.json")
    for path in registered.parent.glob("*.json"):
        assert not [name for name in used if f'"{name}"' in path.read_text()], path.name
    assert not [line for line in _processes() if str(folder) in line]


def _check_who_keeps_what(folder: Path) -> None:
    """The partner's splits are in its vault, and neither in the lender's folder nor in the registry's."""
    (part,) = (folder / "payments" / "models").rglob("part.json")
    thresholds = {rule[1] for rule in json.loads(part.read_text())["rules"]}
    assert thresholds
    assert part.stat().st_mode & 0o077 == 0
    assert not list((folder / "lender").rglob("part.json"))
    (registered,) = (folder / "mlflow").rglob("partners.json")
    assert {path.name for path in registered.parent.glob("*.json")} >= {"model.json", "fallback.json"}
    assert not list((folder / "mlflow").rglob("part.json"))
    used = json.loads(part.read_text())["rules"]
    for path in registered.parent.rglob("*.json"):
        text = path.read_text()
        assert not [column for column, *_ in used if f'"{column}"' in text], path.name
    raw = {name for records in folder.glob("*/records.parquet") for name in _ids(records)}
    for log in (folder / "logs").glob("*.log"):
        assert not [name for name in raw if name in log.read_text(errors="replace")], log.name


def _ids(records: Path) -> list[str]:
    import pandas as pd

    return [name.strip() for name in pd.read_parquet(records)["customer_id"].head(50)]
