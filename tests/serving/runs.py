"""The events of a run, as the switchboard emits them."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

from riskfed.jobs import HorizontalXgboost
from riskfed.plan import Plan
from riskfed.protocols import events
from riskfed.protocols.release import ModelRelease
from tests.serving.models import SCHEMA

BANKS = ("alder", "birch", "cedar/2")
RECEIVED, SENT, SECONDS = 1000, 700, 0.25


def make_plan(run: str | None = None, attempt: int = 1) -> Plan:
    """A plan of three banks."""
    return Plan(
        run=run or f"run-{secrets.token_hex(4)}",
        attempt=attempt,
        roster=BANKS,
        job=HorizontalXgboost(n_estimators=20, validation_fraction=0.4, eta=0.1),
        schema_fingerprint=SCHEMA.fingerprint,
        protection="masking",
    )


def one_round(step: int) -> events.RoundFinished:
    """A round of all banks."""
    return events.RoundFinished(step, SECONDS, dict.fromkeys(BANKS, RECEIVED), dict.fromkeys(BANKS, SENT))


def opening(plan: Plan) -> Iterator[events.Event]:
    """Keys and canary, in two rounds."""
    yield events.RunStarted(plan, "session")
    yield one_round(0)
    yield one_round(1)
    yield events.ProtectionProven("masking", None)


def whole_run(release: ModelRelease, plan: Plan | None = None) -> Iterator[events.Event]:
    """A run that ends well; three rounds for each tree."""
    yield from opening(plan or make_plan())
    step = 2
    for tree, figures in enumerate(release.history, 1):
        for _ in range(3):
            yield one_round(step)
            step += 1
        yield events.ProgressMade(tree, figures)
    yield events.BankMetrics("cedar/2", {"auc": 0.7, "rows": 600.0})
    yield events.ModelReleased(release)
    yield one_round(step)
    yield events.RunFinished(12.5)
