"""Vertical schemas: who holds what, each party's part, the order of the joined table; older schemas keep their fingerprints."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskfed.errors import SchemaError
from riskfed.schema import Attribute, CustomerId, Feature, Schema

JOINT = Schema(
    name="joint",
    target="default",
    weight="w",
    features=(
        Feature(name="spend"),
        Feature(name="age", minimum=18, immutable=True),
        Feature(name="kind", encoding="onehot", levels=("a", "b"), reason_code="K", reasons={"en": "Kind"}),
        Feature(name="orders"),
    ),
    attributes=(Attribute(name="sex", encoding="ordinal", levels=("m", "f"), role="protected"),),
)
HOLDERS = {"shop": ["orders"], "lender": ["age", "kind"], "card": ["spend"]}
SCHEMA = Schema.vertical(JOINT, HOLDERS, "lender", CustomerId(normalise=("strip", "upper")))


def test_schemas_of_before_keep_their_fingerprints() -> None:
    plain = Schema(target="default", features=(Feature(name="age", minimum=18, maximum=100), JOINT.features[2]))
    assert plain.fingerprint == "bb9321a524872ccdb61db1b4650c5bf91661963ba219b0fcdd003661624863a6"
    assert not plain.is_vertical
    assert plain.holders == ()
    attributed = Schema(
        target="default", weight="w", features=(Feature(name="age", immutable=True),), attributes=JOINT.attributes
    )
    assert attributed.fingerprint == "d16026118a4d92ea6ab2b4ec97113aa03e30f34d0dcab4fff788fc7272143db3"


def test_all_that_is_vertical_is_in_the_fingerprint() -> None:
    others = [
        Schema.vertical(JOINT, {**HOLDERS, "shop": ["orders", "spend"], "card": []}, "lender", CustomerId()),
        Schema.vertical(JOINT, HOLDERS, "lender", CustomerId(column="person")),
        JOINT,
    ]
    assert len({schema.fingerprint for schema in [SCHEMA, *others]}) == 4
    again = Schema(**SCHEMA.model_dump(mode="json"))
    assert (again, again.fingerprint) == (SCHEMA, SCHEMA.fingerprint)


def test_the_joined_table_begins_with_the_label_holder() -> None:
    assert SCHEMA.holders == ("card", "lender", "shop")
    assert SCHEMA.columns == ("spend", "age", "kind=a", "kind=b", "orders")
    assert SCHEMA.joined_columns == ("age", "kind=a", "kind=b", "spend", "orders")


def test_each_party_has_its_part() -> None:
    lender, shop = SCHEMA.part_of("lender"), SCHEMA.part_of("shop")
    assert (lender.columns, lender.target, lender.weight) == (("age", "kind=a", "kind=b"), "default", "w")
    assert lender.attributes == JOINT.attributes
    assert (shop.columns, shop.target, shop.weight, shop.attributes) == (("orders",), "", None, ())
    assert shop.customer_id == lender.customer_id == SCHEMA.customer_id
    assert {part.label_holder for part in (lender, shop)} == {"lender"}
    assert shop.part_of("shop") == shop
    assert len({part.fingerprint for part in (lender, shop, SCHEMA)}) == 3
    with pytest.raises(SchemaError, match="party elm holds no feature of schema joint; holders are card, lender, shop"):
        SCHEMA.part_of("elm")
    with pytest.raises(SchemaError, match="party ash holds no feature"):
        JOINT.part_of("ash")


@given(st.lists(st.sampled_from(["lender", "card", "shop"]), min_size=1, max_size=12))
def test_parts_make_up_the_joined_table(drawn: list[str]) -> None:
    holders = ["lender", *drawn]
    features = tuple(Feature(name=f"f{place}", holder=holder) for place, holder in enumerate(holders))
    schema = Schema(target="y", features=features, label_holder="lender", customer_id=CustomerId())
    rest = [party for party in schema.holders if party != "lender"]
    parts = [schema.part_of(party) for party in ["lender", *rest]]
    assert tuple(column for part in parts for column in part.columns) == schema.joined_columns
    assert sorted(schema.joined_columns) == sorted(schema.columns)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"label_holder": "elm"}, "label holder elm holds no feature"),
        ({"customer_id": None}, "needs customer_id"),
        ({"customer_id": CustomerId(column="age")}, "column age holds customers' ids; it can be nothing else"),
        ({"customer_id": CustomerId(column="default")}, "column default holds customers' ids"),
        ({"customer_id": CustomerId(column="sex")}, "column sex holds customers' ids"),
        ({"label_holder": ""}, "holders and customer_id are for vertical schemas"),
        ({"features": (*SCHEMA.features, Feature(name="z"))}, "none is named for z"),
        ({"features": (*SCHEMA.features, Feature(name="z", holder="ö" * 33))}, "at most 64 bytes, got one of 66"),
        ({"attributes": (Attribute(name="spend", edges=(1.0,)),)}, "these are not: spend"),
        ({"attributes": (Attribute(name="s", edges=(1.0,), holder="shop"),)}, "these are not: s"),
        ({"target": ""}, "without target is one feature holder's part"),
        ({"features": (*SCHEMA.features, Feature(name="z", holder="shop", reason_code="R01"))}, "same reason code"),
    ],
)
def test_an_inconsistent_schema_is_refused(change: dict[str, Any], reason: str) -> None:
    fields = {name: getattr(SCHEMA, name) for name in Schema.model_fields}
    with pytest.raises(SchemaError, match=reason):
        Schema(**{**fields, **change})


def test_a_schema_that_is_not_vertical_has_a_target() -> None:
    with pytest.raises(SchemaError, match="target names no column"):
        Schema(target="", features=(Feature(name="age"),))


@pytest.mark.parametrize(
    ("holders", "reason"),
    [
        ({"lender": ["age"]}, "without a holder, or not in the schema: kind, orders, spend"),
        ({**HOLDERS, "elm": ["rent"]}, "without a holder, or not in the schema: rent"),
        ({**HOLDERS, "elm": ["age"]}, "features with two holders: age"),
    ],
)
def test_each_feature_has_one_holder(holders: dict[str, list[str]], reason: str) -> None:
    with pytest.raises(SchemaError, match=reason):
        Schema.vertical(JOINT, holders, "lender", CustomerId())
