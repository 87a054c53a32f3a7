"""Translate a run's events into MLflow's terms: parameters and metrics by tree. What the release gives, `riskfed.tracking.desk` lays out.

A run has a thousand rounds and more. Traffic and seconds are summed over the rounds of a tree, and metrics are written in batches.

Sections of the chart view, by prefix of the metric: ``progress`` (pooled figures by tree), ``traffic`` and ``time`` (by tree; the
opening is step 0, and tree 1 carries the search for the cuts), ``exactness``, ``bank.<name>`` for banks that chose to show their own
figures, and those of `riskfed.tracking.measures`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from riskfed.evaluation.limits import Limits, Verdict
from riskfed.jobs import grows_trees
from riskfed.plan import Plan
from riskfed.protocols import events
from riskfed.protocols.release import ModelRelease
from riskfed.tracking import contribution, monitoring
from riskfed.tracking.connection import connect
from riskfed.tracking.desk import MONITORING, Desk, Occasion, Pictures, Report, now, run_facts, tree_count
from riskfed.tracking.gate import GateResult, gate
from riskfed.tracking.measures import safe_name
from riskfed.tracking.parameters import all_parameters, shown_parameters
from riskfed.tracking.registry import register
from riskfed.tracking.verdict import headline, members

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

_BY_TREE = {"alone_logloss", "federated_logloss"}
"""Figures that a bank measures after each tree; its others are final."""
_BATCH = 1000
_BATCH_SECONDS = 2.0
_NAME_LENGTH = 250


class Recorder:
    """Writes one run. Every method may raise whatever MLflow raises, and may then be called again with the same arguments: what
    was written already is written again, with the same times, and MLflow keeps one of it.

    Attributes:
        run_id: MLflow's id, None before the first event.
        version: registered version, None before the release.
        verdict: on the release, None before it and where nothing was evaluated.
        gate_result: the gate's, None before the release.
    """

    def __init__(
        self,
        tracking_uri: str,
        experiment: str,
        model_name: str | None = None,
        pictures: Pictures | None = None,
        artifact_location: str | None = None,
        *,
        report: Report | None = None,
        acceptance: Limits | None = None,
    ) -> None:
        self.run_id: str | None = None
        self.version: str | None = None
        self.verdict: Verdict | None = None
        self.gate_result: GateResult | None = None
        self._tracking_uri = tracking_uri
        self._experiment = experiment
        self._model_name = model_name
        self._pictures, self._report = pictures, report
        self._acceptance = acceptance or Limits()
        self._artifact_location = artifact_location
        self._client: MlflowClient | None = None
        self._desk: Desk | None = None
        self._started: events.RunStarted | None = None
        self._began = 0
        self._history: list[events.Event] = []
        self._tree = 0
        self._sums = {"traffic/bytes_received": 0.0, "traffic/bytes_sent": 0.0, "time/seconds": 0.0, "time/rounds": 0.0}
        self._totals = dict.fromkeys(self._sums, 0.0)
        self._waiting: list[Metric] = []
        self._written = time.monotonic()

    def apply(self, event: events.Event, milliseconds: int) -> None:
        """Record one event, which happened at `milliseconds` since the epoch."""
        match event:
            case events.RunStarted():
                self._start(event, milliseconds)
            case events.ProtectionProven(scheme=scheme, key_bits=bits):
                self._tag({"riskfed.protection_proven": f"{scheme} {bits} bits" if bits else scheme})
                self._close_tree(self._tree, milliseconds)
            case events.RoundFinished():
                self._add_round(event)
            case events.ProgressMade(step=step, metrics=metrics) if step > 0:  # at 0, parties are being aligned
                self._history.append(event)
                self._add_progress(metrics, step, milliseconds)
                self._close_tree(step, milliseconds)
            case events.BankMetrics(bank=bank, metrics=metrics):
                self._history.append(event)
                own = {f"bank.{safe_name(bank)}/{name}": value for name, value in metrics.items()}
                self._measure(own, self._tree if _BY_TREE & metrics.keys() else 0, milliseconds)
            case events.ModelReleased(release=release):
                self._release(release, milliseconds)
            case events.AttemptFailed(attempt=attempt, reason=reason):
                self._tag({f"riskfed.attempt_{attempt}_lost": reason})
            case events.RunFailed(reason=reason):
                self._fail(reason, milliseconds)
            case events.RunFinished(seconds=seconds):
                self._finish(seconds, milliseconds)

    def flush(self, *, now: bool = True) -> None:
        """Write the metrics that wait: now, or if the last time is two seconds ago."""
        if not now and time.monotonic() - self._written < _BATCH_SECONDS:
            return
        while self._waiting and self.run_id is not None:
            self._mlflow.log_batch(self.run_id, metrics=self._waiting[:_BATCH], synchronous=True)
            del self._waiting[:_BATCH]
        self._written = time.monotonic()

    def abandon(self, reason: str) -> None:
        """Mark the run as failed, if MLflow still takes that; for a run whose record stays incomplete."""
        if self.run_id is not None:
            with contextlib.suppress(Exception):
                self._fail(reason, now())

    def log_exactness(self, run_id: str, identical: int, total: int) -> None:
        """Add to a run how many of the federation's trees equal those of the pooled model."""
        from mlflow.entities import Metric, RunTag

        when = now()
        figures = {"identical_trees": identical, "compared_trees": total}
        metrics = [Metric(f"exactness/{name}", float(value), when, total) for name, value in figures.items()]
        tags = [RunTag("riskfed.identical_to_pooled", f"{identical} of {total} trees")]
        self._mlflow.log_batch(run_id, metrics=metrics, tags=tags, synchronous=True)

    @property
    def _mlflow(self) -> MlflowClient:
        if self._client is None:
            self._client = connect(self._tracking_uri)
        return self._client

    @property
    def _run(self) -> str:
        if self.run_id is None:
            raise RuntimeError("the run has not started")
        return self.run_id

    def _start(self, event: events.RunStarted, milliseconds: int) -> None:
        from mlflow.entities import Param

        plan, self._started = event.plan, event
        self._began = self._began or milliseconds
        if self.run_id is None:
            experiment = self._experiment_id()
            self.run_id = self._resumed(experiment, plan) or self._created(experiment, plan, milliseconds)
        shown = [Param(name, text) for name, text in shown_parameters(event).items()]
        self._mlflow.log_batch(self._run, params=shown, synchronous=True)
        self._tag(
            {
                "riskfed.attempt": str(plan.attempt),
                "riskfed.plan_digest": plan.digest.hex(),
                "riskfed.roster": ", ".join(plan.roster),
                "riskfed.transport": event.transport,
                "schema_fingerprint": plan.schema_fingerprint,
            }
        )

    def _experiment_id(self) -> str:
        found = self._mlflow.get_experiment_by_name(self._experiment)
        if found:
            return str(found.experiment_id)
        return str(self._mlflow.create_experiment(self._experiment, self._artifact_location))

    def _resumed(self, experiment: str, plan: Plan) -> str | None:
        """A run that was cut off goes on in the same MLflow run; its first attempt never finds one."""
        if plan.attempt == 1:
            return None
        found = self._mlflow.search_runs([experiment], f"tags.`riskfed.run` = '{plan.run}'", max_results=1)
        if not found:
            return None
        self._mlflow.update_run(found[0].info.run_id, status="RUNNING")
        return str(found[0].info.run_id)

    def _created(self, experiment: str, plan: Plan, milliseconds: int) -> str:
        tags = {"riskfed.run": plan.run, "mlflow.source.name": "riskfed", "mlflow.source.type": "PROJECT"}
        kind = {MONITORING: "monitoring", "contribution": "contribution"}.get(plan.job.kind, "training")
        name = f"{kind}: {len(plan.roster)} {members(plan.protection)}, {plan.protection}"
        return str(self._mlflow.create_run(experiment, milliseconds, tags, run_name=name).info.run_id)

    def _add_progress(self, metrics: Mapping[str, float], step: int, milliseconds: int) -> None:
        """Figures by step. Jobs of one step report its figures as the final ones."""
        job = None if self._started is None else self._started.plan.job
        if job is not None and (grows_trees(job.kind) or job.most_steps > 1):
            self._measure({f"progress/{name}": value for name, value in metrics.items()}, step, milliseconds)

    def _add_round(self, event: events.RoundFinished) -> None:
        self._history.append(event)
        self._sums["traffic/bytes_received"] += sum(event.received.values())
        self._sums["traffic/bytes_sent"] += sum(event.sent.values())
        self._sums["time/seconds"] += event.seconds
        self._sums["time/rounds"] += 1

    def _close_tree(self, step: int, milliseconds: int) -> None:
        """Write what the rounds since the last tree came to."""
        self._tree = step
        self._measure(self._sums, step, milliseconds)
        for name, value in self._sums.items():
            self._totals[name] += value
        self._sums = dict.fromkeys(self._sums, 0.0)

    def _measure(self, metrics: Mapping[str, float], step: int, milliseconds: int) -> None:
        from mlflow.entities import Metric

        self._waiting.extend(Metric(name, float(value), milliseconds, step) for name, value in metrics.items())

    def _tag(self, tags: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        self._mlflow.log_batch(self._run, tags=[RunTag(k, v) for k, v in tags.items()], synchronous=True)

    def _release(self, release: ModelRelease, milliseconds: int) -> None:
        if self._started is None:
            raise RuntimeError("the run has not started")
        plan, trees = self._started.plan, tree_count(release)
        # The switchboard has compared the banks' releases: it emits the event only if all bytes are equal.
        agreed = {"exactness/banks_agree": 1.0, "exactness/fixed_point_bits": float(release.fixed_point_bits)}
        self._measure({**agreed, **({} if trees is None else {"valid/trees": float(trees)})}, 0, milliseconds)
        self.flush()
        if self._desk is None:
            self._desk = Desk(self._mlflow, self._acceptance, self._pictures, self._report)
        facts = run_facts(plan, release)
        if release.kind == MONITORING:
            self._monitor(release, self._desk, plan, facts, milliseconds)
            return
        if release.contribution is not None:
            line = contribution.headline(release.contribution, plan.protection)
            self._desk.lay_out(release, self._occasion(line, facts, milliseconds))
            return
        line = headline(release.metrics, len(plan.roster), plan.protection)
        self.verdict = self._desk.lay_out(release, self._occasion(line, facts, milliseconds))
        if release.form == "withheld":
            self._tag({"riskfed.gate": "the banks withheld the model: there is nothing to register"})
        elif self._model_name is not None:
            self._register(release, self._model_name, line, facts)

    def _monitor(
        self, release: ModelRelease, desk: Desk, plan: Plan, facts: Mapping[str, str], milliseconds: int
    ) -> None:
        """A monitoring job releases no model: it is laid out, and told at the monitored model's version."""
        line = monitoring.headline(release, milliseconds, len(plan.roster), plan.protection)
        told = {**facts, **monitoring.baseline_facts(self._mlflow, release)}
        self.verdict = desk.lay_out(release, self._occasion(line, told, milliseconds))
        monitoring.tell_versions(self._mlflow, release, self.verdict, milliseconds, self._run)

    def _occasion(self, line: str, facts: Mapping[str, str], milliseconds: int) -> Occasion:
        return Occasion(self._run, line, facts, self._report_facts(), self._history, self._tree, milliseconds)

    def _report_facts(self) -> dict[str, str]:
        """What `riskfed.tracking.release_artifact.load` gives of the run, as far as it is known now."""
        if self._started is None:
            return {}
        totals = {name: self._totals[name] + self._sums[name] for name in self._totals}
        size = totals["traffic/bytes_received"] + totals["traffic/bytes_sent"]
        return {
            **all_parameters(self._started),
            "run": self._started.plan.run,
            "started": datetime.fromtimestamp(self._began / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "rounds": f"{totals['time/rounds']:.0f}",
            "bytes": f"{size:.0f}",
        }

    def _register(self, release: ModelRelease, name: str, line: str, facts: Mapping[str, str]) -> None:
        if self.version is None:
            self.version = register(
                release,
                tracking_uri=self._tracking_uri,
                run_id=self._run,
                name=name,
                line=line,
                facts=facts,
                verdict=self.verdict,
            )
        self.gate_result = gate(self._tracking_uri, name, self.version)

    def _fail(self, reason: str, milliseconds: int) -> None:
        self.flush()
        verdict = f"failed: {reason}"
        self._tag({"riskfed.failure": reason[:5000], "mlflow.note.content": f"**{verdict[:5000]}**"})
        self._mlflow.update_run(self._run, name=verdict[:_NAME_LENGTH])
        self._mlflow.set_terminated(self._run, "FAILED", milliseconds)

    def _finish(self, seconds: float, milliseconds: int) -> None:
        ends = {name: self._totals[name] + self._sums[name] for name in self._totals}
        totals = {name.replace("/", "/total_"): value for name, value in ends.items()}
        self._measure({**totals, "time/run_seconds": seconds}, 0, milliseconds)
        self.flush()
        self._mlflow.set_terminated(self._run, "FINISHED", milliseconds)
