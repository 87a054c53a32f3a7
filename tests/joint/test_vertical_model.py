"""Both sides of a vertical model together give the joint Booster's margins to the bit, and leaf sets tell no more than they must."""

from __future__ import annotations

import json
import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.joint_models import VerticalModel, take_apart
from riskfed.customer_id import CustomerId
from riskfed.errors import LocalProtocolError, RegistryError, RemoteProtocolError
from riskfed.schema import Feature, Schema
from riskfed.scoring import read_model
from riskfed.trees.booster_json import parse_booster
from riskfed.trees.leaf_sets import LeafMask, LeafSets, columns_of_decisions, pack_decisions
from riskfed.vertical_model import FeaturePart, PartnerReference, SplitRule, leaf_masks_of
from tests.joint.models import SCHEMA, customers, joint_margins, trained, vertical_model

FRAME = customers(800, seed=5)


def label_rows(model: VerticalModel, rows: int, answers: str) -> np.ndarray:
    """Rows of the label holder's model: its own columns, and what the feature holders' answers become."""
    columns = [SCHEMA.part_of("lender").encode(FRAME[:rows])]
    for name, part in model.parts.items():
        encoded = SCHEMA.part_of(name).encode(FRAME[:rows])
        sets = LeafSets(part.leaf_masks)
        answered = [part.answer(row) for row in encoded]
        read = sets.columns if answers == "leaf_sets" else partial(columns_of_decisions, splits=len(part.rules))
        columns.append(np.array([read(one) for one in answered]))
    return np.concatenate(columns, axis=1)


@pytest.mark.parametrize("answers", ["decisions", "leaf_sets"])
def test_the_parts_together_give_the_joint_margins(answers: str) -> None:
    model = vertical_model(answers)
    found = read_model(model.model, model.label_schema).margins(label_rows(model, len(FRAME), answers))
    assert np.array_equal(found, joint_margins(model, FRAME))
    assert found.std() > 0.5
    assert min(len(part.rules) for part in model.parts.values()) > 10


NUMBERS = st.one_of(
    st.just(math.nan), st.sampled_from([-1.5, -0.0, 0.0, 0.5, 7.0]), st.floats(-(2.0**100), 2.0**100, width=32)
)
TWO = Schema.vertical(
    Schema(target="bad", features=(Feature(name="own"), Feature(name="theirs"), Feature(name="more"))),
    {"bank": ["own"], "partner": ["theirs", "more"]},
    "bank",
    CustomerId(),
)


@given(
    cells=st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS, st.booleans()), min_size=8, max_size=40),
    depth=st.integers(1, 4),
)
@settings(max_examples=40, deadline=None)
def test_any_table_gives_the_same_leaves(cells: list[tuple[float, float, float, bool]], depth: int) -> None:
    import pandas as pd

    table = np.array([cell[:3] for cell in cells], dtype=np.float32)
    frame = pd.DataFrame(table, columns=["own", "theirs", "more"])
    frame["bad"] = [int(cell[3]) for cell in cells]
    frame.loc[0, "bad"], frame.loc[1, "bad"] = 0, 1
    model = take_apart(TWO, trained(TWO, frame, TWO.joined_columns, 3, depth), b"", "leaf_sets")
    part = model.parts["partner"]
    decisions = part.decisions(table[:, 1:])
    scoring = read_model(model.model, model.label_schema)
    joint = read_model(
        model.booster, Schema(target="bad", features=TWO.joined_features, label_holder="bank", customer_id=CustomerId())
    )
    expected = joint.margins(table)
    assert np.array_equal(scoring.margins(np.concatenate([table[:, :1], decisions], axis=1)), expected)
    sets = LeafSets(part.leaf_masks)
    by_sets = np.array([sets.columns(sets.write(row)) for row in decisions])
    by_sets = by_sets.reshape(len(table), len(part.rules))
    assert np.array_equal(scoring.margins(np.concatenate([table[:, :1], by_sets], axis=1)), expected)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_leaf_sets_tell_the_decisions_that_the_partners_own_decisions_leave_open_and_no_other(
    data: st.DataObject,
) -> None:
    masks = vertical_model("leaf_sets").parts["payments"].leaf_masks
    drawn = data.draw(st.lists(st.integers(0, 1), min_size=len(masks), max_size=len(masks)))
    decisions = np.array(drawn, dtype=np.uint8)
    sets = LeafSets(masks)
    told = sets.write(decisions)
    reachable = np.array([is_reachable(at, decisions, masks) for at in range(len(masks))])
    columns = sets.columns(told)
    assert np.array_equal(columns[reachable], decisions[reachable])
    hidden = np.where(reachable, decisions, 1 - decisions)
    assert sets.write(hidden.astype(np.uint8)) == told


def is_reachable(at: int, decisions: np.ndarray, masks: tuple[LeafMask, ...]) -> bool:
    """Whether no other split of the partner sends the record past this one; by the definition, not by bits."""
    own = masks[at]
    for other, right in zip(masks, decisions, strict=True):
        left_side, right_side = (other.first, other.middle), (other.middle, other.end)
        wrong = left_side if right else right_side
        if other != own and other.tree == own.tree and wrong[0] <= own.first and own.end <= wrong[1]:
            return False
    return True


def test_some_decisions_are_hidden() -> None:
    part = vertical_model("leaf_sets").parts["payments"]
    decisions = part.decisions(SCHEMA.part_of("payments").encode(FRAME[:50]))
    hidden = [sum(not is_reachable(at, row, part.leaf_masks) for at in range(len(row))) for row in decisions]
    assert min(hidden) > 0


def test_a_missing_value_goes_where_the_split_says_and_an_equal_one_goes_right() -> None:
    schema = TWO.part_of("partner")
    rules = (SplitRule("theirs", 0.5, True), SplitRule("theirs", 0.5, False), SplitRule("more", -0.0, True))
    part = FeaturePart("partner", "run", schema, rules, "5a" * 16)
    rows = np.array([[0.5, 0.0], [np.nextafter(np.float32(0.5), np.float32(0)), -1e-45], [np.nan, np.nan]], np.float32)
    assert part.decisions(rows).tolist() == [[1, 1, 1], [0, 0, 0], [0, 1, 0]]
    assert part.answer(rows[0]) == bytes([0b111])


def test_a_part_comes_back_as_it_was_and_shows_nothing_of_itself() -> None:
    for answers in ("decisions", "leaf_sets"):
        part = vertical_model(answers).parts["payments"]
        again = FeaturePart.from_bytes(part.to_bytes())
        assert (again, again.sha256, again.answers) == (part, part.sha256, answers)
        assert str(part.rules[0].threshold) not in repr(part)
        assert part.salt not in repr(part)
    salted = FeaturePart(part.party, part.part_id, part.schema, part.rules, "0" * 32, part.leaf_masks)
    assert salted.sha256 != part.sha256  # or else thresholds could be guessed against the sha256


CHANGES = {
    "format": "riskfed.feature_part/0",
    "party": "",
    "salt": "short",
    "rules": [["turnover", 0.1, True]],  # 0.1 is no float32
    "schema": {},
    "leaf_masks": [[0, 4, 0, 2, 4]],
}
RULES = ([["turnover", 1e39, True]], [["none", 0.5, True]], [["turnover", True, True]], [["turnover", 0.5]], [None])


@pytest.mark.parametrize("field", CHANGES)
def test_what_is_no_part_is_refused(field: str) -> None:
    fields = json.loads(vertical_model().parts["payments"].to_bytes())
    with pytest.raises(RegistryError):
        FeaturePart.from_bytes(json.dumps({**fields, field: CHANGES[field]}).encode())


@pytest.mark.parametrize("rules", RULES)
def test_what_is_no_rule_is_refused(rules: object) -> None:
    fields = json.loads(vertical_model().parts["payments"].to_bytes())
    with pytest.raises(RegistryError):
        FeaturePart.from_bytes(json.dumps({**fields, "rules": rules}).encode())


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"format": NaN}'])
def test_garbage_is_no_part(data: bytes) -> None:
    with pytest.raises(RegistryError):
        FeaturePart.from_bytes(data)


@given(st.integers(0, 70), st.randoms(use_true_random=False))
def test_decisions_survive_packing(splits: int, draw: object) -> None:
    decisions = np.array([draw.randint(0, 1) for _ in range(splits)], dtype=np.uint8)  # type: ignore[attr-defined]
    assert np.array_equal(columns_of_decisions(pack_decisions(decisions), splits), decisions)


def test_answers_of_another_shape_are_refused() -> None:
    masks = vertical_model("leaf_sets").parts["payments"].leaf_masks
    sets = LeafSets(masks)
    good = sets.write(np.zeros(len(masks), dtype=np.uint8))
    for answer in (b"", good[:-1], good + b"\0", bytes(len(good)), b"\xff" * len(good)):
        with pytest.raises(RemoteProtocolError):
            sets.columns(answer)
    for answer in (b"", b"\0\0", b"\x20"):
        with pytest.raises(RemoteProtocolError):
            columns_of_decisions(answer, 5)


def test_masks_are_of_columns_with_one_split_each() -> None:
    model = vertical_model()
    trees = parse_booster(model.model).trees
    assert len(leaf_masks_of(trees, range(2, 5))) == 3
    with pytest.raises(LocalProtocolError):
        leaf_masks_of(trees, range(1, 5))  # column 1 is the label holder's own, split on many times
    with pytest.raises(LocalProtocolError):
        leaf_masks_of(trees, range(2, len(model.label_schema.columns) + 1))


def test_a_reference_is_strict() -> None:
    (first, _) = vertical_model().references
    assert PartnerReference.from_dict(json.loads(json.dumps(first.to_dict()))) == first
    for change in ({"sha256": "x"}, {"splits": -1}, {"splits": "3"}, {"answers": "values"}, {"more": 1}):
        with pytest.raises(ValueError, match="validation error"):
            PartnerReference.from_dict({**first.to_dict(), **change})
