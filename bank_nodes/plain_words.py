"""What a plan asks of a bank, in words that need no knowledge of the protocol; for whoever has to approve it."""

from __future__ import annotations

import json
from typing import Final

from bank_nodes.job_words import quoted, told_to_others, work
from riskfed.jobs import (
    BankContribution,
    FederatedTransfer,
    HorizontalXgboost,
    Job,
    ModelMonitoring,
    ReleaseForm,
    VerticalLogistic,
    VerticalXgboost,
    XgboostParameters,
)
from riskfed.plan import SEALED, Plan
from riskfed.protocols.rounds import most_rounds

_RELEASES: Final[dict[ReleaseForm, str]] = {
    "full": "the whole model, with exact pooled statistics: cover, gain and weight at each node of a tree, goods and bads in each bin "
    "of a scorecard",
    "reduced": "the model without these statistics, or with rounded ones; it predicts the same",
    "withheld": "no model: its sha256; only the banks have the model",
}


def describe_plan(plan: Plan) -> list[tuple[str, str]]:
    """(what, how) of all that a plan asks, the parameters of its job word by word at the end.

    A plan comes from the server: texts in it are quoted, so that they cannot act on a terminal.
    """
    job = plan.job
    parameters = job.model_dump(mode="json", exclude={"kind"})
    return [
        ("job", f"{job.kind}: {work(job)}"),
        ("with", ", ".join(quoted(bank) for bank in plan.roster)),
        ("asks", _asked(plan)),
        ("protection", _protection(plan)),
        *([("others learn", told)] if (told := told_to_others(job)) else []),
        *([("privacy", _privacy(job))] if isinstance(job, HorizontalXgboost) else []),
        *([("bin edges", _bin_edges(job))] if isinstance(job, XgboostParameters) else []),
        ("operator gets", _released(job)),
        ("operator sees", _figures(job)),
        ("schema", plan.schema_fingerprint[:16]),
        ("parameters", ", ".join(f"{name} {json.dumps(value)}" for name, value in parameters.items())),
    ]


def _asked(plan: Plan) -> str:
    what = "protected sums over this bank's loans" if plan.job.releaser is None else "exchanges of sealed messages"
    return f"at most {most_rounds(plan.job, parties=len(plan.roster)):,} {what}, in one attempt"


def _privacy(job: HorizontalXgboost) -> str:
    if job.privacy is None:
        return "no noise: sums are exact, and the model is XGBoost's"
    return (
        f"differential privacy of development loans, epsilon {job.privacy.epsilon:g} and delta {job.privacy.delta:g}, even if "
        f"{job.privacy.colluding_banks} of the banks put what they know together; held-out loans are measured without noise"
    )


def _protection(plan: Plan) -> str:
    if plan.protection == SEALED:
        return f"messages that only their recipient can open; what is computed with in Paillier ciphertexts of {plan.key_bits} bits"
    if plan.protection == "paillier":
        return f"masks, inside Paillier ciphertexts of {plan.key_bits} bits"
    return "masks; the server adds what it cannot read"


def _bin_edges(job: XgboostParameters) -> str:
    if isinstance(job, VerticalXgboost):
        exact = "can be" if job.cut_rounds == 8 else "are never"
        holder = quoted(job.label_holder)
        return f"{exact} exact values of a loan; those of {holder}'s columns are in the model, others stay where the column is"
    if isinstance(job, HorizontalXgboost) and job.privacy is not None:
        return "those of the schema's public grid, no matter what the loans are"
    if job.cut_rounds == 8:
        return "can be exact values of some bank's loans, seen by all banks and by whoever gets the model"
    return "eight significant binary digits, no loan's exact value"


def _released(job: Job) -> str:
    if isinstance(job, ModelMonitoring):
        return "figures, no model"
    if isinstance(job, BankContribution):
        return "what each bank's loans are worth, and the utility of each coalition's model; no model"
    if isinstance(job, FederatedTransfer):
        return f"figures and a sha256; the model is {quoted(job.target)}'s alone"
    if isinstance(job, VerticalLogistic):
        return f"of {quoted(job.label_holder)}'s part, in which each partner is one number: {_RELEASES[job.release]}"
    if isinstance(job, VerticalXgboost):
        return (
            f"of {quoted(job.label_holder)}'s part, in which the others' splits are numbers: {_RELEASES[job.release]}"
        )
    return _RELEASES[job.release]


def _figures(job: Job) -> str:
    counts = f"counts by score, bin and group of at least {job.least_cell} loans"
    if isinstance(job, ModelMonitoring):
        return f"pooled figures, and {counts}"
    if job.validation_fraction == 0:
        return "how far the job is; nothing is held out, so nothing is measured"
    return f"pooled figures on the {job.validation_fraction:.0%} of loans held out, with each step and at the end, and {counts}"
