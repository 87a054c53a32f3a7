"""A run's parameters: all of them for the report, and those that MLflow is told.

MLflow writes every parameter of a run over every card of its chart view, and 20 of them leave no room for the picture. So it is told what
the job sets otherwise than by default, and nothing that is long; all the rest is in the run's ``run.json`` and in tags.
"""

from __future__ import annotations

import json

from riskfed.evaluation.privacy import NOT_PRIVATE
from riskfed.jobs import DifferentialPrivacy, HorizontalXgboost
from riskfed.plan import Plan
from riskfed.protocols import events
from riskfed.tracking.verdict import members

_SHOWN_LENGTH = 40
_PRIVACY = {"privacy", "epsilon", "delta"}
"""Told always: that there is none, too."""


def all_parameters(event: events.RunStarted) -> dict[str, str]:
    """The job and how it is run, as texts by name."""
    plan = event.plan
    job = {k: v if isinstance(v, str) else json.dumps(v) for k, v in plan.job.model_dump(mode="json").items()}
    if isinstance(plan.job, HorizontalXgboost):
        job |= _privacy_facts(plan.job.privacy)
    bits = {} if plan.protection == "masking" else {"key_bits": str(plan.key_bits)}
    return {**job, **members_facts(plan), **bits, "transport": event.transport}


def _privacy_facts(privacy: DifferentialPrivacy | None) -> dict[str, str]:
    """Each parameter by itself, or that there is none."""
    if privacy is None:
        return {"privacy": NOT_PRIVATE}
    return {"privacy": "differential", **{name: f"{value}" for name, value in privacy.model_dump(mode="json").items()}}


def members_facts(plan: Plan) -> dict[str, str]:
    """Who took part, and under which protection."""
    count, names = str(len(plan.roster)), ", ".join(plan.roster)
    return {members(plan.protection): count, "roster": names, "protection": plan.protection}


def shown_parameters(event: events.RunStarted) -> dict[str, str]:
    """Those that MLflow is told: what is not the default, protection, number of banks, and differential privacy or that there is none."""
    job = event.plan.job
    fields = type(job).model_fields
    chosen = {
        name for name, field in fields.items() if getattr(job, name) != field.get_default(call_default_factory=True)
    }
    told = {*chosen, *_PRIVACY, "protection", "key_bits", "banks", "parties"}
    return {n: text for n, text in all_parameters(event).items() if n in told and len(text) <= _SHOWN_LENGTH}
