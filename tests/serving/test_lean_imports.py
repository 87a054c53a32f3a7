"""Scoring needs numpy and pydantic, and nothing of what trains, tracks or reads tables."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from riskfed.protocols.release import ModelRelease
from tests.serving.engines import scorecard
from tests.serving.models import SCHEMA, make_release

BLOCKED = ("pandas", "pyarrow", "numba", "scipy", "xgboost", "mlflow", "flwr", "sklearn", "matplotlib")

SCRIPT = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked}:
            raise ImportError("blocked: " + name)

sys.meta_path.insert(0, Blocker())
import hashlib, json
from pathlib import Path
from riskfed.protocols.release import ModelRelease
from riskfed.serving.engine.engine import ScoringEngine
from riskfed.serving.engine.what_if import alternatives
from riskfed.serving.engine.model_files import ModelFiles, ModelReference
import riskfed.evaluation.reasons, riskfed.evaluation.record, riskfed.scorecard.card, riskfed.serving.engine.joint

release = ModelRelease.from_bytes(Path(sys.argv[1]).read_bytes())
reference = ModelReference("m", "1", "champion", "x", hashlib.sha256(release.model).hexdigest())
engine = ScoringEngine(ModelFiles(reference, release.model, release.schema))
engine.check()
applicant = engine.form.example()
score = engine.score(applicant)
json.dump([score.points, [reason.code for reason in score.reasons], len(alternatives(engine, applicant))], sys.stdout)
assert not set({blocked}) & set(sys.modules), sorted(set({blocked}) & set(sys.modules))
"""


def scored_without(release: ModelRelease, folder: Path) -> list[object]:
    """What a process gives in which the blocked packages cannot be imported."""
    file = folder / "release.json"
    file.write_bytes(release.to_bytes())
    script = SCRIPT.format(blocked=set(BLOCKED))
    found = subprocess.run([sys.executable, "-c", script, str(file)], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    return list(json.loads(found.stdout))


@pytest.mark.parametrize("kind", ["trees", "scorecard"])
def test_an_engine_scores_without_them(kind: str, tmp_path: Path) -> None:
    release = make_release()
    if kind == "scorecard":
        card = scorecard().to_bytes()
        release = ModelRelease(card, SCHEMA, {}, [], [], fixed_point_bits=40, kind="horizontal_scorecard")
    points, codes, changes = scored_without(release, tmp_path)
    assert isinstance(points, int)
    assert codes
    assert changes


def test_a_data_frame_without_pandas_is_a_plain_error() -> None:
    script = (
        "import sys; sys.modules['pandas'] = None\nfrom riskfed.schema import Feature\nFeature(name='x').encode([1.0])"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "ModuleNotFoundError: import of pandas" in found.stderr or "No module named 'pandas'" in found.stderr
