"""The README's first command, with fewer trees and the cheaper protection, from the outside."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from riskfed.demo import background

RISKFED = str(Path(sys.executable).with_name("riskfed"))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_demo_trains_registers_scores_and_leaves_nothing_behind(tmp_path):
    folder = tmp_path / "demo"
    command = [RISKFED, "demo", "--folder", str(folder), "--trees", "5", "--protection", "masking"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "trees identical to pooled xgboost: 5/5" in done.stdout
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["trees"], summary["trees_identical"], summary["bytes_identical"]) == (5, 5, True)
    assert summary["auc_federated"] == summary["auc_pooled"] > 0.7
    assert len(summary["auc_alone"]) == 5
    assert (summary["protection"], summary["transport"]) == ("masking", "session")
    assert summary["seconds"] > 0
    assert summary["bytes"] > 1_000_000
    assert summary["model_uri"] == "models:/riskfed-pd/1"
    assert 0 < summary["applicant_score"]["pd"] < 1
    for bank in summary["auc_alone"]:
        current = list((folder / bank / "models").rglob("model.json"))
        assert [path.read_bytes() for path in current] == [_released(folder)]
    assert not [line for line in _processes() if str(folder) in line]


def _released(folder: Path) -> bytes:
    return json.loads((folder / "release.json").read_text())["model"].encode()


def _processes() -> list[str]:
    lines = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            lines.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return lines


def test_stopping_what_does_not_run_says_so(tmp_path):
    assert background.running(tmp_path / "up") is None
    assert background.stop(tmp_path / "up") is False


def test_a_process_id_that_another_program_took_does_not_count(tmp_path):
    with subprocess.Popen(["sleep", "30"]) as other:
        (tmp_path / "up.pid").write_text(str(other.pid))
        assert background.running(tmp_path / "up") is None
        assert background.stop(tmp_path / "up") is False
        assert other.poll() is None
        other.kill()
