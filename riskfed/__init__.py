"""riskfed: banks train one default-prediction model together, and no loan record leaves any of them.

schema = riskfed.Schema.from_frame(frame, target="default")
job = riskfed.HorizontalXgboost(n_estimators=50, max_depth=4)
result = riskfed.simulate({"north": a, "south": b, "west": c}, schema, job)
result.booster                                     # an xgboost.Booster
riskfed.pooled_reference(frame, result.cuts, job)  # the same trees, to the last bit
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from riskfed.jobs import (
        BankContribution,
        DifferentialPrivacy,
        FederatedTransfer,
        HorizontalScorecard,
        HorizontalXgboost,
        ModelMonitoring,
        VerticalLogistic,
        VerticalXgboost,
    )
    from riskfed.schema import Attribute, Feature, Schema
    from riskfed.simulation import (
        LogisticResult,
        Result,
        TransferResult,
        VerticalResult,
        pooled_reference,
        simulate,
        simulate_transfer,
        simulate_vertical,
    )

_HOMES = {
    "Attribute": "riskfed.schema",
    "BankContribution": "riskfed.jobs",
    "DifferentialPrivacy": "riskfed.jobs",
    "Feature": "riskfed.schema",
    "FederatedTransfer": "riskfed.jobs",
    "HorizontalScorecard": "riskfed.jobs",
    "HorizontalXgboost": "riskfed.jobs",
    "LogisticResult": "riskfed.simulation",
    "ModelMonitoring": "riskfed.jobs",
    "Result": "riskfed.simulation",
    "Schema": "riskfed.schema",
    "TransferResult": "riskfed.simulation",
    "VerticalLogistic": "riskfed.jobs",
    "VerticalResult": "riskfed.simulation",
    "VerticalXgboost": "riskfed.jobs",
    "pooled_reference": "riskfed.simulation",
    "simulate": "riskfed.simulation",
    "simulate_transfer": "riskfed.simulation",
    "simulate_vertical": "riskfed.simulation",
}

__all__ = [
    "Attribute",
    "BankContribution",
    "DifferentialPrivacy",
    "Feature",
    "FederatedTransfer",
    "HorizontalScorecard",
    "HorizontalXgboost",
    "LogisticResult",
    "ModelMonitoring",
    "Result",
    "Schema",
    "TransferResult",
    "VerticalLogistic",
    "VerticalResult",
    "VerticalXgboost",
    "pooled_reference",
    "simulate",
    "simulate_transfer",
    "simulate_vertical",
]


def __getattr__(name: str) -> Any:
    # Loaded on first use: a courier or a scoring service that needs one small module does not pay for the rest.
    if name not in _HOMES:
        raise AttributeError(f"module riskfed has no attribute {name}")
    return getattr(import_module(_HOMES[name]), name)
