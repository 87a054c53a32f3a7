"""GET /v1/models: what is served, and what each is made of."""

from pathlib import Path

import numpy as np
import pytest
import xgboost

from riskfed.protocols.release import ModelRelease
from riskfed.serving.api.card import card_of, figures_of
from riskfed.serving.api.messages import ModelDetails, ModelList
from riskfed.serving.models.source import ModelFiles
from tests.serving.api.client import OTHER, Api, put
from tests.serving.engines import files_for, scorecard
from tests.serving.models import SCHEMA, booster_of, make_release


def test_lists_the_champion_then_former_ones(api: Api) -> None:
    first = api.engine.model.version
    put(api.model_folder, make_release(40))
    api.live.refresh()
    listed = api("GET", "/v1/models").json()["models"]
    assert [(one["version"], one["role"]) for one in listed] == [
        (api.engine.model.version, "champion"),
        (first, "retained"),
    ]
    assert listed[0]["sha256"] == api.engine.sha256
    assert listed[0]["kind"] == "xgboost"
    ModelList.model_validate({"models": listed})


def test_one_of_them_has_all_that_a_form_needs(api: Api) -> None:
    details = api("GET", f"/v1/models/{api.engine.model.version}").json()
    ModelDetails.model_validate(details)
    assert (details["schema_name"], details["schema_version"]) == ("test-loans", "3")
    assert details["inputs"]["properties"]["late payments"]["enum"] == ["none", "one", "many"]
    assert details["score_range"] == [300, 850]
    assert details["scale"] == {"base": 600.0, "odds": 50.0, "pdo": 20.0, "minimum": 300, "maximum": 850}
    assert api.score(applicant=details["example"]).status_code == 200
    assert api("GET", "/v1/models/none").json()["type"] == "urn:riskfed:problem:version-not-served"


def test_the_card_of_trees_is_what_xgboost_says_of_them() -> None:
    release = make_release(15, depth=3)
    card = card_of(files_for(release.model, SCHEMA))
    table = booster_of(release).trees_to_dataframe()
    splits = table[table["Feature"] != "Leaf"]
    assert card["trees"] == 15
    assert card["depth"] == 3
    by_feature = splits.assign(Feature=splits["Feature"].str.partition("=")[0]).groupby("Feature")["Gain"].mean()
    found = {one["feature"]: one["gain"] for one in card["importance"]}
    assert found == pytest.approx(by_feature.to_dict(), rel=1e-5)
    assert list(found.values()) == sorted(found.values(), reverse=True)


def test_leaves_alone_have_no_depth() -> None:
    """As many goods as bads, and nothing that parts them."""
    rows = xgboost.DMatrix(np.zeros((10, len(SCHEMA.columns))), [0, 1] * 5, feature_names=list(SCHEMA.columns))
    stump = xgboost.train({"objective": "binary:logistic"}, rows, 1)
    card = card_of(files_for(bytes(stump.save_raw("json")), SCHEMA))
    assert (card["trees"], card["depth"], card["importance"]) == (1, 0, [])


def test_a_scorecard_is_told_as_its_table_and_scores_over_the_api(tmp_path: Path) -> None:
    card = scorecard()
    release = ModelRelease(card.to_bytes(), SCHEMA, {}, [], [], fixed_point_bits=40, kind="horizontal_scorecard")
    api = Api(tmp_path, release=release)
    details = api("GET", f"/v1/models/{api.engine.model.version}").json()
    ModelDetails.model_validate(details)
    assert details["kind"] == "scorecard"
    assert details["card"]["base_points"] == card.base_points
    first = card.variables[0]
    assert details["card"]["table"][: len(first.bins)] == [
        {"feature": first.feature, "bin": bin_.label, "woe": bin_.woe, "points": bin_.points} for bin_ in first.bins
    ]
    answer = api.score(applicant=OTHER)
    assert (answer.status_code, answer.json()["pd"]) == (200, api.engine.score(OTHER).pd)
    api.close()


def test_figures_are_what_the_registry_says() -> None:
    files = files_for(make_release().model, SCHEMA)
    facts = {"auc": "0.77", "headline": "green", "description": "# Card", "long": "x" * 1000}
    told = ModelFiles(files.reference, files.model, files.schema, facts)
    assert figures_of(told) == {"auc": "0.77", "headline": "green"}
    assert card_of(told)["description"] == "# Card"
    assert "description" not in card_of(files)
