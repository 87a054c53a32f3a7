"""Which side of a job over different columns of the same customers a party runs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import riskfed.protocols.transfer.label_holder as transfer_label_holder
import riskfed.protocols.vertical.feature_holder as xgboost_feature_holder
import riskfed.protocols.vertical.label_holder as xgboost_label_holder
import riskfed.protocols.vertical_logistic.feature_holder as logistic_feature_holder
import riskfed.protocols.vertical_logistic.label_holder as logistic_label_holder
from riskfed.errors import JobError
from riskfed.jobs import FederatedTransfer, Job, VerticalLogistic, VerticalXgboost
from riskfed.protocols.program import Program
from riskfed.protocols.records import Records
from riskfed.protocols.transfer import target
from riskfed.protocols.vertical.place import Place
from riskfed.protocols.vertical_logistic import coordinator
from riskfed.schema import Schema


def vertical_program(job: Job, records: Records | None, schema: Schema, place: Place) -> Callable[[], Program[Any]]:
    """What makes one party's side.

    Returns:
        A function without arguments. The outcome of the label holder's program has ``release`` and ``full``; a feature holder's ``part``, a
        `riskfed.linear_model.Part`, and ``release_sha256``; a transfer's target ``full``, its own model, and ``release_sha256``; a
        coordinator's ``release_sha256``.

    Raises:
        JobError: no such job in this release, or the party needs records and has none.
    """
    if place.me in job.parties_without_records:
        return partial(_without_records(job), job, place)
    if records is None:
        raise JobError(f"{place.me} holds no records, and the job needs them; another party must be coordinator")
    return partial(_side(job, leads=place.me == job.releaser), records, schema, job, place)


def _without_records(job: Job) -> Callable[..., Program[Any]]:
    match job:
        case VerticalLogistic():
            return coordinator.train
    raise JobError(f"no party without records takes part in job {job.kind}")


def _side(job: Job, *, leads: bool) -> Callable[..., Program[Any]]:
    """Of a party with records: the label holder's, which leads, or the others'."""
    match job:
        case VerticalXgboost():
            return xgboost_label_holder.train if leads else xgboost_feature_holder.train
        case VerticalLogistic():
            return logistic_label_holder.train if leads else logistic_feature_holder.train
        case FederatedTransfer():
            return transfer_label_holder.train if leads else target.train
    raise JobError(f"no program for job {job.kind} in this release")
