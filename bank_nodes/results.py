"""What a bank keeps of a finished run: the model, or of a vertical one the bank's own side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import structlog

from bank_nodes.models import store_release
from bank_nodes.parts import store_part
from riskfed.errors import ConfigurationError, RiskfedError
from riskfed.plan import Plan
from riskfed.protocols.release import ModelRelease

diary = structlog.get_logger("vault")


def store_outcome(folder: Path, plan: Plan, bank: str, outcome: Any) -> dict[str, str]:
    """Store what the party's program returned.

    Args:
        folder: of the bank's models.
        plan: of the run.
        bank: this bank's name.
        outcome: ``full``, a `ModelRelease`; of a party that has witnessed another's release ``release_sha256``, and what it keeps itself:
            ``part``, its side of a vertical model, ``full``, a model of its own, or nothing.

    Returns:
        What the log's line "finished" says.

    Raises:
        RiskfedError: it cannot be written.
    """
    try:
        if plan.job.releaser in {None, bank}:
            return _store_release(folder, plan, outcome.full)
        return _store_own(folder, plan, outcome) | {"release_sha256": outcome.release_sha256}
    except ConfigurationError as error:
        diary.error("the model could not be stored", run=plan.run, reason=str(error))
        raise RiskfedError(f"bank {bank} could not store the model; the bank must see its vault's log") from None


def _store_release(folder: Path, plan: Plan, release: ModelRelease) -> dict[str, str]:
    # A job that only measures leaves no model.
    home = store_release(folder, plan, release) if release.model else None
    diary.info("run finished", run=plan.run, model=str(home))
    return {"model_sha256": release.model_sha256, "released": plan.job.release}


def _store_own(folder: Path, plan: Plan, outcome: Any) -> dict[str, str]:
    """What a party keeps beside another's release."""
    if (part := getattr(outcome, "part", None)) is not None:
        home = store_part(folder, plan, part)
        diary.info("run finished", run=plan.run, part=str(home))
        return {"part_id": part.part_id, "part_sha256": part.sha256}
    if (full := getattr(outcome, "full", None)) is not None:
        return _store_release(folder, plan, full)
    diary.info("run finished", run=plan.run)
    return {}
