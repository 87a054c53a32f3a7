"""What banks can be asked to compute together: the parameters of each kind of job, checked once, here.

A parameter that is not listed is refused by name: a federation that ignored one would not give the model that its banks believe they
agreed on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from riskfed.errors import JobError
from riskfed.jobs.base import Job, ReleaseForm, kind_of
from riskfed.jobs.contribution import BankContribution
from riskfed.jobs.logistic import VerticalLogistic
from riskfed.jobs.monitoring import ModelMonitoring
from riskfed.jobs.privacy import DifferentialPrivacy
from riskfed.jobs.scorecard import HorizontalScorecard
from riskfed.jobs.transfer import FederatedTransfer
from riskfed.jobs.vertical import VerticalXgboost
from riskfed.jobs.xgboost import HorizontalXgboost, XgboostParameters

KINDS: Final[Mapping[str, type[Job]]] = {
    kind_of(job): job
    for job in (
        HorizontalXgboost,
        HorizontalScorecard,
        ModelMonitoring,
        BankContribution,
        VerticalXgboost,
        VerticalLogistic,
        FederatedTransfer,
    )
}

__all__ = [
    "KINDS",
    "BankContribution",
    "DifferentialPrivacy",
    "FederatedTransfer",
    "HorizontalScorecard",
    "HorizontalXgboost",
    "Job",
    "ModelMonitoring",
    "ReleaseForm",
    "VerticalLogistic",
    "VerticalXgboost",
    "XgboostParameters",
    "grows_trees",
    "job_from_dict",
]


def job_from_dict(fields: Mapping[str, Any]) -> Job:
    """Build the job that ``fields["kind"]`` names.

    Raises:
        JobError: unknown kind, or a parameter that the kind does not have.
    """
    kind = fields.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise JobError(f"unknown job kind {kind!r}; known are {', '.join(KINDS)}")
    return KINDS[kind](**fields)


def grows_trees(kind: str) -> bool:
    """Whether a kind of job makes XGBoost's trees, and reports its progress tree by tree."""
    return kind in KINDS and issubclass(KINDS[kind], XgboostParameters)
