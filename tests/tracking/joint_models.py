"""A small vertical model as a label holder releases it, and the plan that it comes from."""

from __future__ import annotations

import hashlib
from functools import cache

import numpy as np
import xgboost

from riskfed.customer_id import CustomerId
from riskfed.jobs import VerticalXgboost
from riskfed.plan import Plan
from riskfed.protocols.release import ModelRelease
from riskfed.schema import Feature, Schema
from riskfed.vertical_model import PartnerReference, joined_schema

SPLITS = 6
OWN = Schema(
    name="joint-loans",
    target="default",
    label_holder="lender",
    customer_id=CustomerId(),
    features=(
        Feature(name="income", minimum=0, maximum=10, nullable=False, holder="lender"),
        Feature(name="use", minimum=0, maximum=1, holder="lender"),
    ),
)
PART = hashlib.sha256(b"part").hexdigest()


def people(seed: int, rows: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """(rows, 2 + SPLITS) own columns and a partner's decisions, and defaults."""
    draw = np.random.default_rng(seed)
    own = draw.uniform((0, 0), (10, 1), (rows, 2))
    decisions = draw.integers(0, 2, (rows, SPLITS))
    risk = 2 * own[:, 1] - 0.2 * own[:, 0] + decisions[:, 0] + decisions[:, 1] - 1.5
    return np.hstack([own, decisions]).astype(np.float32), (risk + draw.logistic(size=rows) > 0).astype(np.float32)


def grown(columns: tuple[str, ...], trees: int) -> bytes:
    matrix, labels = people(0)
    training = xgboost.DMatrix(matrix[:, : len(columns)], labels, feature_names=list(columns))
    parameters = {"objective": "binary:logistic", "tree_method": "hist", "max_depth": 3, "nthread": 1}
    return bytes(xgboost.train(parameters, training, trees).save_raw("json"))


@cache
def joint_release(trees: int = 5, auc: float = 0.78) -> ModelRelease:
    """As a label holder releases it."""
    schema = joined_schema(OWN, [("payments", SPLITS)])
    reference = PartnerReference(party="payments", part_id="run-1", sha256=PART, splits=SPLITS)
    return ModelRelease(
        model=grown(schema.columns, trees),
        schema=schema,
        metrics={"auc": auc, "ks": 0.41, "rows": 2000.0, "auc_label_holder_alone": 0.7},
        history=[{"logloss": 0.5}] * trees,
        score_cells=(),
        fixed_point_bits=40,
        kind="vertical_xgboost",
        partners=(reference,),
        fallback=grown(OWN.columns, trees),
    )


def vertical_plan() -> Plan:
    job = VerticalXgboost(n_estimators=5, validation_fraction=0.2, label_holder="lender")
    fingerprint = hashlib.sha256(b"joint schema").hexdigest()
    roster = ("lender", "payments")
    return Plan(run="run-1", roster=roster, job=job, schema_fingerprint=fingerprint, protection="sealed")
