"""One applicant's PD equals xgboost's, and points follow from it."""

import dataclasses
import hashlib
import json

import numpy as np
import pytest
import xgboost

from riskfed.errors import RegistryError
from riskfed.protocols.release import ModelRelease
from riskfed.schema import Feature, Schema
from riskfed.scorecard.points import ScoreScale
from riskfed.serving.engine import ScoringEngine
from riskfed.serving.registry_client import ModelFiles, ModelReference
from tests.serving.models import SCHEMA, booster_of, loans, make_release


def files_of(release: ModelRelease, schema: Schema | None = None) -> ModelFiles:
    digest = hashlib.sha256(release.model).hexdigest()
    return ModelFiles(
        ModelReference("m", "1", "champion", "models:/x", digest), release.model, schema or release.schema
    )


def test_pd_is_xgboosts() -> None:
    release, frame = make_release(), loans(300, 77)
    engine = ScoringEngine(files_of(release))
    rows = xgboost.DMatrix(SCHEMA.encode(frame), feature_names=list(SCHEMA.columns))
    booster = booster_of(release)
    expected, margins = booster.predict(rows), booster.predict(rows, output_margin=True)
    applicants = frame.drop(columns="default").astype(object).where(frame.notna(), None).to_dict("records")
    scores = [engine.score(applicant) for applicant in applicants]
    # Margins are equal to the last bit; the logistic function may round to the neighbouring float32.
    np.testing.assert_array_max_ulp(np.array([score.pd for score in scores], dtype=np.float32), expected, maxulp=1)
    assert [score.points for score in scores] == ScoreScale().points_of_log_odds(margins).tolist()


def test_refuses_a_model_of_other_columns() -> None:
    other = Schema(target="y", features=(Feature(name="x"),))
    with pytest.raises(RegistryError, match="columns"):
        ScoringEngine(files_of(make_release(), other))


def test_refuses_what_is_no_model() -> None:
    with pytest.raises(RegistryError, match="register it again"):
        ScoringEngine(files_of(dataclasses.replace(make_release(), model=b"{}")))


def test_refuses_bytes_that_differ_from_the_stated_sha256() -> None:
    release = make_release()
    with pytest.raises(RegistryError, match="sha256"):
        dataclasses.replace(files_of(release), model=release.model + b" ")


def test_check_refuses_a_model_that_gives_no_probability() -> None:
    fields = json.loads(make_release().model)
    for tree in fields["learner"]["gradient_booster"]["model"]["trees"]:
        tree["split_conditions"] = [3e38 for _ in tree["split_conditions"]]
    broken = dataclasses.replace(make_release(), model=json.dumps(fields).replace("3e+38", "NaN").encode())
    with pytest.raises(RegistryError):
        ScoringEngine(files_of(broken)).check()
