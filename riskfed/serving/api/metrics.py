"""What the service counts, for Prometheus. Labels are routes, statuses and the registry's names: never a client's text.

Neither PDs nor scores are measured: between two readings there may be a single applicant, whose score the sum would tell.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from riskfed.serving.api.problems import ProblemError

if TYPE_CHECKING:
    from riskfed.serving.models.live import LiveModels
    from riskfed.serving.models.shadow import Shadow

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
# A second series for every counter, of no use to anybody who has the first.
disable_created_metrics()  # type: ignore[no-untyped-call]

_SECONDS: Final = (0.0005, 0.001, 0.0015, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class ServiceMetrics:
    """Counters of one service, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter("riskfed_requests", "Requests answered", ["route", "status"], registry=self.registry)
        self._seconds = Histogram(
            "riskfed_request_seconds",
            "Time from headers to the answer",
            ["route"],
            registry=self.registry,
            buckets=_SECONDS,
        )
        self._problems = Counter(
            "riskfed_problems",
            "Problems told, those of single applicants in batches too",
            ["status", "problem"],
            registry=self.registry,
        )
        self._applicants = Counter(
            "riskfed_applicants", "Applicants scored", ["model", "version"], registry=self.registry
        )
        self.fallbacks = Counter(
            "riskfed_fallbacks", "Scores without the partner's part", ["reason"], registry=self.registry
        )
        self.replays = Counter("riskfed_idempotent_replays", "Answers given again", registry=self.registry)
        self.audit_lines = Counter(
            "riskfed_audit_lines", "Lines of the audit log that requests wrote", registry=self.registry
        )
        self.model_changes = Counter(
            "riskfed_model_changes", "Models taken up or refused", ["kind"], registry=self.registry
        )
        ProcessCollector(registry=self.registry)
        # Looking a label up costs more than counting, so what was looked up is kept.
        self._of_route: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        self._of_model: dict[tuple[str, str], Counter] = {}

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count an answer; 499 where the client had gone."""
        kinds = self._of_route.get((route, status // 100))
        if kinds is None:
            kinds = self._requests.labels(route, f"{status // 100}xx"), self._seconds.labels(route)
            self._of_route[route, status // 100] = kinds
        kinds[0].inc()
        kinds[1].observe(seconds)

    def problem(self, problem: ProblemError) -> None:
        """Count a problem."""
        self._problems.labels(str(problem.status), problem.code).inc()

    def scored(self, model: str, version: str, applicants: int = 1) -> None:
        """Count scored applicants."""
        counter = self._of_model.get((model, version))
        if counter is None:
            counter = self._of_model[model, version] = self._applicants.labels(model, version)
        counter.inc(applicants)

    def watch(self, live: LiveModels, shadow: Shadow | None) -> None:
        """Read the models' state, and the comparison with the challenger, at every scrape."""
        self.registry.register(_ModelState(live, shadow))

    def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self.registry)


class _ModelState(Collector):
    def __init__(self, live: LiveModels, shadow: Shadow | None) -> None:
        self._live = live
        self._shadow = shadow

    def describe(self) -> Iterable[Metric]:
        """Nothing: the names are this module's own, so the registry need not check them by collecting."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """The gauges."""
        status = self._live.status()
        info = GaugeMetricFamily(
            "riskfed_model", "Models in use; the value is 1", labels=["role", "model", "version", "sha256", "kind"]
        )
        since = GaugeMetricFamily("riskfed_model_since_seconds", "Unix time since when", labels=["role", "version"])
        for served in self._live.served():
            model = served.engine.model
            info.add_metric([served.role, model.name, model.version, served.engine.sha256, served.engine.kind], 1)
            since.add_metric([served.role, model.version], served.since.timestamp())
        yield info
        yield since
        yield _gauge("riskfed_ready", "Whether a model is loaded", status.champion is not None)
        yield _gauge("riskfed_registry_up", "Whether the last look at the registry succeeded", status.problem is None)
        yield _gauge(
            "riskfed_model_refused", "Whether the registry names a model that was refused", status.refused is not None
        )
        yield _gauge(
            "riskfed_warm_start", "Whether the model in use is the local copy of a former run", status.warm_start
        )
        if status.last_success is not None:
            age = time.time() - status.last_success.timestamp()
            yield _gauge("riskfed_registry_age_seconds", "Time since the registry last answered", age)
        if self._shadow is not None:
            yield from _comparison(self._shadow)


def _comparison(shadow: Shadow) -> Iterator[Metric]:
    found = shadow.comparison()
    texts = {
        "scored": "Applicants that the challenger scored too",
        "dropped": "Applicants that the challenger had no time for",
        "failed": "Applicants that the challenger failed on",
        "psi": "Population stability index of the challenger's points against the champion's",
        "swap_in_rate": "Share approved by the challenger alone",
        "swap_out_rate": "Share approved by the champion alone",
        "mean_difference": "Challenger's points less the champion's, on average",
    }
    for name, text in texts.items():
        yield _gauge(f"riskfed_shadow_{name}", text, getattr(found, name))


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=float(value))
