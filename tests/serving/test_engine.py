"""One applicant's PD equals xgboost's, reasons equal its SHAP values, and points follow from both."""

import asyncio
import dataclasses
import json

import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st

from riskfed.datasets import taiwan_schema
from riskfed.errors import RegistryError
from riskfed.evaluation.reasons import adverse_reasons
from riskfed.jobs import HorizontalXgboost
from riskfed.schema import Feature, Schema
from riskfed.scorecard.points import ScoreScale
from riskfed.serving.engine.engine import ScoringEngine
from riskfed.serving.engine.reason_texts import ReasonOverlay
from riskfed.serving.engine.score import rounded_points
from riskfed.trees.booster_json import booster_json
from tests.serving.engines import blanked, engine_for, files_for, scorecard, taiwan_model, taiwan_rows
from tests.serving.models import SCHEMA, booster_of, loans, make_release
from tests.trees.test_contributions import N_COLUMNS, as_booster, random_rows, random_tree

ANY = Schema(target="y", features=tuple(Feature(name=f"f{column}") for column in range(N_COLUMNS)))


def stated(engine: ScoringEngine, matrix: np.ndarray) -> list[list[str]]:
    return [[reason.feature for reason in score.reasons] for score in engine.score_rows(matrix)]


def assert_reasons_are(engine: ScoringEngine, shap: np.ndarray, matrix: np.ndarray) -> None:
    """The reasons are the four largest above 0 of xgboost's values, except that what is equal to 1e-6 may change places."""
    names = [feature.name for feature in engine.schema.features]
    for features, values in zip(stated(engine, matrix), shap[:, : len(names)], strict=True):
        by_name = dict(zip(names, values.tolist(), strict=True))
        expected = sorted((value for value in by_name.values() if value > 1e-6), reverse=True)[:4]
        np.testing.assert_allclose([by_name[name] for name in features][: len(expected)], expected, atol=2e-6, rtol=0)
        assert all(by_name[name] < 2e-6 for name in features[len(expected) :])


def test_pd_is_xgboosts() -> None:
    release, frame = make_release(), loans(300, 77)
    engine = ScoringEngine(files_for(release.model, SCHEMA))
    rows = xgboost.DMatrix(SCHEMA.encode(frame), feature_names=list(SCHEMA.columns))
    booster = booster_of(release)
    expected, margins = booster.predict(rows), booster.predict(rows, output_margin=True)
    applicants = frame.drop(columns="default").astype(object).where(frame.notna(), None).to_dict("records")
    scores = [engine.score(applicant) for applicant in applicants]
    np.testing.assert_array_equal(np.array([score.margin for score in scores], dtype=np.float32), margins)
    np.testing.assert_array_equal(np.array([score.pd for score in scores], dtype=np.float32), expected)
    assert [score.points for score in scores] == ScoreScale().points_of_log_odds(margins).tolist()


def test_ten_thousand_accounts_with_missing_values() -> None:
    """Margins to the last bit, contributions within 1e-5, the same four reasons."""
    engine, rows = engine_for(taiwan_model(), taiwan_schema()), taiwan_rows(10_000)
    booster = xgboost.Booster({"nthread": 1}, model_file=bytearray(taiwan_model()))
    data = xgboost.DMatrix(rows, feature_names=list(engine.schema.columns))
    scored = engine.score_matrix(rows)
    np.testing.assert_array_equal(scored.margins, booster.predict(data, output_margin=True))
    np.testing.assert_array_equal(scored.pd, booster.predict(data))
    shap = booster.predict(data, pred_contribs=True)
    np.testing.assert_allclose(engine.predictions.reason_contributions(rows), shap[:, :-1], atol=1e-5, rtol=0)
    assert_reasons_are(engine, shap, rows)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 8), max_size=4))
def test_any_trees(seed: int, depths: list[int]) -> None:
    """Columns that come back on a path, thresholds themselves, stumps and deep trees, none at all; one row and many."""
    rng = np.random.default_rng(seed)
    trees = [random_tree(rng, depth) for depth in depths]
    names = [f"f{column}" for column in range(N_COLUMNS)]
    engine = engine_for(booster_json(trees, names, HorizontalXgboost(base_score=0.2), 0.2), ANY)
    booster, rows = as_booster(trees), random_rows(rng, 150)
    booster.set_param({"nthread": 1})
    data = xgboost.DMatrix(rows)
    scored = engine.score_matrix(rows)
    np.testing.assert_array_equal(scored.margins, booster.predict(data, output_margin=True, validate_features=False))
    shap = booster.predict(data, pred_contribs=True, validate_features=False)
    assert_reasons_are(engine, shap, rows)
    assert [engine.score_row(rows[i : i + 1]) for i in range(5)] == engine.score_rows(rows)[:5]


@pytest.mark.parametrize("kind", ["trees", "deep trees", "scorecard"])
def test_a_row_alone_is_scored_as_among_others(kind: str) -> None:
    """To the last bit, so that no answer depends on who else asked."""
    if kind == "scorecard":
        engine = engine_for(scorecard().to_bytes(), SCHEMA)
        rows = SCHEMA.encode(loans(400, 3))
        rows[:50, 1] = -0.1  # the special value
    else:
        model = taiwan_model() if kind == "trees" else taiwan_model(2, 10)
        engine, rows = engine_for(model, taiwan_schema()), taiwan_rows(300)
    together = engine.score_rows(rows)
    assert [engine.score_row(rows[i : i + 1]) for i in range(len(rows))] == together
    assert len({score.points for score in together}) > 20
    assert engine.score_rows(rows[:0]) == []


def test_a_scorecard_scores_as_its_card() -> None:
    engine, rows = engine_for(scorecard().to_bytes(), SCHEMA), blanked(SCHEMA.encode(loans(2_000, 5)))
    rows[:, 3:6] = SCHEMA.encode(loans(2_000, 5))[:, 3:6]  # a level is missing as a whole or not at all
    assert engine.kind == "scorecard"
    assert [score.pd for score in engine.score_rows(rows)] == scorecard().pd(rows).tolist()
    assert engine.scale == scorecard().scale
    first = engine.score_row(rows[:1])
    shares = engine.predictions.reason_contributions(rows[:1])
    assert [reason.feature for reason in first.reasons] == [
        SCHEMA.features[place].name for place in adverse_reasons(shares)[0] if place >= 0
    ]


def test_points_lost_are_contributions_on_the_models_scale() -> None:
    engine = ScoringEngine(files_for(make_release().model, SCHEMA), ScoreScale(pdo=40))
    rows = SCHEMA.encode(loans(50, 2))
    shares = engine.predictions.reason_contributions(rows)
    names = [feature.name for feature in SCHEMA.features]
    for score, own in zip(engine.score_rows(rows), shares, strict=True):
        assert [reason.rank for reason in score.reasons] == list(range(1, len(score.reasons) + 1))
        for reason in score.reasons:
            assert reason.points_lost == rounded_points(own[names.index(reason.feature)] * 40 / np.log(2)) > 0
            assert reason.code == f"R{names.index(reason.feature) + 1:02d}"


def test_levels_of_a_feature_make_one_reason() -> None:
    engine = engine_for(make_release().model, SCHEMA)
    assert all(len(features) == len(set(features)) for features in stated(engine, SCHEMA.encode(loans(200, 2))))
    assert {name for features in stated(engine, SCHEMA.encode(loans(200, 2))) for name in features} >= {"region"}


def test_a_small_reason_keeps_a_digit() -> None:
    assert [rounded_points(value) for value in (12.345, 0.1, 0.0432, 3e-7)] == [12.3, 0.1, 0.04, 3e-7]


def test_answer_is_row_and_score() -> None:
    engine = engine_for(make_release().model, SCHEMA)
    row, score = asyncio.run(engine.answer(engine.form.example(), "customer 1", 0.1))
    np.testing.assert_array_equal(row, engine.encode(engine.form.example()))
    assert score == engine.score(engine.form.example())
    assert score.fallback is None


def test_refuses_a_model_of_other_columns() -> None:
    other = Schema(target="y", features=(Feature(name="x"),))
    with pytest.raises(RegistryError, match="columns"):
        ScoringEngine(files_for(make_release().model, other))


def test_refuses_what_is_no_model() -> None:
    with pytest.raises(RegistryError, match="register it again"):
        ScoringEngine(files_for(b"{}", SCHEMA))


def test_refuses_texts_for_other_features() -> None:
    with pytest.raises(RegistryError, match="hobbies"):
        ScoringEngine(files_for(make_release().model, SCHEMA), texts=ReasonOverlay({"en": {"hobbies": "None"}}))


def test_refuses_bytes_that_differ_from_the_stated_sha256() -> None:
    with pytest.raises(RegistryError, match="sha256"):
        dataclasses.replace(files_for(make_release().model, SCHEMA), model=make_release().model + b" ")


@pytest.mark.parametrize("leaf", ["NaN", "3e+38"])
def test_check_refuses_a_model_that_cannot_score(leaf: str) -> None:
    fields = json.loads(make_release().model)
    for tree in fields["learner"]["gradient_booster"]["model"]["trees"]:
        tree["split_conditions"] = [3e38 for _ in tree["split_conditions"]]
    with pytest.raises(RegistryError):
        ScoringEngine(files_for(json.dumps(fields).replace("3e+38", leaf).encode(), SCHEMA)).check()
