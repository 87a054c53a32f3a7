"""What the server side tells its listeners (MLflow, a terminal, a test). Events hold only what the server may know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from riskfed.plan import Plan
from riskfed.protocols.release import ModelRelease


@dataclass(frozen=True, slots=True)
class RunStarted:
    """An attempt of a run begins; `plan.attempt` says which. The next one goes on from the banks' last common checkpoint."""

    plan: Plan
    transport: str


@dataclass(frozen=True, slots=True)
class ProtectionProven:
    """Keys agreed and the canary passed at every bank: record-derived bytes may flow from now on."""

    scheme: str
    key_bits: int | None


@dataclass(frozen=True, slots=True)
class RoundFinished:
    """One lock-step of all banks.

    Attributes:
        step: number of the round, from 0.
        seconds: from the answer before to this answer, as the server saw it.
        received: bytes from each bank.
        sent: bytes to each bank.
    """

    step: int
    seconds: float
    received: Mapping[str, int]
    sent: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ProgressMade:
    """Pooled figures that all banks agreed on, after `step` trees."""

    step: int
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class BankMetrics:
    """Figures of one bank that opted in to show them."""

    bank: str
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class ModelReleased:
    """The finished model; every bank released the same bytes."""

    release: ModelRelease


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """A bank was lost; the server waits for it and then starts the next attempt, with another `RunStarted`."""

    attempt: int
    reason: str


@dataclass(frozen=True, slots=True)
class RunFailed:
    """The run ended without a model."""

    reason: str


@dataclass(frozen=True, slots=True)
class RunFinished:
    """The run is over and its model is out."""

    seconds: float


Event = (
    RunStarted
    | ProtectionProven
    | RoundFinished
    | ProgressMade
    | BankMetrics
    | ModelReleased
    | AttemptFailed
    | RunFailed
    | RunFinished
)
Listener = Callable[[Event], None]
