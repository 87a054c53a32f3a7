"""Translate a run's events into MLflow's terms: parameters, metrics by tree, pictures, the dataset's schema, the verdict.

A run has a thousand rounds and more. Traffic and seconds are summed over the rounds of a tree, and metrics are written in batches.

Sections of the chart view, by prefix of the metric: ``progress`` (pooled figures by tree), ``valid`` (final), ``traffic`` and
``time`` (by tree; the opening is step 0, and tree 1 carries the search for the cuts), ``exactness``, and ``bank.<name>`` for banks
that chose to show their own figures.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from riskfed.plan import Plan
from riskfed.protocols import events
from riskfed.protocols.release import ModelRelease
from riskfed.tracking.connection import connect
from riskfed.tracking.dataset import schema_dataset
from riskfed.tracking.gate import GateResult, gate
from riskfed.tracking.registry import register
from riskfed.tracking.verdict import form_facts, headline, note
from riskfed.trees.booster_json import parse_booster

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

Pictures = Callable[[ModelRelease, Sequence[events.Event]], Mapping[str, bytes]]
"""Draws a finished run: name -> PNG. Gets the release, and the rounds and progress in order."""

_BATCH = 1000
_BATCH_SECONDS = 2.0
_NAME_LENGTH = 250


class Recorder:
    """Writes one run. Every method may raise whatever MLflow raises, and may then be called again with the same arguments: what
    was written already is written again, with the same times, and MLflow keeps one of it.

    Attributes:
        run_id: MLflow's id, None before the first event.
        version: registered version, None before the release.
        gate_result: the gate's, None before the release.
    """

    def __init__(
        self,
        tracking_uri: str,
        experiment: str,
        model_name: str | None = None,
        pictures: Pictures | None = None,
        artifact_location: str | None = None,
    ) -> None:
        self.run_id: str | None = None
        self.version: str | None = None
        self.gate_result: GateResult | None = None
        self._tracking_uri = tracking_uri
        self._experiment = experiment
        self._model_name = model_name
        self._pictures = pictures
        self._artifact_location = artifact_location
        self._client: MlflowClient | None = None
        self._plan: Plan | None = None
        self._verdict = ""
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
            case events.ProgressMade(step=step, metrics=metrics):
                self._history.append(event)
                self._measure({f"progress/{name}": value for name, value in metrics.items()}, step, milliseconds)
                self._close_tree(step, milliseconds)
            case events.BankMetrics(bank=bank, metrics=metrics):
                own = {f"bank.{_safe(bank)}/{name}": value for name, value in metrics.items()}
                self._measure(own, self._tree, milliseconds)
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
                self._fail(reason, int(time.time() * 1000))

    def log_exactness(self, run_id: str, identical: int, total: int) -> None:
        """Add to a run how many of the federation's trees equal those of the pooled model."""
        from mlflow.entities import Metric, RunTag

        now = int(time.time() * 1000)
        figures = {"identical_trees": identical, "compared_trees": total}
        metrics = [Metric(f"exactness/{name}", float(value), now, total) for name, value in figures.items()]
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

        plan, self._plan = event.plan, event.plan
        if self.run_id is None:
            experiment = self._experiment_id()
            self.run_id = self._resumed(experiment, plan) or self._created(experiment, plan, milliseconds)
        job = {k: v if isinstance(v, str) else json.dumps(v) for k, v in plan.job.model_dump(mode="json").items()}
        shown = {
            **job,
            "protection": plan.protection,
            **({"key_bits": plan.key_bits} if plan.protection == "paillier" else {}),
            "banks": len(plan.roster),
            "roster": ", ".join(plan.roster),
            "transport": event.transport,
            "schema_fingerprint": plan.schema_fingerprint,
        }
        self._mlflow.log_batch(self._run, params=[Param(k, str(v)) for k, v in shown.items()], synchronous=True)
        self._tag({"riskfed.attempt": str(plan.attempt), "riskfed.plan_digest": plan.digest.hex()})

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
        name = f"training: {len(plan.roster)} banks, {plan.protection}"
        return str(self._mlflow.create_run(experiment, milliseconds, tags, run_name=name).info.run_id)

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
        plan = self._plan
        if plan is None:
            raise RuntimeError("the run has not started")
        trees = {"trees": len(parse_booster(release.booster)[0])} if release.booster else {}
        self._verdict = headline(release.metrics, len(plan.roster), plan.protection)
        # The switchboard has compared the banks' releases: it emits the event only if all bytes are equal.
        exactness = {"exactness/banks_agree": 1.0, "exactness/fixed_point_bits": float(release.fixed_point_bits)}
        final = {f"valid/{name}": value for name, value in release.metrics.items()}
        counted = {f"valid/{name}": float(value) for name, value in trees.items()}
        self._measure({**final, **exactness, **counted}, self._tree, milliseconds)
        self.flush()
        self._mlflow.log_inputs(self._run, [schema_dataset(release.schema)])
        self._mlflow.log_text(self._run, json.dumps(release.schema.model_dump(mode="json"), indent=1), "schema.json")
        told = {name: str(value) for name, value in trees.items()}
        facts = {"banks": ", ".join(plan.roster), "protection": plan.protection, **told}
        self._tag(
            {
                "mlflow.note.content": note(self._verdict, release, facts),
                "riskfed.verdict": self._verdict,
                **form_facts(release),
                "schema": f"{release.schema.name} {release.schema.version}",
            }
        )
        self._mlflow.update_run(self._run, name=self._verdict[:_NAME_LENGTH])
        self._draw(release)
        if release.form == "withheld":
            self._tag({"riskfed.gate": "the banks withheld the model: there is nothing to register"})
        elif self._model_name is not None:
            self._register(release, self._model_name, plan)

    def _draw(self, release: ModelRelease) -> None:
        if self._pictures is None:
            return
        from PIL import Image

        try:
            drawn = self._pictures(release, self._history)
        except Exception as error:  # a run without pictures is worth recording all the same
            self._tag({"riskfed.pictures": f"could not be drawn: {type(error).__name__}"})
            return
        for name, png in drawn.items():
            picture = Image.open(io.BytesIO(png))
            self._mlflow.log_image(self._run, picture, key=name, step=self._tree, synchronous=True)

    def _register(self, release: ModelRelease, name: str, plan: Plan) -> None:
        facts = {"protection": plan.protection, "banks": str(len(plan.roster)), "roster": ", ".join(plan.roster)}
        if self.version is None:
            self.version = register(
                release,
                tracking_uri=self._tracking_uri,
                run_id=self._run,
                name=name,
                verdict=self._verdict,
                facts=facts,
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
        self._measure({**totals, "time/run_seconds": seconds}, self._tree, milliseconds)
        self.flush()
        self._mlflow.set_terminated(self._run, "FINISHED", milliseconds)


def _safe(name: str) -> str:
    """A bank's name with the characters that MLflow takes in a metric's name."""
    return re.sub(r"[^A-Za-z0-9_.\- ]", "_", name)
