"""What a feature holder infers of labels from the nodes that it is told, in real runs on the Taiwan data, with defences off and on."""

from __future__ import annotations

import pytest

from benchmarks import vertical_decisions
from benchmarks.label_inference import (
    JOB,
    SETTINGS,
    Attacked,
    Inferred,
    infer_from_columns,
    infer_from_view,
    run_and_watch,
)
from benchmarks.vertical_setups import LENDER, PARTNER

pytestmark = pytest.mark.slow

_DRAWS = 5


@pytest.fixture(scope="module")
def attacked() -> dict[str, Attacked]:
    return {title: run_and_watch(**defences) for title, defences in SETTINGS.items()}


@pytest.fixture(scope="module")
def own(attacked: dict[str, Attacked]) -> Inferred:
    off = attacked["defences off"]
    return infer_from_columns(off.view.features, off.labels, _DRAWS)


@pytest.fixture(scope="module")
def seen(attacked: dict[str, Attacked]) -> dict[str, Inferred]:
    return {title: infer_from_view(run.view, run.labels, _DRAWS) for title, run in attacked.items()}


def test_without_defences_nodes_tell_more_than_the_feature_holders_own_columns(
    own: Inferred, seen: dict[str, Inferred]
) -> None:
    off = seen["defences off"]
    assert off.auc - own.auc > 0.04
    assert off.riskiest - own.riskiest > 0.05
    assert off.clusters - own.clusters > 0.04  # even without a single label


def test_every_defence_lowers_the_advantage_and_none_removes_it(own: Inferred, seen: dict[str, Inferred]) -> None:
    advantages = {title: inferred.auc - own.auc for title, inferred in seen.items()}
    off = advantages.pop("defences off")
    assert all(0 < advantage < off - 0.005 for advantage in advantages.values())
    both = advantages.pop("5 trees alone, nodes of 80 rows")
    assert both < min(advantages.values())
    assert both < 0.6 * off


def test_larger_nodes_are_what_the_feature_holder_cannot_tell_apart(attacked: dict[str, Attacked]) -> None:
    for title, defences in SETTINGS.items():
        assert attacked[title].view.smallest_cell >= defences.get("least_node", 1)
    assert attacked["defences off"].view.smallest_cell < 20


def test_it_sees_no_tree_that_the_label_holder_grows_alone(attacked: dict[str, Attacked]) -> None:
    for title, defences in SETTINGS.items():
        seen_trees = len(attacked[title].view.cells)
        assert seen_trees == JOB["n_estimators"] - defences.get("label_holder_trees", 0)


def test_leaf_sets_part_customers_less_than_decisions(attacked: dict[str, Attacked]) -> None:
    run = attacked["defences off"]
    part, rows = run.outcomes[PARTNER].part, run.view.features
    decisions, sets = (vertical_decisions.told(part, rows, masks) for masks in ((), run.leaf_masks))
    assert sets.groups < decisions.groups
    assert sets.alone < 0.75 * decisions.alone
    assert decisions.bits == len(part.rules) == run.outcomes[LENDER].full.partners[0].splits


def test_decisions_bound_values(attacked: dict[str, Attacked]) -> None:
    """They do: that is what an answer is. The label holder gets intervals of columns whose names and thresholds it does not know."""
    run = attacked["defences off"]
    found = vertical_decisions.bounded(run.outcomes[PARTNER].part, run.view.features)
    assert len(found) <= 12
    assert all(1 / one.intervals - 1e-9 <= one.mean_share <= 1 for one in found)
    assert found[0].mean_share < 0.1
