"""A run says what its differential privacy is, and that it has none."""

from riskfed.evaluation.privacy import PrivacyRecord, privacy_line
from riskfed.jobs import HorizontalXgboost
from riskfed.plan import Plan
from riskfed.protocols import events
from riskfed.tracking.parameters import all_parameters, shown_parameters


def started(job: HorizontalXgboost) -> events.RunStarted:
    plan = Plan(run="r", roster=("a", "b", "c"), job=job, schema_fingerprint="0" * 64, protection="masking")
    return events.RunStarted(plan, "local")


def test_mlflow_is_told_epsilon_and_delta() -> None:
    shown = shown_parameters(started(HorizontalXgboost(privacy={"epsilon": 0.5, "splits": "histogram"})))
    assert (shown["privacy"], shown["epsilon"], shown["delta"]) == ("differential", "0.5", "1e-06")
    assert all_parameters(started(HorizontalXgboost(privacy={"epsilon": 2})))["colluding_banks"] == "1"


def test_a_run_without_says_none() -> None:
    shown = shown_parameters(started(HorizontalXgboost()))
    assert shown["privacy"] == "none"
    assert "epsilon" not in shown
    assert privacy_line(None).startswith("none: ")


def test_a_report_states_what_is_covered_and_what_not() -> None:
    record = PrivacyRecord(
        epsilon=0.99995,
        delta=1e-6,
        noise_multiplier=4.5,
        sigma=45,
        colluding_banks=2,
        splits="random",
        releases=101,
        covers="one loan",
        not_covered="held-out loans",
    )
    expected = "epsilon 1, delta 1e-06, against 2 colluding banks and the server. Covers one loan; not held-out loans"
    assert privacy_line(record) == expected
