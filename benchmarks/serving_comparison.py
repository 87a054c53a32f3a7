"""`riskfed serve` and `mlflow models serve` of the same model, with the same reasons, under the same load in one run.

MLflow gets whichever way to compute PD and reasons costs it less: riskfed's own engine, or xgboost with its pred_contribs. The model has a
signature there, as every model that riskfed registers: only so does MLflow's server refuse what does not meet the schema, as
riskfed's does. What it costs without one is measured too.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from benchmarks.serving_load import Load, LoadOutcome, run_apart
from benchmarks.serving_models import (
    NAME,
    Applicants,
    applicants,
    mlflow_body,
    move_alias,
    register_model,
    release_of,
    save_for_mlflow,
    taiwan_booster,
)
from benchmarks.serving_processes import Server, start_mlflow_scoring, start_registry
from benchmarks.serving_service import Service, start_service
from riskfed.protocols.release import ModelRelease
from riskfed.stack.processes import Processes

ROUNDS = 3
SATURATING = 16
_APPLICANTS = 500
_WARM_SECONDS = 2.0


class Way(NamedTuple):
    """How MLflow serves the model: by which class of `benchmarks.serving_mlflow_model`, and whether with a signature."""

    scorer: str
    signed: bool

    def __str__(self) -> str:
        return f"{self.scorer}, {'signature' if self.signed else 'no signature'}"


WAYS = (
    Way("ScoredWithRiskfed", True),
    Way("ScoredWithRiskfed", False),
    Way("ScoredWithXgboost", True),
    Way("ScoredWithXgboost", False),
)


@dataclass(frozen=True, slots=True)
class Figures:
    """One server under load: medians over the rounds.

    Attributes:
        cpu_ms: CPU time of all its processes for one request, one request at a time.
        saturated_cpu_ms: the same with 16 requests at a time.
        p50_ms, p99_ms: latency, one request at a time.
        per_second: answers a second with 16 requests at a time.
        pss_mb, uss_mb: memory of all its processes after the load, at rest (10^6 bytes).
        processes: how many they are.
        requests: that were answered.
        failed: that were not, or with another PD than xgboost's.
    """

    cpu_ms: float
    saturated_cpu_ms: float
    p50_ms: float
    p99_ms: float
    per_second: float
    pss_mb: float
    uss_mb: float
    processes: int
    requests: int
    failed: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both servers.

    Attributes:
        riskfed, mlflow: what was measured.
        mlflow_way: how MLflow served the model.
        mlflow_cpu_ms: CPU milliseconds a request of every way in which it was tried, one request at a time.
        least_unsigned_cpu_ms: of the cheapest way without a signature.
    """

    riskfed: Figures
    mlflow: Figures
    mlflow_way: str
    mlflow_cpu_ms: dict[str, float]
    least_unsigned_cpu_ms: float


class _Target:
    """A server, what is sent to it, and what was measured."""

    def __init__(self, server: Server, load: Callable[[int, float], Load]) -> None:
        self.server = server
        self._load = load
        self._alone: list[tuple[float, LoadOutcome]] = []
        self._saturated: list[tuple[float, LoadOutcome]] = []

    def cpu_ms(self, connections: int, seconds: float) -> tuple[float, LoadOutcome]:
        """CPU milliseconds for one request, and the load's outcome."""
        before = self.server.cpu_seconds()
        outcome = run_apart(self._load(connections, seconds))
        return 1000 * (self.server.cpu_seconds() - before) / max(outcome.answered, 1), outcome

    def measure(self, seconds: float) -> None:
        """One round."""
        self._alone.append(self.cpu_ms(1, seconds))
        self._saturated.append(self.cpu_ms(SATURATING, seconds))

    def figures(self) -> Figures:
        """Medians of the rounds so far."""
        memory = self.server.memory()
        outcomes = [outcome for _, outcome in self._alone + self._saturated]
        return Figures(
            cpu_ms=statistics.median(cpu for cpu, _ in self._alone),
            saturated_cpu_ms=statistics.median(cpu for cpu, _ in self._saturated),
            p50_ms=statistics.median(outcome.p50_ms for _, outcome in self._alone),
            p99_ms=statistics.median(outcome.p99_ms for _, outcome in self._alone),
            per_second=statistics.median(outcome.per_second for _, outcome in self._saturated),
            pss_mb=memory["pss"],
            uss_mb=memory["uss"],
            processes=len(self.server.members()),
            requests=sum(outcome.answered for outcome in outcomes),
            failed=sum(outcome.failed for outcome in outcomes),
        )


def compare(folder: Path, *, rounds: int = ROUNDS, seconds: float = 5.0) -> Comparison:
    """Measure both, in turns, so that what else the machine does meets both.

    Args:
        folder: for the servers' files.
        rounds: of both.
        seconds: of each load; a round of one server has two.
    """
    booster = taiwan_booster()
    release, drawn = release_of(booster), applicants(booster, _APPLICANTS)
    with Processes() as processes:
        registry = start_registry(processes, folder / "registry")
        version = register_model(release, registry.address)
        move_alias(registry, version)
        service = start_service(processes, folder / "service", registry=registry.address, name=NAME)
        registry.stop()  # the service goes on without it, and the processor is left to what is measured
        ours = _Target(service.server, _riskfed_load(service, drawn))
        costs = {way: _cost(processes, folder, way, release, drawn) for way in WAYS}
        cheapest = min((way for way in WAYS if way.signed), key=lambda way: costs[way])
        theirs = _mlflow(processes, folder / "cheapest", cheapest, release, drawn)
        for target in (ours, theirs):
            target.cpu_ms(1, _WARM_SECONDS)
        for _ in range(rounds):
            ours.measure(seconds)
            theirs.measure(seconds)
        unsigned = min(cost for way, cost in costs.items() if not way.signed)
        named = {str(way): cost for way, cost in costs.items()}
        return Comparison(ours.figures(), theirs.figures(), str(cheapest), named, unsigned)


def _cost(processes: Processes, folder: Path, way: Way, release: ModelRelease, drawn: Applicants) -> float:
    """CPU milliseconds a request of one way to serve the model with MLflow."""
    target = _mlflow(processes, folder / str(way), way, release, drawn)
    try:
        target.cpu_ms(1, _WARM_SECONDS)
        return target.cpu_ms(1, _WARM_SECONDS)[0]
    finally:
        target.server.stop()


def _mlflow(processes: Processes, folder: Path, way: Way, release: ModelRelease, drawn: Applicants) -> _Target:
    model = save_for_mlflow(release, way.scorer, folder, signed=way.signed)
    server = start_mlflow_scoring(processes, folder, model)
    bodies = [mlflow_body(record) for record in drawn.records]

    def load(connections: int, seconds: float) -> Load:
        return Load(server.port, "/invocations", bodies, drawn.pds, connections, seconds)

    return _Target(server, load)


def _riskfed_load(service: Service, drawn: Applicants) -> Callable[[int, float], Load]:
    bodies = [json.dumps({"applicant": record}) for record in drawn.records]

    def load(connections: int, seconds: float) -> Load:
        return Load(service.server.port, "/v1/score", bodies, drawn.pds, connections, seconds, service.headers)

    return load
