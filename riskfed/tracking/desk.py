"""What an analyst finds in a finished run: figures by section, cards, tables, model card, validation report, and the verdict on top."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from riskfed.evaluation.limits import Limits, Verdict
from riskfed.jobs import grows_trees
from riskfed.plan import Plan
from riskfed.protocols import events
from riskfed.protocols.release import ModelRelease
from riskfed.protocols.release_verdict import judge_release, linear_model_of, scorecard_of
from riskfed.scorecard.tables import as_text
from riskfed.tracking import contribution
from riskfed.tracking.cards import log_cards
from riskfed.tracking.dataset import schema_dataset
from riskfed.tracking.joint import common_facts, joint_metrics
from riskfed.tracking.measures import section_metrics, valid_metrics
from riskfed.tracking.model_card import model_card
from riskfed.tracking.parameters import members_facts
from riskfed.tracking.release_artifact import EVALUATION, FACTS, LIMITS, RELEASE, VERDICT
from riskfed.tracking.tables import tables_of
from riskfed.tracking.verdict import form_facts, note, run_name, verdict_tags
from riskfed.trees.booster_json import parse_booster

if TYPE_CHECKING:
    from mlflow import MlflowClient

Pictures = Callable[[ModelRelease, Sequence[events.Event]], Mapping[str, bytes]]
"""Draws a finished run: name -> PNG. Gets the release, and the rounds, progress and banks' own figures in order."""
Report = Callable[[ModelRelease, Verdict | None, Mapping[str, str]], str]
"""Writes the validation report, one HTML document. Gets the release, the verdict on it, and facts of the run by name."""

MONITORING = "model_monitoring"
"""Kind of a release that holds no model but figures of one in use."""
_TABLES_TAG = "mlflow.loggedArtifacts"
"""Names the JSON files that MLflow's page shows as tables."""


@dataclass(frozen=True, slots=True)
class Occasion:
    """What is known of a run besides its release.

    Attributes:
        run_id: MLflow's.
        line: headline.
        facts: shown in note, model card and description.
        report_facts: for the validation report; see `riskfed.tracking.release_artifact.load`.
        history: for the pictures.
        step: that the pictures are logged at, the last tree.
        milliseconds: at which the figures are logged.
    """

    run_id: str
    line: str
    facts: Mapping[str, str]
    report_facts: Mapping[str, str] = field(default_factory=dict)
    history: Sequence[events.Event] = ()
    step: int = 0
    milliseconds: int = 0


class Desk:
    """Lays out finished runs. `lay_out` may be called again after a failure: what is there already is not doubled.

    Args:
        client: MLflow's.
        acceptance: limits that verdicts are held against.
        pictures, report: None leaves them out.
    """

    def __init__(
        self, client: MlflowClient, acceptance: Limits, pictures: Pictures | None = None, report: Report | None = None
    ) -> None:
        self._client = client
        self._acceptance = acceptance
        self._pictures = pictures
        self._report = report

    def lay_out(self, release: ModelRelease, occasion: Occasion) -> Verdict | None:
        """Log all that a release gives; returns the verdict, None where nothing was evaluated."""
        occasion = replace(occasion, report_facts={**occasion.report_facts, **_bank_figures(occasion.history)})
        verdict = judge_release(release, self._acceptance)
        self._log_figures(release, occasion)
        self._client.log_inputs(occasion.run_id, [schema_dataset(release.schema)])
        tags = verdict_tags(occasion.line, verdict)
        told = note(occasion.line, release, occasion.facts, verdict)
        if release.contribution is not None:
            told = contribution.note(occasion.line, release, occasion.facts)
        self._tag(
            occasion.run_id,
            {
                "mlflow.note.content": told,
                **tags,
                **form_facts(release),
                "schema": f"{release.schema.name} {release.schema.version}",
            },
        )
        self._client.update_run(occasion.run_id, name=run_name(tags))
        self._log_files(release, verdict, occasion)
        self._draw(release, occasion)
        return verdict

    def _tag(self, run_id: str, tags: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        self._client.log_batch(run_id, tags=[RunTag(k, v) for k, v in tags.items()], synchronous=True)

    def _log_figures(self, release: ModelRelease, occasion: Occasion) -> None:
        from mlflow.entities import Metric

        figures = valid_metrics(release.metrics)
        if release.evaluation is not None:
            figures |= section_metrics(release.evaluation, scorecard_of(release))
        figures |= {**joint_metrics(release), **contribution.metrics(release)}
        # Step 0: MLflow draws a bar for a single figure there, and a line with one point anywhere else.
        metrics = [Metric(name, float(value), occasion.milliseconds, 0) for name, value in figures.items()]
        self._client.log_batch(occasion.run_id, metrics=metrics, synchronous=True)

    def _log_files(self, release: ModelRelease, verdict: Verdict | None, occasion: Occasion) -> None:
        card = scorecard_of(release)
        tables = {**tables_of(release.evaluation, verdict, card), **contribution.tables(release)}
        files = {
            RELEASE: release.to_bytes().decode(),
            FACTS: json.dumps(dict(occasion.report_facts), indent=1),
            "schema.json": json.dumps(release.schema.model_dump(mode="json"), indent=1),
            **{f"tables/{name}.json": table.to_json() for name, table in tables.items()},
        }
        if release.contribution is None:
            files["model_card.md"] = model_card(release.schema.name, occasion.line, release, occasion.facts, verdict)
        if release.evaluation is not None:
            files[EVALUATION] = release.evaluation.model_dump_json(indent=1)
        if verdict is not None:
            files |= {VERDICT: verdict.model_dump_json(indent=1), LIMITS: self._acceptance.model_dump_json(indent=1)}
        if card is not None:
            files["points_card.md"] = as_text(card)
        if (linear := linear_model_of(release)) is not None:
            files["points_card.md"] = linear.as_text(release.schema)
        if (report := self._written(release, verdict, occasion)) is not None:
            files["report/validation_report.html"] = report
        with tempfile.TemporaryDirectory() as folder:
            for name, text in files.items():
                path = Path(folder, name)
                path.parent.mkdir(exist_ok=True)
                path.write_text(text)
            self._client.log_artifacts(occasion.run_id, folder)
        shown = [{"path": f"tables/{name}.json", "type": "table"} for name in tables]
        self._tag(occasion.run_id, {_TABLES_TAG: json.dumps(shown)})

    def _written(self, release: ModelRelease, verdict: Verdict | None, occasion: Occasion) -> str | None:
        if self._report is None or release.contribution is not None:
            return None
        try:
            return self._report(release, verdict, occasion.report_facts)
        except Exception as error:  # a run without a report is worth recording all the same
            self._tag(occasion.run_id, {"riskfed.report": f"could not be written: {type(error).__name__}"})
            return None

    def _draw(self, release: ModelRelease, occasion: Occasion) -> None:
        if self._pictures is None:
            return
        try:
            drawn = self._pictures(release, occasion.history)
        except Exception as error:  # nor does a run need pictures
            self._tag(occasion.run_id, {"riskfed.pictures": f"could not be drawn: {type(error).__name__}"})
            return
        log_cards(self._client, occasion.run_id, drawn, step=occasion.step, milliseconds=occasion.milliseconds)


def _bank_figures(history: Sequence[events.Event]) -> dict[str, str]:
    """The report's fact ``bank_figures``: the latest figures of each bank that shows its own; empty where none does."""
    latest: dict[str, dict[str, float]] = {}
    for event in history:
        if isinstance(event, events.BankMetrics):
            latest.setdefault(event.bank, {}).update(event.metrics)
    return {"bank_figures": json.dumps(latest, sort_keys=True)} if latest else {}


def tree_count(release: ModelRelease) -> int | None:
    """How many trees were released; None for a model of another kind, and where it was withheld."""
    if not release.model or not grows_trees(release.kind):
        return None
    return len(parse_booster(release.model).trees)


def run_facts(plan: Plan, release: ModelRelease) -> dict[str, str]:
    """What readers are told of a run: who took part under which protection, and the model's size, as texts by name."""
    trees = tree_count(release)
    return {**members_facts(plan), **common_facts(release), **({} if trees is None else {"trees": str(trees)})}


def now() -> int:
    """Milliseconds since the epoch, as MLflow counts."""
    return int(time.time() * 1000)
