"""A linear model in parts: partial scores add up to the joined model's log-odds, cards to its points, and what is no part is refused."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError

from riskfed.errors import RegistryError, RemoteProtocolError
from riskfed.linear_model import (
    LinearScore,
    ScorePart,
    StandardTerm,
    VerticalLogisticModel,
    WoeTerm,
    read_part,
    read_partial_score,
    score_table,
)
from riskfed.schema import Feature, Schema
from riskfed.scorecard.bins import FeatureBins
from riskfed.scoring import LinearModel, read_model, scale_of
from riskfed.vertical_model import FeaturePart, PartnerReference, joined_schema
from tests.joint.linear_models import ORDERS, SCALE, joint_log_odds, linear_parts
from tests.joint.models import SCHEMA, customers, vertical_model

FRAME = customers(600, seed=5)
MODEL = linear_parts()
OWN = SCHEMA.part_of("lender")
TERM = {"feature": "x", "columns": (0,), "woes": (0.5, -0.5, 0.0), "edges": (1.0,), "coefficient": -1.0}


def label_rows(frame: Any = FRAME) -> np.ndarray:
    """Rows of the label holder's model: its own columns, and each feature holder's answer."""
    columns = [OWN.encode(frame)]
    for name, part in MODEL.parts.items():
        answers = [part.answer(row) for row in SCHEMA.part_of(name).encode(frame)]
        columns.append(np.array([read_partial_score(answer) for answer in answers]))
    return np.concatenate(columns, axis=1)


def test_partial_scores_add_up_to_the_joined_models_log_odds() -> None:
    found = read_model(MODEL.model, MODEL.label_schema).margins(label_rows())
    np.testing.assert_allclose(found, joint_log_odds(FRAME), rtol=0, atol=5e-7)
    assert found.std() > 0.5
    # Each answer is a float32: off by at most half a unit in the last place, and by nothing else.
    exact = {name: part.score.partial(SCHEMA.part_of(name).encode(FRAME)) for name, part in MODEL.parts.items()}
    for place, partial in enumerate(exact.values()):
        told = label_rows()[:, len(OWN.columns) + place].astype(np.float64)
        assert (np.abs(told - partial) <= np.abs(partial) * 2.0**-24).all()
        assert (told != partial).any()


def test_the_fallback_is_the_own_terms_alone() -> None:
    fallback = VerticalLogisticModel.from_bytes(MODEL.fallback)
    own = OWN.encode(FRAME)
    np.testing.assert_allclose(fallback.margins(own), fallback.intercept + fallback.own.partial(own), atol=1e-14)
    assert isinstance(read_model(MODEL.fallback, OWN), LinearModel)
    assert scale_of(MODEL.fallback) == scale_of(MODEL.model) == SCALE


def test_one_record_alone_scores_as_among_others_and_its_reasons_add_up() -> None:
    model = read_model(MODEL.model, MODEL.label_schema)
    rows = label_rows()
    rows[0] = np.nan
    margins, shares = model.margins(rows), model.reason_contributions(rows)
    intercept = VerticalLogisticModel.from_bytes(MODEL.model).intercept
    for row, margin, share in zip(rows, margins, shares, strict=True):
        alone, shares_alone = model.explain(row)
        assert alone == margin
        assert np.array_equal(shares_alone, share)
    np.testing.assert_allclose(intercept + shares.sum(axis=1), margins, atol=1e-12)
    assert shares.shape == (len(rows), len(OWN.features) + 2)
    assert shares[0, -2:].tolist() == [0.0, 0.0]  # a missing score is the average loan's


def test_whole_points_of_all_cards_are_near_the_exact_score() -> None:
    model = VerticalLogisticModel.from_bytes(MODEL.model)
    parts = [(model.own, OWN), (MODEL.parts["payments"].score, SCHEMA.part_of("payments"))]
    total = np.full(len(FRAME), float(model.base_points))
    for score, schema in parts:
        encoded = schema.encode(FRAME)
        for term in score.terms:
            assert isinstance(term, WoeTerm)
            total += np.array(term.points)[term.bins.codes(lambda place, rows=encoded: rows[:, place])]
    shop = MODEL.parts["shop"].score.partial(SCHEMA.part_of("shop").encode(FRAME))
    exact = SCALE.offset - SCALE.factor * joint_log_odds(FRAME)
    assert (
        np.abs(total - SCALE.factor * shop - exact).max() <= 2.5 + 1e-9
    )  # half a point for the base and each of four terms
    assert 0 < model.rounding <= 1.5


def test_each_side_prints_its_own_card_and_no_other() -> None:
    card = VerticalLogisticModel.from_bytes(MODEL.model).as_text(MODEL.label_schema)
    part = MODEL.parts["payments"].as_text()
    assert "| income        | below 20,000" in card
    assert "| payments      | partial score, times -28.8539 points" in card
    assert "turnover" not in card
    assert "| turnover | below -0.5" in part
    assert "income" not in part
    assert "each 1.75 above 3" in MODEL.parts["shop"].as_text()
    table = score_table(MODEL.parts["shop"].score, SCHEMA.part_of("shop"))
    assert table.loc[0, "log_odds"] == ORDERS.coefficient
    assert table["points"].isna().all()


def test_steps_are_where_the_margin_changes() -> None:
    model = read_model(MODEL.model, MODEL.label_schema)
    assert model.steps(0).tolist() == [0.0, np.nextafter(np.float32(0), np.float32(1)), 20_000, 50_000]
    standard = LinearScore(columns=("orders",), terms=(ORDERS,))
    alone = {"intercept": 0.0, "base_score": 600.0, "base_odds": 50.0, "pdo": 20.0, "rows": 1, "defaults": 0}
    card = VerticalLogisticModel(columns=("orders",), own=standard, **alone)
    schema = Schema(target="y", features=(Feature(name="orders"),))
    steps = read_model(card.to_bytes(), schema).steps(0)
    assert (steps.min(), steps.max(), len(steps)) == (3 - 3 * 1.75, 3 + 3 * 1.75, 25)


VALUES = st.one_of(
    st.just(math.nan), st.sampled_from([-1.0, -0.0, 0.0, 1.0, 2.5]), st.floats(width=32, allow_infinity=False)
)


@given(arrays(np.float32, st.tuples(st.integers(1, 8), st.just(2)), elements=VALUES))
@settings(max_examples=60, deadline=None)
def test_any_record_gives_a_finite_answer_and_the_same_alone_as_among_others(rows: np.ndarray) -> None:
    schema = Schema(target="y", features=(Feature(name="x", special_values=(-1.0,)), Feature(name="z")))
    bins = FeatureBins("x", (0,), (0.0, 2.5), special=(-1.0,))
    terms = (WoeTerm.of(bins, [1.0, 0.1, -0.7, 2.0, 0.3], -0.9, 28.85),)
    steep = StandardTerm(feature="z", column=1, mean=0.5, scale=1e-9, coefficient=2.0)
    score = LinearScore(columns=("x", "z"), terms=(*terms, steep))
    part = ScorePart("shop", "run", schema, score, "0f" * 16)
    among = np.clip(score.partial(rows), -np.finfo(np.float32).max, np.finfo(np.float32).max).astype(np.float32)
    assert np.array_equal(np.concatenate([read_partial_score(part.answer(row)) for row in rows]), among)
    for row, shares in zip(rows, score.contributions(rows), strict=True):
        assert shares[1] == steep.share(float(row[1]))


def test_a_part_comes_back_as_it_was_and_shows_nothing_of_itself() -> None:
    for part in MODEL.parts.values():
        again = read_part(part.to_bytes())
        assert (again, again.sha256, again.answers) == (part, part.sha256, "partial_score")
        assert part.salt not in repr(part)
        assert "coefficient" not in repr(part)
    payments = MODEL.parts["payments"]
    salted = ScorePart(payments.party, payments.part_id, payments.schema, payments.score, "0" * 32)
    assert salted.sha256 != payments.sha256  # or else the terms could be guessed against the sha256
    assert isinstance(read_part(vertical_model().parts["payments"].to_bytes()), FeaturePart)


def fields() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(MODEL.parts["payments"].to_bytes())
    return found


def with_term(**changes: object) -> dict[str, object]:
    score = fields()["score"]
    return {"score": {**score, "terms": [{**score["terms"][0], **changes}]}}


CHANGES: list[dict[str, object]] = [
    {"format": "riskfed.score_part/0"},
    {"party": ""},
    {"party": 7},
    {"salt": "short"},
    {"schema": {}},
    {"score": None},
    {"score": {"columns": ["turnover"], "terms": []}},
    with_term(kind="other"),
    with_term(feature="region"),
    with_term(columns=[7]),
    with_term(columns=[-1]),
    with_term(woes=[1.0]),
    with_term(woes=[1.0, 2.0, "3", 4.0]),
    with_term(edges=[0.5, -0.5]),
    with_term(coefficient=True),
    with_term(more=1),
]


@pytest.mark.parametrize("change", CHANGES, ids=[str(n) for n in range(len(CHANGES))])
def test_what_is_no_part_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(RegistryError):
        read_part(json.dumps({**fields(), **change}).encode())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"format": "riskfed.score_part/1"}',
        b'{"format": "riskfed.score_part/1", "score": ' + b"[" * 99_999,
    ],
    ids=["nothing", "a list", "no text", "no fields", "deep"],
)
def test_garbage_is_no_part(data: bytes) -> None:
    with pytest.raises(RegistryError):
        read_part(data)


def test_numbers_that_are_none_are_refused() -> None:
    text = MODEL.parts["payments"].to_bytes().decode()
    for written in ("NaN", "Infinity", "1e999"):
        with pytest.raises(RegistryError):
            read_part(text.replace('"coefficient":-1.1', f'"coefficient":{written}').encode())


BAD = [b"", b"\0\0\0", b"\0" * 5, b"\0" * 8, struct.pack("<f", math.nan), struct.pack("<f", math.inf)]


@pytest.mark.parametrize("answer", BAD, ids=["empty", "short", "long", "double", "nan", "inf"])
def test_what_is_no_partial_score_is_refused(answer: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="expected one finite float32"):
        read_partial_score(answer)


def test_models_that_are_not_of_their_schema_are_refused() -> None:
    model = json.loads(MODEL.model)
    others = [
        ({**model, "partners": ["shop", "payments"]}, MODEL.label_schema),
        ({**model, "columns": model["columns"][:-1]}, MODEL.label_schema),
        (model, OWN),
        (model, joined_schema(OWN, [("payments", 1), ("shop", 1)])),
        ({**model, "intercept": "0"}, MODEL.label_schema),
        ({**model, "pdo": 0}, MODEL.label_schema),
        ({**model, "intercept": 1e308, "pdo": 1e300}, MODEL.label_schema),
        ({**model, "own": {**model["own"], "terms": [{**model["own"]["terms"][0], "feature": "late payments"}]}}, OWN),
    ]
    for fields, schema in others:
        with pytest.raises(RegistryError):
            read_model(json.dumps(fields).encode(), schema)
    assert read_model(json.dumps(model).encode(), MODEL.label_schema) is not None


def test_a_joined_schema_of_scores_has_one_number_of_each_partner() -> None:
    theirs = MODEL.label_schema.features[len(OWN.features) :]
    assert [(each.name, each.encoding, each.holder) for each in theirs] == [
        ("payments", "numeric", "payments"),
        ("shop", "numeric", "shop"),
    ]
    assert MODEL.label_schema.part_of("lender") == OWN
    with pytest.raises(ValidationError, match="a partial score is one column"):
        PartnerReference(party="shop", part_id="r", sha256="0" * 64, splits=2, answers="partial_score")


def test_terms_that_do_not_fit_together_are_refused() -> None:
    assert WoeTerm(**TERM, points=(1, 2, 3)).bins.edges == (1.0,)
    for change in ({"points": (1, 2)}, {"woes": (1.0,), "points": (1,)}, {"edges": (2.0, 1.0)}):
        with pytest.raises(ValidationError):
            WoeTerm(**{**TERM, "points": (1, 2, 3), **change})
    with pytest.raises(ValidationError, match="a column that is not there"):
        LinearScore(columns=("x",), terms=(StandardTerm(feature="x", column=1, mean=0.0, scale=1.0, coefficient=1.0),))
