"""What each kind of job does, and what its parties learn of each other, in words that need no knowledge of the protocol."""

from __future__ import annotations

import json
from functools import singledispatch

from riskfed.jobs import (
    BankContribution,
    FederatedTransfer,
    HorizontalScorecard,
    HorizontalXgboost,
    Job,
    ModelMonitoring,
    VerticalLogistic,
    VerticalXgboost,
)
from riskfed.plan import MINIMUM_BANKS


def quoted(text: str) -> str:
    """A text of a plan, which comes from the server, so that it cannot act on a terminal."""
    return text if text.isprintable() else json.dumps(text)


@singledispatch
def work(job: Job) -> str:
    """What the parties do together."""
    return f"unknown to this release: {job.kind}"


@work.register
def _(job: HorizontalXgboost) -> str:
    return f"grow up to {job.n_estimators} trees of depth {job.max_depth} on the loans of all banks"


@work.register
def _(job: HorizontalScorecard) -> str:
    return f"bin features and fit a logistic regression (selection: {job.selection}) on the loans of all banks"


@work.register
def _(job: ModelMonitoring) -> str:
    when = f"of cohorts {', '.join(quoted(str(c)) for c in job.cohorts)}" if job.cohorts else "that they hold now"
    return f"measure model {job.model_sha256[:12]} on the loans of all banks {when}"


@work.register
def _(job: BankContribution) -> str:
    return (
        f"train a {job.model.kind} on the loans of many coalitions of these banks, none of fewer than {job.least_coalition}, and "
        f"measure ({job.utility}) what each bank's loans are worth"
    )


@work.register
def _(job: VerticalXgboost) -> str:
    return (
        f"find the customers that all have, and grow up to {job.n_estimators} trees of depth {job.max_depth} for the labels of "
        f"{quoted(job.label_holder)} on the columns of all"
    )


@work.register
def _(job: VerticalLogistic) -> str:
    return (
        f"find the customers that all have, and fit a logistic regression for the labels of {quoted(job.label_holder)} on the columns "
        f"of all, in up to {job.epochs} passes over them; {quoted(job.coordinator)} holds the key and no records"
    )


@work.register
def _(job: FederatedTransfer) -> str:
    return (
        f"find the customers that both have, and learn from the labels of {quoted(job.label_holder)} how {quoted(job.target)} can "
        f"score its own customers, in up to {job.iterations} steps"
    )


@singledispatch
def told_to_others(job: Job) -> str:  # noqa: ARG001  # for the kinds that tell nothing
    """What parties that are not the operator learn beyond pooled sums; empty where it is nothing."""
    return ""


@told_to_others.register
def _(job: VerticalXgboost) -> str:
    holder = quoted(job.label_holder)
    return (
        f"which customers all have in common; {holder}: sums over its customers by bin of the others' columns, without names or edges "
        f"(bins of {job.least_bin} rows, nodes of {job.least_node} rows at least), and which way customers go at the splits it takes; "
        f"the others: which customers are together in a node, and nothing of {holder}'s labels in plain"
    )


@told_to_others.register
def _(job: VerticalLogistic) -> str:
    return (
        f"{quoted(job.coordinator)}: sizes, and numbers behind masks; the others: which customers all have in common; each the gradient "
        f"of its own coefficients on each mini-batch of {job.batch_size} rows, and the defaults in its own bins, of {job.least_bin} rows "
        f"at least; {quoted(job.label_holder)}: the loss, and the others' partial scores of held-out customers"
    )


@told_to_others.register
def _(job: FederatedTransfer) -> str:
    holder = quoted(job.label_holder)
    return (
        "which customers both have in common; each the gradient of its own encoder at each step; "
        f"{quoted(job.target)}: at the end {job.dimensions} numbers, the difference of means between encoded customers of {holder} "
        f"with and without default, and the default rate; its gradients tell much of the labels of few common customers; {holder}: the "
        "scores of held-out common customers"
    )


@told_to_others.register
def _(job: BankContribution) -> str:
    if job.least_coalition >= MINIMUM_BANKS:
        return "all banks: pooled sums of each coalition; two coalitions that differ by one bank show that bank's by subtraction"
    return "all banks: pooled sums of each coalition; those of one bank alone are that bank's own, and of two each learns the other's"
