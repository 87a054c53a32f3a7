"""/openapi.json: its examples work, and it says what the routes do."""

from typing import Any

import jsonschema
import pytest

from riskfed.serving.access.api_keys import ApiKeys
from riskfed.serving.access.gate import Gate
from riskfed.serving.access.key_file import add_key
from tests.serving.api.client import Api, put
from tests.serving.models import SCHEMA, make_release


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Api:
    return Api(tmp_path_factory.mktemp("api"))


@pytest.fixture(scope="module")
def document(shared: Api) -> dict[str, Any]:
    return shared("GET", "/openapi.json").json()


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(path, method, found) for path, methods in document["paths"].items() for method, found in methods.items()]


def test_every_example_of_a_request_is_answered_as_documented(shared: Api, document: dict[str, Any]) -> None:
    asked = 0
    for template, method, operation in operations(document):
        path = template.replace("{name}", "test-loans").replace("{version}", shared.engine.model.version)
        for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
            example = content["example"]
            body = {"json": example} if media_type == "application/json" else {"content": example}
            answer = shared(method.upper(), path, headers={"content-type": media_type}, **body)
            assert answer.status_code == 200, (path, answer.text)
            asked += 1
            if media_type == "application/json":
                schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
                jsonschema.validate(answer.json(), {**schema, "components": document["components"]})
    assert asked == 6


def test_every_example_meets_its_own_schema(document: dict[str, Any]) -> None:
    shown = 0
    for path, _, operation in operations(document):
        bodies = [*operation["responses"].values(), *([operation["requestBody"]] if "requestBody" in operation else [])]
        for body in bodies:
            for content in body.get("content", {}).values():
                assert "example" in content, path
                schema = {**content["schema"], "components": document["components"]}
                jsonschema.validate(content["example"], schema, cls=jsonschema.Draft202012Validator)
                shown += 1
    assert shown > 80


def test_the_applicant_is_the_served_schemas(shared: Api, document: dict[str, Any], api: Api) -> None:
    applicant = document["components"]["schemas"]["ScoreRequest"]["properties"]["applicant"]
    assert list(applicant["properties"]) == [feature.name for feature in SCHEMA.features]
    assert applicant["properties"]["late payments"]["enum"] == ["none", "one", "many"]
    assert "HTTPValidationError" not in str(document)
    # Another champion has another document.
    before = api("GET", "/openapi.json").json()["paths"]["/v1/score"]["post"]["responses"]["200"]
    put(api.model_folder, make_release(40))
    api.live.refresh()
    assert api("GET", "/openapi.json").json()["paths"]["/v1/score"]["post"]["responses"]["200"] != before


def test_there_is_a_document_before_there_is_a_model(tmp_path: Any) -> None:
    api = Api(tmp_path, start=False)
    document = api("GET", "/openapi.json").json()
    assert "example" not in document["paths"]["/v1/score"]["post"]["requestBody"]["content"]["application/json"]
    api.close()


def test_it_says_where_a_key_is_needed(tmp_path: Any, document: dict[str, Any]) -> None:
    assert "securitySchemes" not in str(document) or document["components"]["securitySchemes"] == {}
    add_key(tmp_path / "keys.toml", "desk", ["score"])
    api = Api(tmp_path, gate=Gate(keys=ApiKeys(tmp_path / "keys.toml")))
    secured = api("GET", "/openapi.json").json()
    open_paths = {"/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"}
    for path, _, operation in operations(secured):
        expected = path not in open_paths and not path.endswith("/ready")
        assert ("security" in operation, "401" in operation["responses"]) == (expected, expected)
    assert api("POST", "/v1/score", json={}).status_code == 401
    api.close()
