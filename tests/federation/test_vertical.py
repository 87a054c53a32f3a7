"""The claim for parties with different columns of the same customers: their parts make XGBoost's model, to the last byte."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import numpy as np
import pandas as pd
import pytest

import riskfed
import riskfed.errors
from riskfed.datasets.vertical import joined, taiwan_parties, taiwan_vertical_schema
from riskfed.protocols.vertical.holdout import is_held_out
from riskfed.scoring import read_model
from riskfed.secure import paillier_key
from riskfed.trees.booster_json import parse_booster
from riskfed.trees.reference import train_pooled

LEADER = riskfed.VerticalXgboost(
    label_holder="lender", n_estimators=6, max_depth=4, max_bin=32, min_child_weight=2, validation_fraction=0.25
)


@pytest.fixture(autouse=True)
def _short_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paillier_key, "MINIMUM_KEY_BITS", 1024)


def simulated(n_partners: int, rows: int, job: riskfed.VerticalXgboost = LEADER) -> tuple:
    parties, schema = taiwan_parties(n_partners, rows=rows), taiwan_vertical_schema(n_partners)
    return parties, schema, riskfed.simulate_vertical(parties, schema, job, key_bits=1024)


def plain_xgboost(parties: Mapping[str, pd.DataFrame], schema: riskfed.Schema, result: riskfed.VerticalResult) -> bytes:
    """Trained on the joined table, which nobody has."""
    table, job, columns = joined(parties, schema), result.job, result.cuts.schema
    assert len(table) == result.common
    ids = schema.customer_id.normalised(table[schema.customer_id.column])
    held_out = is_held_out(ids, job.validation_fraction, job.validation_seed)
    matrix, labels = columns.encode(table), schema.labels(table)
    weights = np.ones(len(table), dtype=np.float32)
    learned = [array[~held_out] for array in (matrix, labels, weights)]
    watched = (matrix[held_out], labels[held_out]) if job.early_stopping_rounds else None
    return bytes(train_pooled(*learned, result.cuts, job, watched=watched).save_raw("json"))


@pytest.mark.parametrize("n_partners", [1, 2])
def test_taiwan_in_parts(n_partners: int) -> None:
    parties, schema, result = simulated(n_partners, 2000)
    assert len(parse_booster(result.joined_model).trees) == 6
    assert all(part.rules for part in result.parts.values()), "every party has splits, or nothing is shown"
    assert result.joined_model == plain_xgboost(parties, schema, result)
    assert result.metrics["auc"] > result.metrics["auc_label_holder_alone"] + 0.03


def test_the_label_holders_part_scores_as_the_whole_does() -> None:
    parties, schema, result = simulated(1, 1500)
    table = joined(parties, schema)
    whole = read_model(result.joined_model, result.cuts.schema)
    part = result.parts["payments"]
    own = schema.part_of("lender").encode(table)
    decisions = part.decisions(part.schema.encode(table)).astype(np.float32)
    ours = read_model(result.full.model, result.full.schema).margins(np.hstack([own, decisions]))
    np.testing.assert_array_equal(ours, whole.margins(result.cuts.schema.encode(table)))


def test_the_server_sees_no_id_no_label_and_no_threshold() -> None:
    parties, schema, result = simulated(1, 600)
    seen = b"".join(message.data for message in result.transcript)
    ids = schema.customer_id.normalised(parties["lender"][schema.customer_id.column])
    for customer_id in ids[:50].tolist():
        assert customer_id not in seen
        assert base64.b64encode(customer_id).rstrip(b"=") not in seen
    assert result.parts["payments"].to_bytes() not in seen
    released = result.release.to_bytes()
    assert b"pay_0" not in released, "the released part names no column of the partner"


def test_first_trees_of_the_label_holder_alone_cost_no_ciphertext() -> None:
    alone = LEADER.model_copy(update={"label_holder_trees": 3, "n_estimators": 4})
    _, schema, result = simulated(1, 600, alone)
    with_partner = result.traffic.until_tree[-1] - result.traffic.until_tree[-2]
    without = result.traffic.until_tree[-2] - result.traffic.until_tree[-4]
    assert without < with_partner / 20
    first = parse_booster(result.full.model)
    own = len(schema.part_of("lender").columns)
    assert all((tree.split_indices < own).all() for tree in first.trees[:3])


def test_parties_that_do_not_match_the_schema_are_refused() -> None:
    parties, schema = taiwan_parties(1, rows=300), taiwan_vertical_schema(1)
    with pytest.raises(riskfed.errors.RiskfedError, match=r"label holder|not in the roster"):
        riskfed.simulate_vertical(
            parties, schema, LEADER.model_copy(update={"label_holder": "payments"}), key_bits=1024
        )
    missing = {**parties, "payments": parties["payments"].drop(columns="pay_0")}
    with pytest.raises(riskfed.errors.ContractError, match="pay_0"):
        riskfed.simulate_vertical(missing, schema, LEADER, key_bits=1024)
