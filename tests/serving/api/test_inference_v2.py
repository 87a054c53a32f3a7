"""The Open Inference Protocol: the same scores, as tensors."""

from typing import Any

import pytest

from riskfed.serving.api.tensors import InferenceAnswer
from tests.serving.api.client import OTHER, SOUND, Api
from tests.serving.models import SCHEMA

MODEL = "/v2/models/test-loans"
DATATYPES = {"income": "FP64", "balance/limit": "FP64", "late payments": "BYTES", "region": "INT64", "free": "FP64"}


def tensors(*applicants: dict[str, Any], column: bool = False) -> list[dict[str, Any]]:
    shape = [len(applicants), 1] if column else [len(applicants)]
    return [
        {"name": name, "shape": shape, "datatype": datatype, "data": [one.get(name) for one in applicants]}
        for name, datatype in DATATYPES.items()
    ]


def infer(api: Api, inputs: list[dict[str, Any]], path: str = MODEL, **fields: Any) -> Any:
    return api("POST", f"{path}/infer", json={"inputs": inputs, **fields})


@pytest.mark.parametrize("column", [False, True])
def test_the_scores_are_those_of_v1(api: Api, column: bool) -> None:
    answer = infer(api, tensors(SOUND, OTHER, column=column), id="call-1").json()
    InferenceAnswer.model_validate(answer)
    alone = [api.engine.score(applicant) for applicant in (SOUND, OTHER)]
    outputs = {output["name"]: output for output in answer["outputs"]}
    assert outputs["pd"] == {"name": "pd", "datatype": "FP64", "shape": [2], "data": [score.pd for score in alone]}
    assert outputs["score"]["data"] == [score.points for score in alone]
    codes = [[reason.code for reason in score.reasons] for score in alone]
    assert outputs["reasons"]["shape"] == [2, 4]
    assert outputs["reasons"]["data"] == [code for row in codes for code in (row + [""] * 4)[:4]]
    assert (answer["id"], answer["model_version"]) == ("call-1", api.engine.model.version)
    assert [line["request_id"] for line in api.audited()] == ["call-1:0", "call-1:1"]


def test_rows_of_one_entry_and_other_numeric_types_are_taken(api: Api) -> None:
    inputs = tensors(SOUND, column=True)
    nested = [{**tensor, "data": [[entry] for entry in tensor["data"]]} for tensor in inputs]
    nested[0]["datatype"] = "INT32"
    assert infer(api, nested).json()["outputs"] == infer(api, inputs).json()["outputs"]


def test_nullable_features_may_be_left_out_and_outputs_chosen(api: Api) -> None:
    needed = [tensor for tensor in tensors(OTHER) if tensor["name"] in OTHER]
    (output,) = infer(api, needed, outputs=[{"name": "score"}]).json()["outputs"]
    assert output["data"] == [api.engine.score(OTHER).points]


def test_metadata_names_one_tensor_a_feature(api: Api) -> None:
    metadata = api("GET", MODEL).json()
    assert {tensor["name"]: tensor["datatype"] for tensor in metadata["inputs"]} == DATATYPES
    assert [tensor["name"] for tensor in metadata["inputs"]] == [feature.name for feature in SCHEMA.features]
    assert metadata["versions"] == [api.engine.model.version]
    versioned = f"{MODEL}/versions/{api.engine.model.version}"
    assert api("GET", versioned).json() == metadata
    assert api("GET", f"{versioned}/ready").json() == {"name": "test-loans", "ready": True}
    assert infer(api, tensors(SOUND), versioned).status_code == 200
    assert api("GET", "/v2").json()["extensions"] == []


@pytest.mark.parametrize("path", ["/v2/models/other", f"{MODEL}/versions/9", "/v2/models/other/versions/9"])
def test_what_is_not_served(api: Api, path: str) -> None:
    for answer in (api("GET", path), api("GET", f"{path}/ready"), infer(api, tensors(SOUND), path)):
        assert answer.status_code == 404
        assert list(answer.json()) == ["error"]


def test_one_wrong_applicant_stops_all_and_is_pointed_at(api: Api) -> None:
    answer = infer(api, tensors(SOUND, {**OTHER, "income": -1}))
    assert answer.status_code == 400
    assert "#/inputs/0/data/1 must be between 0 and 1e+06" in answer.json()["error"]
    answer = infer(api, [tensor for tensor in tensors(SOUND) if tensor["name"] != "income"])
    assert "#/inputs income: this field is required" in answer.json()["error"]
    assert api.audited() == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"name": "x"}, "#/inputs/0/name the model's schema has no such feature"),
        ({"datatype": "BYTES"}, "#/inputs/0/datatype must be FP64"),
        ({"shape": [2]}, "#/inputs/0/data must have as many entries as shape says"),
        ({"shape": [1, 2]}, "#/inputs/0/shape must be [n] or [n, 1]"),
        ({"shape": [0], "data": []}, "#/inputs/0/shape must be [n] or [n, 1]"),
        ({"shape": [2], "data": [1, 1]}, "#/inputs all tensors must have as many rows"),
        ({"name": "region", "datatype": "INT64"}, "#/inputs names a tensor twice"),
        ({"parameters": {"binary_data_size": 8}}, "#/inputs/0/parameters the extension for binary data"),
        ({"data": [[1, 2]]}, "#/inputs/0/data must be flat"),
    ],
)
def test_tensors_that_do_not_fit(api: Api, change: dict[str, Any], told: str) -> None:
    first, *others = tensors(SOUND)
    answer = infer(api, [{**first, **change}, *others])
    assert answer.status_code == 400
    assert told in answer.json()["error"]


def test_binary_output_is_not_supported(api: Api) -> None:
    for fields in (
        {"parameters": {"binary_data_output": True}},
        {"outputs": [{"name": "pd", "parameters": {"binary_data": True}}]},
    ):
        assert infer(api, tensors(SOUND), **fields).status_code == 400
