"""What a run left among its artifacts: the release, its evaluation and its verdict; read back by the gate and by ``riskfed report``."""

from __future__ import annotations

import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from pydantic import BaseModel, ValidationError

from riskfed.errors import RegistryError, RemoteProtocolError
from riskfed.evaluation.limits import Verdict
from riskfed.evaluation.record import Evaluation
from riskfed.protocols.release import ModelRelease
from riskfed.tracking.connection import connect, registry_errors

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_Record = TypeVar("_Record", bound=BaseModel)

RELEASE: Final = "release.json"
EVALUATION: Final = "evaluation.json"
VERDICT: Final = "verdict.json"
FACTS: Final = "run.json"
"""Facts of the run as texts by name: the job's parameters, banks, protection, transport."""
LIMITS: Final = "acceptance.json"
"""The limits that the verdict was held against."""


def load(tracking_uri: str, run_id: str) -> tuple[ModelRelease, dict[str, str]]:
    """The release of a run, and what else is known of the run: name -> text.

    The facts: ``run``, ``started``, ``finished`` (UTC), ``rounds``, ``bytes``, ``registered`` (name and version), ``acceptance``
    (the limits, JSON), where known; and ``banks``, ``roster``, ``protection``, ``transport`` and the job's parameters.

    Raises:
        RegistryError: MLflow cannot be reached, has no such run, or the run has no release.
    """
    client = connect(tracking_uri)
    with registry_errors(f"run {run_id} could not be read"):
        run = client.get_run(run_id)
        content = _artifact(client, tracking_uri, run_id, RELEASE)
        if content is None:
            raise RegistryError(f"run {run_id} has no {RELEASE}: it did not end well, or another program recorded it")
        limits = _artifact(client, tracking_uri, run_id, LIMITS)
        told = _artifact(client, tracking_uri, run_id, FACTS)
        versions = client.search_model_versions(f"run_id = '{run_id}'")
    try:
        release = ModelRelease.from_bytes(content)
    except RemoteProtocolError as error:
        raise RegistryError(f"{RELEASE} of run {run_id}: {error}; the run must be made again") from None
    registered = {"registered": f"{versions[0].name} version {versions[0].version}"} if versions else {}
    acceptance = {} if limits is None else {"acceptance": limits.decode()}
    facts: dict[str, str] = {} if told is None else json.loads(told)
    return release, {**facts, **_facts(run), **registered, **acceptance}


def load_verdict(tracking_uri: str, run_id: str) -> Verdict | None:
    """The verdict that the run was given, against the limits of that time; None where nothing was judged.

    Raises:
        RegistryError: MLflow cannot be reached, or has no such run.
    """
    client = connect(tracking_uri)
    with registry_errors(f"run {run_id} could not be read"):
        client.get_run(run_id)
        return stored_verdict(client, tracking_uri, run_id)


def stored_verdict(client: MlflowClient, tracking_uri: str, run_id: str) -> Verdict | None:
    """As `load_verdict`, with a client at hand."""
    return _read(Verdict, client, tracking_uri, run_id, VERDICT)


def stored_evaluation(client: MlflowClient, tracking_uri: str, run_id: str) -> Evaluation | None:
    """The evaluation of a run's release; None where there is none."""
    return _read(Evaluation, client, tracking_uri, run_id, EVALUATION)


def _read(kind: type[_Record], client: MlflowClient, tracking_uri: str, run_id: str, name: str) -> _Record | None:
    content = _artifact(client, tracking_uri, run_id, name)
    if content is None:
        return None
    try:
        return kind.model_validate_json(content)
    except ValidationError:
        raise RegistryError(f"{name} of run {run_id} is damaged; the run must be made again") from None


def _artifact(client: MlflowClient, tracking_uri: str, run_id: str, name: str) -> bytes | None:
    """An artifact of a run; None where there is none."""
    from mlflow.artifacts import download_artifacts

    if all(file.path != name for file in client.list_artifacts(run_id)):
        return None
    with tempfile.TemporaryDirectory() as folder:
        uri = f"runs:/{run_id}/{name}"
        return Path(download_artifacts(artifact_uri=uri, dst_path=folder, tracking_uri=tracking_uri)).read_bytes()


def _facts(run: Run) -> dict[str, str]:
    metrics, tags = run.data.metrics, run.data.tags
    size = sum(metrics.get(f"traffic/total_bytes_{way}", 0.0) for way in ("received", "sent"))
    found = {
        "run": tags.get("riskfed.run", run.info.run_id),
        "started": _moment(run.info.start_time),
        "finished": _moment(run.info.end_time),
        "rounds": f"{metrics['time/total_rounds']:.0f}" if "time/total_rounds" in metrics else "",
        "bytes": f"{size:.0f}" if size else "",
    }
    return {name: text for name, text in found.items() if text}


def _moment(milliseconds: int | None) -> str:
    return (
        "" if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    )
