"""Banks with the same columns of different customers, in one process, and the pooled model to hold them against."""

from __future__ import annotations

import random
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pandas as pd

from riskfed.errors import ConfigurationError, PlanError, SchemaError
from riskfed.evaluation.record import Evaluation
from riskfed.jobs import HorizontalXgboost, Job
from riskfed.plan import Plan
from riskfed.protocols.local import LocalSwitchboard
from riskfed.protocols.program import run_alone
from riskfed.protocols.programs import program_for
from riskfed.protocols.records import Records
from riskfed.protocols.release import ModelRelease
from riskfed.protocols.shared_cuts import shared_cuts
from riskfed.protocols.switchboard import Switchboard
from riskfed.schema import Schema
from riskfed.scorecard.card import Scorecard
from riskfed.simulation.traffic import Ledger, Traffic, Transcript, parties_for
from riskfed.trees.cuts import Cuts

if TYPE_CHECKING:
    import xgboost


@dataclass(frozen=True)
class Result:
    """What a simulated run gave.

    Attributes:
        full: the result as the banks keep it: the whole model, whatever form was released.
        shared_cuts: the cuts of an XGBoost model; None for other jobs.
        metrics: pooled figures on the held-out rows; empty where nothing was held out.
        history: pooled figures after each tree.
        traffic: bytes per bank and direction, and rounds.
        timings: wall seconds of ``opening`` (keys, protection, canary), ``training`` and ``total``.
        transcript: all that the server saw.
        release: the result as it left the banks.
    """

    full: ModelRelease = field(repr=False)
    shared_cuts: Cuts | None = field(repr=False)
    metrics: Mapping[str, float]
    history: list[Mapping[str, float]]
    traffic: Traffic
    timings: Mapping[str, float]
    transcript: Transcript = field(repr=False)
    release: ModelRelease = field(repr=False)

    @property
    def evaluation(self) -> Evaluation | None:
        """How good the model is on the held-out rows, or on the recent ones of a monitoring job."""
        return self.release.evaluation

    @cached_property
    def booster(self) -> xgboost.Booster:
        """The model as an ordinary `xgboost.Booster`.

        Raises:
            ConfigurationError: the job made none.
        """
        if self.full.kind != "horizontal_xgboost":
            raise ConfigurationError(f"a {self.full.kind} job makes no Booster")
        return _load(self.full.model)

    @cached_property
    def scorecard(self) -> Scorecard:
        """The model as a scorecard.

        Raises:
            ConfigurationError: the job made none.
        """
        if self.full.kind != "horizontal_scorecard":
            raise ConfigurationError(f"a {self.full.kind} job makes no scorecard")
        return Scorecard.from_bytes(self.full.model)

    @property
    def cuts(self) -> Cuts:
        """The shared cuts, for `pooled_reference`.

        Raises:
            ConfigurationError: the job has none.
        """
        if self.shared_cuts is None:
            raise ConfigurationError(f"a {self.full.kind} job has no cuts")
        return self.shared_cuts


def simulate(
    banks: Mapping[str, pd.DataFrame],
    schema: Schema,
    job: Job,
    protection: str = "masking",
    seed: int | None = None,
    *,
    key_bits: int = 2048,
    model: ModelRelease | None = None,
) -> Result:
    """Run a job over several banks in one process, with the protocols, protection and frames of a real run.

    Args:
        banks: name -> loan records, for at least three banks. They must meet `schema`; no bank's policy is applied.
        schema: the consortium's schema.
        job: what to compute.
        protection: "masking" or "paillier".
        seed: shuffles the order in which banks are served; None keeps them sorted. The model does not depend on it, and the
            randomness of the protection always comes from the operating system.
        key_bits: size of the Paillier modulus, 2048 at least.
        model: the full release (`Result.full`) of the model that the job names, as its champion or to be monitored.

    Raises:
        PlanError: fewer than three banks, an unknown protection, or not the model that the job names.
        ContractError: a bank's records do not meet the schema.
        JobError: the pooled records do not suit the job.
    """
    if job.needs_model != (None if model is None else model.model_sha256):
        raise PlanError(
            "model is to be the full release of the very model that the job names by its sha256; give both or none"
        )
    names = sorted(banks)
    plan = Plan(
        run=f"simulation-{secrets.token_hex(8)}",
        roster=tuple(names),
        job=job,
        schema_fingerprint=schema.fingerprint,
        protection=protection,
        key_bits=key_bits,
    )
    records = {name: Records.from_frame(banks[name], schema) for name in names}
    programs = {
        name: program_for(job, records[name], schema, bank=name, roster=plan.roster, known=model) for name in names
    }
    parties = parties_for(plan, programs)
    order = list(names)
    if seed is not None:
        random.Random(seed).shuffle(order)  # noqa: S311  order only
    ledger, transcript = Ledger(), Transcript()
    switchboard = Switchboard(plan, transport="local", listener=ledger, tap=transcript.record)
    LocalSwitchboard(switchboard, parties, order).run()
    return _result(parties[names[0]].outcome, ledger, transcript)


def _result(outcome: Any, ledger: Ledger, transcript: Transcript) -> Result:
    """What one bank was left with, any of them, and what was seen of the run."""
    return Result(
        full=outcome.full,
        shared_cuts=getattr(outcome, "cuts", None),
        metrics=outcome.release.metrics,
        history=list(outcome.release.history),
        traffic=ledger.traffic(),
        timings=ledger.timings(),
        transcript=transcript,
        release=outcome.release,
    )


def pooled_cuts(frame: pd.DataFrame, schema: Schema, job: HorizontalXgboost) -> Cuts:
    """The cuts that a federation of any banks with these records agrees on, found from the pooled records."""
    development, _ = Records.from_frame(frame, schema).hold_out(job.validation_fraction, job.validation_seed)
    return run_alone(shared_cuts(development, schema, job))


def pooled_reference(frame: pd.DataFrame, cuts: Cuts, job: HorizontalXgboost) -> xgboost.Booster:
    """Train plain xgboost on pooled records with the cuts of a federation: what the federation's model must equal.

    Rows are held out by the same hash, and early stopping is XGBoost's own.

    Args:
        frame: all banks' records in one frame.
        cuts: `Result.cuts`.
        job: the job of the federation.
    """
    from riskfed.trees.reference import train_pooled

    if cuts.schema is None:
        raise SchemaError("these cuts carry no schema; take them from a federation's result")
    records = Records.from_frame(frame, cuts.schema)
    development, held_out = records.hold_out(job.validation_fraction, job.validation_seed)
    watched = (held_out.matrix, held_out.labels) if job.early_stopping_rounds is not None else None
    return train_pooled(development.matrix, development.labels, development.weights, cuts, job, watched=watched)


def _load(booster_json: bytes) -> xgboost.Booster:
    import xgboost

    booster = xgboost.Booster()
    booster.load_model(bytearray(booster_json))
    return booster
