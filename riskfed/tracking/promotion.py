"""Promotion: a person gives a version the alias, and the registry remembers who did, when and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from riskfed.errors import ConfigurationError, RegistryError
from riskfed.tracking.connection import connect, registry_errors
from riskfed.tracking.gate import GateResult, look
from riskfed.tracking.standing import crown

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion


@dataclass(frozen=True, slots=True)
class Promotion:
    """What was decided.

    Attributes:
        found: what the gate found; `passed` may be False, where a person decided otherwise.
        alias: that the version carries now.
        by, at, reason: who decided, when (UTC, ISO 8601), and why.
    """

    found: GateResult
    alias: str
    by: str
    at: str
    reason: str

    @property
    def told(self) -> str:
        """The decision in one line."""
        why = f": {self.reason}" if self.reason else ""
        despite = "" if self.found.passed else f" (despite the gate: {'; '.join(self.found.reasons)})"
        return f"{self.alias} by decision of {self.by}, {self.at}{why}{despite}"


def promote(
    tracking_uri: str,
    name: str,
    version: str,
    *,
    by: str,
    reason: str = "",
    alias: str = "champion",
    despite_the_gate: bool = False,
) -> Promotion:
    """Give a version an alias, which a person decides.

    The gate's checks are made all the same. A version that cannot be loaded back, or does not score as the scoring engine does, is refused
    always. Who, when and why become tags and the first line of the version's description.

    Args:
        tracking_uri, name, version: MLflow's address and the version.
        by: who decides.
        reason: why; needed with `despite_the_gate`.
        alias: to be moved.
        despite_the_gate: promote a version that is beyond a red limit, or does not beat the champion.

    Raises:
        ConfigurationError: `despite_the_gate` without a reason, or nobody is named.
        RegistryError: MLflow cannot be reached or has no such version; the version is not sound, or the gate refuses it.
    """
    if not by.strip():
        raise ConfigurationError("a promotion needs the name of whoever decides it")
    if despite_the_gate and not reason.strip():
        raise ConfigurationError("a promotion despite the gate needs a reason; give one with --reason")
    client = connect(tracking_uri)
    with registry_errors(f"model {name} version {version} could not be promoted"):
        candidate = client.get_model_version(name, version)
        found = look(client, tracking_uri, candidate, alias=alias)
        _check(found, despite_the_gate=despite_the_gate)
        at = datetime.now(UTC).isoformat(timespec="seconds")
        decided = Promotion(found, alias, by.strip(), at, reason.strip())
        _remember(client, candidate, decided)
        crown(client, candidate, alias)
        return decided


def _check(found: GateResult, *, despite_the_gate: bool) -> None:
    told = "; ".join(found.reasons)
    if not found.sound:
        raise RegistryError(f"model {found.name} version {found.version} is not promoted: {told}; register a sound one")
    if not found.passed and not despite_the_gate:
        raise RegistryError(
            f"model {found.name} version {found.version} does not pass the gate: {told}; to promote it all the same, give "
            "--despite-the-gate and a --reason"
        )


def _remember(client: MlflowClient, candidate: ModelVersion, decided: Promotion) -> None:
    facts = {
        "promoted_by": decided.by,
        "promoted_at": decided.at,
        "promoted_as": decided.alias,
        "promoted_reason": decided.reason or "none given",
        "promoted_despite_the_gate": str(not decided.found.passed).lower(),
    }
    for key, value in facts.items():
        client.set_model_version_tag(candidate.name, candidate.version, key, value[:5000])
    description = f"**{decided.told}**\n\n{candidate.description or ''}"
    client.update_model_version(candidate.name, candidate.version, description)
    if candidate.run_id:
        client.set_tag(candidate.run_id, "riskfed.promotion", decided.told[:5000])
