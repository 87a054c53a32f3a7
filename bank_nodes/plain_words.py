"""What a plan asks of a bank, in words that need no knowledge of the protocol; for whoever has to approve it."""

from __future__ import annotations

import json
from typing import Final

from riskfed.jobs import HorizontalXgboost, ReleaseForm
from riskfed.plan import Plan
from riskfed.protocols.rounds import most_rounds

_RELEASES: Final[dict[ReleaseForm, str]] = {
    "full": "the whole model, with exact pooled statistics (cover, gain, weight) at each of its nodes",
    "reduced": "the model without gains and inner weights, with rounded covers; it predicts the same",
    "withheld": "no model: its sha256; only the banks have the model",
}


def describe_plan(plan: Plan) -> list[tuple[str, str]]:
    """(what, how) of all that a plan asks, the parameters of its job word by word at the end.

    A plan comes from the server: texts in it are quoted, so that they cannot act on a terminal.
    """
    job = plan.job
    parameters = job.model_dump(mode="json", exclude={"kind"})
    return [
        ("job", f"{job.kind}: grow up to {job.n_estimators} trees of depth {job.max_depth} on the loans of all banks"),
        ("with", ", ".join(_quoted(bank) for bank in plan.roster)),
        ("asks", f"at most {most_rounds(job):,} protected sums over this bank's loans, in one attempt"),
        ("protection", _protection(plan)),
        ("bin edges", _bin_edges(job)),
        ("operator gets", _RELEASES[job.release]),
        ("operator sees", _figures(job)),
        ("schema", plan.schema_fingerprint[:16]),
        ("parameters", ", ".join(f"{name} {json.dumps(value)}" for name, value in parameters.items())),
    ]


def _protection(plan: Plan) -> str:
    if plan.protection == "paillier":
        return f"masks, inside Paillier ciphertexts of {plan.key_bits} bits"
    return "masks; the server adds what it cannot read"


def _bin_edges(job: HorizontalXgboost) -> str:
    if job.cut_rounds == 8:
        return "can be exact values of some bank's loans, seen by all banks and by whoever gets the model"
    return "eight significant binary digits, no loan's exact value"


def _figures(job: HorizontalXgboost) -> str:
    if job.validation_fraction == 0:
        return "how many trees are grown; nothing is held out, so nothing is measured"
    return (
        f"pooled figures on the {job.validation_fraction:.0%} of loans held out, after each tree and at the end, and counts by "
        f"score of at least {job.least_cell} loans"
    )


def _quoted(text: str) -> str:
    return text if text.isprintable() else json.dumps(text)
