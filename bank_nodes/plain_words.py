"""What a plan asks of a bank, in words that need no knowledge of the protocol; for whoever has to approve it."""

from __future__ import annotations

import json
from typing import Final

from riskfed.jobs import (
    HorizontalScorecard,
    HorizontalXgboost,
    Job,
    ModelMonitoring,
    ReleaseForm,
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
        ("job", f"{job.kind}: {_work(job)}"),
        ("with", ", ".join(_quoted(bank) for bank in plan.roster)),
        ("asks", _asked(job)),
        ("protection", _protection(plan)),
        *([("others learn", _told_to_others(job))] if isinstance(job, VerticalXgboost) else []),
        *([("bin edges", _bin_edges(job))] if isinstance(job, XgboostParameters) else []),
        ("operator gets", _released(job)),
        ("operator sees", _figures(job)),
        ("schema", plan.schema_fingerprint[:16]),
        ("parameters", ", ".join(f"{name} {json.dumps(value)}" for name, value in parameters.items())),
    ]


def _work(job: Job) -> str:
    match job:
        case HorizontalXgboost():
            return f"grow up to {job.n_estimators} trees of depth {job.max_depth} on the loans of all banks"
        case VerticalXgboost():
            return (
                f"find the customers that all have, and grow up to {job.n_estimators} trees of depth {job.max_depth} for the labels of "
                f"{_quoted(job.label_holder)} on the columns of all"
            )
        case HorizontalScorecard():
            return f"bin features and fit a logistic regression (selection: {job.selection}) on the loans of all banks"
        case ModelMonitoring():
            when = (
                f"of cohorts {', '.join(_quoted(str(c)) for c in job.cohorts)}" if job.cohorts else "that they hold now"
            )
            return f"measure model {job.model_sha256[:12]} on the loans of all banks {when}"
        case _:
            return "unknown to this release"


def _asked(job: Job) -> str:
    what = (
        "exchanges of sealed messages" if isinstance(job, VerticalXgboost) else "protected sums over this bank's loans"
    )
    return f"at most {most_rounds(job):,} {what}, in one attempt"


def _told_to_others(job: VerticalXgboost) -> str:
    holder = _quoted(job.label_holder)
    return (
        f"which customers all have in common; {holder}: sums over its customers by bin of the others' columns, without names or edges "
        f"(bins of {job.least_bin} rows, nodes of {job.least_node} rows at least), and which way customers go at the splits it takes; "
        f"the others: which customers are together in a node, and nothing of {holder}'s labels in plain"
    )


def _protection(plan: Plan) -> str:
    if plan.protection == SEALED:
        return f"messages that only their recipient can open; gradients in Paillier ciphertexts of {plan.key_bits} bits"
    if plan.protection == "paillier":
        return f"masks, inside Paillier ciphertexts of {plan.key_bits} bits"
    return "masks; the server adds what it cannot read"


def _bin_edges(job: XgboostParameters) -> str:
    if isinstance(job, VerticalXgboost):
        exact = "can be" if job.cut_rounds == 8 else "are never"
        holder = _quoted(job.label_holder)
        return f"{exact} exact values of a loan; those of {holder}'s columns are in the model, others stay where the column is"
    if job.cut_rounds == 8:
        return "can be exact values of some bank's loans, seen by all banks and by whoever gets the model"
    return "eight significant binary digits, no loan's exact value"


def _released(job: Job) -> str:
    if isinstance(job, ModelMonitoring):
        return "figures, no model"
    if isinstance(job, VerticalXgboost):
        return (
            f"of {_quoted(job.label_holder)}'s part, in which the others' splits are numbers: {_RELEASES[job.release]}"
        )
    return _RELEASES[job.release]


def _figures(job: Job) -> str:
    counts = f"counts by score, bin and group of at least {job.least_cell} loans"
    if isinstance(job, ModelMonitoring):
        return f"pooled figures, and {counts}"
    if job.validation_fraction == 0:
        return "how far the job is; nothing is held out, so nothing is measured"
    return f"pooled figures on the {job.validation_fraction:.0%} of loans held out, with each step and at the end, and {counts}"


def _quoted(text: str) -> str:
    return text if text.isprintable() else json.dumps(text)
