import json

import pytest

from riskfed.errors import JobError, PlanError
from riskfed.jobs import HorizontalXgboost, job_from_dict
from riskfed.plan import Plan


def plan(**fields):
    fields = {
        "run": "r1",
        "roster": ("a", "b", "c"),
        "job": HorizontalXgboost(),
        "schema_fingerprint": "0" * 64,
        "protection": "masking",
        **fields,
    }
    return Plan(**fields)


@pytest.mark.parametrize(
    "name", ["subsample", "colsample_bytree", "grow_policy", "max_delta_step", "interaction_constraints"]
)
def test_an_unsupported_parameter_is_refused_by_name(name):
    with pytest.raises(JobError, match=f"unsupported parameter {name}"):
        HorizontalXgboost(**{name: 1})


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("max_depth", 0),
        ("max_bin", 257),
        ("learning_rate", float("nan")),
        ("base_score", 1.0),
        ("gamma", -1),
        ("cut_rounds", 5),
        ("release", "half"),
        ("least_cell", 0),
        ("monotone_constraints", {"x": 2}),
    ],
)
def test_an_impossible_value_is_refused_by_name(parameter, value):
    with pytest.raises(JobError, match=parameter):
        HorizontalXgboost(**{parameter: value})


def test_xgboosts_other_names_are_taken_but_not_twice():
    assert HorizontalXgboost(eta=0.1, alpha=2, min_split_loss=3) == HorizontalXgboost(
        learning_rate=0.1, reg_alpha=2, gamma=3
    )
    with pytest.raises(JobError, match="learning_rate is given twice"):
        HorizontalXgboost(eta=0.1, learning_rate=0.1)


def test_early_stopping_needs_held_out_rows():
    with pytest.raises(JobError, match="validation_fraction"):
        HorizontalXgboost(early_stopping_rounds=5)


def test_constraints_must_name_columns_of_the_schema():
    job = HorizontalXgboost(monotone_constraints={"income": -1})
    assert job.constraints_for(("age", "income")) == (0, -1)
    with pytest.raises(JobError, match="income"):
        job.constraints_for(("age",))


def test_an_unknown_kind_is_refused():
    with pytest.raises(JobError, match="unknown job kind 'magic'"):
        job_from_dict({"kind": "magic"})


def test_a_plan_comes_back_from_json_with_the_same_digest():
    first = plan(job=HorizontalXgboost(max_depth=3))
    again = Plan.from_json(first.model_dump_json())
    assert again == first
    assert again.digest == first.digest


@pytest.mark.parametrize(
    "change",
    [
        {"attempt": 2},
        {"run": "r2"},
        {"job": HorizontalXgboost(gamma=1)},
        {"job": HorizontalXgboost(release="withheld")},
        {"job": HorizontalXgboost(least_cell=21)},
        {"protection": "paillier"},
    ],
)
def test_the_digest_stands_for_everything(change):
    assert plan(**change).digest != plan().digest


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"roster": ("a", "b")}, "at least 3"),
        ({"roster": ("b", "a", "c")}, "sorted"),
        ({"roster": ("a", "b", "b")}, "once"),
        ({"protection": "none"}, "protection"),
        ({"protection": "plaintext"}, "protection"),
    ],
)
def test_an_impossible_plan_is_refused(change, reason):
    with pytest.raises(PlanError, match=reason):
        plan(**change)


@pytest.mark.parametrize("text", ["", "[]", "{", json.dumps({"run": "x"})])
def test_a_malformed_plan_is_refused(text):
    with pytest.raises(PlanError):
        Plan.from_json(text)
