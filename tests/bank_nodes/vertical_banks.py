"""Two parties with different columns of the same customers, on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from riskfed.jobs import VerticalXgboost
from riskfed.plan import Plan
from riskfed.schema import CustomerId, Feature, Schema
from tests.bank_nodes.banks import make_consortium

PARTIES = ("lender", "shop")
SCHEMA = Schema.vertical(
    Schema(
        name="joint",
        target="default",
        features=(Feature(name="dti"), Feature(name="amount", nullable=False), Feature(name="orders")),
    ),
    {"lender": ["dti", "amount"], "shop": ["orders"]},
    "lender",
    CustomerId(normalise=("strip", "upper")),
)
JOB = VerticalXgboost(label_holder="lender", n_estimators=2, max_depth=2, max_bin=8, validation_fraction=0.3)
POLICY = "min_rows = 50\nmin_common = 50"


def customers(seed: int = 0, rows: int = 150) -> dict[str, pd.DataFrame]:
    """Each party's records; both have customers that the other has not, and write ids in their own way."""
    rng = np.random.default_rng(seed)
    dti, orders = rng.normal(30, 10, rows).round(1), rng.poisson(3, rows)
    default = (rng.random(rows) < 1 / (1 + np.exp(orders - 3 - (dti - 30) / 10))).astype(int)
    ids = [f"c{number:05d}" for number in range(rows)]
    joint = pd.DataFrame({"dti": dti, "amount": rng.integers(1000, 9000, rows), "orders": orders, "default": default})
    lender = joint[["dti", "amount", "default"]].assign(customer_id=[f" {name} " for name in ids])
    shop = joint[["orders"]].assign(customer_id=[name.upper() for name in ids])
    return {"lender": lender.iloc[: rows - 10], "shop": shop.sample(frac=1, random_state=seed).query("index >= 10")}


def make_parties(
    folder: Path,
    policies: dict[str, str] | None = None,
    frames: Mapping[str, pd.DataFrame | None] | None = None,
) -> dict[str, Path]:
    """Write every party's files; party -> its node file."""
    parties = frames or customers()
    return make_consortium(
        folder,
        parties,
        schemas=dict.fromkeys(parties, SCHEMA),
        policies={**dict.fromkeys(parties, POLICY), **(policies or {})},
    )


def vertical_plan(run: str = "run", *, attempt: int = 1, roster: Sequence[str] = PARTIES, **fields: Any) -> Plan:
    """A plan over `SCHEMA` for a small job."""
    defaults: dict[str, Any] = {"job": JOB, "schema_fingerprint": SCHEMA.fingerprint, "protection": "sealed"}
    return Plan(run=run, attempt=attempt, roster=tuple(roster), **{**defaults, **fields})
