"""Monitoring runs: how a model in use does on recent loans, recorded beside the training runs and told at its registered version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from riskfed.evaluation.limits import Limits, Verdict
from riskfed.protocols import events
from riskfed.protocols.release import ModelRelease
from riskfed.tracking.connection import connect, registry_errors
from riskfed.tracking.desk import Desk, Occasion, Pictures, Report, now
from riskfed.tracking.standing import MONITORING_TAG, show_banner, stated

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion


def record(
    tracking_uri: str,
    experiment: str,
    release: ModelRelease,
    *,
    facts: Mapping[str, str],
    acceptance: Limits | None = None,
    pictures: Pictures | None = None,
    report: Report | None = None,
    history: Sequence[events.Event] = (),
    artifact_location: str | None = None,
) -> tuple[str, Verdict | None]:
    """Record a monitoring job's release as a run of its own, for a job that was not listened to.

    Args:
        tracking_uri, experiment: MLflow's address, and a name; the experiment is made if absent.
        release: of kind "model_monitoring".
        facts: ``banks`` (how many), ``protection``, ``roster`` and others, shown in the note.
        acceptance: limits; None takes the common ones.
        pictures, report, history, artifact_location: as for `riskfed.tracking.run.MlflowRun`.

    Returns:
        The run's id and the verdict; None where too few loans had an outcome.

    Raises:
        RegistryError: MLflow does not take it.
    """
    client = connect(tracking_uri)
    with registry_errors("the monitoring run could not be recorded"):
        found = client.get_experiment_by_name(experiment)
        where = found.experiment_id if found else client.create_experiment(experiment, artifact_location)
        when, tags = now(), {"mlflow.source.name": "riskfed"}
        run_id = str(client.create_run(where, when, tags, run_name="monitoring").info.run_id)
        told = {**facts, **baseline_facts(client, release)}
        line = headline(release, when, int(facts.get("banks", "0")), facts.get("protection", ""))
        occasion = Occasion(run_id, line, told, {"run": run_id, **facts}, history, milliseconds=when)
        verdict = Desk(client, acceptance or Limits(), pictures, report).lay_out(release, occasion)
        tell_versions(client, release, verdict, when, run_id)
        client.set_terminated(run_id)
    return run_id, verdict


def headline(release: ModelRelease, milliseconds: int, banks: int, protection: str) -> str:
    """One line, such as ``monitoring 2026-11: PSI 0.12, AUC 0.7701, KS 0.4102, 5 banks, masking``."""
    month = datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m")
    names = {"psi": "PSI {:.2f}", "auc": "AUC {:.4f}", "ks": "KS {:.4f}"}
    figures = [text.format(release.metrics[name]) for name, text in names.items() if name in release.metrics]
    return f"monitoring {month}: " + ", ".join([*(figures or ["nothing measured"]), f"{banks} banks", protection])


def baseline_facts(client: MlflowClient, release: ModelRelease) -> dict[str, str]:
    """What the monitored model's registered version stated when it was developed: the model's name, and its figures then."""
    versions = versions_of(client, release)
    if not versions:
        return {"monitored model": f"`{release.model_sha256[:12]}`, in no registry"}
    version = versions[0]
    then = {name: stated(version, name) for name in ("auc", "ks")}
    figures = [f"{name.upper()} {value:.4f}" for name, value in then.items() if value is not None]
    named = {"monitored model": f"{version.name} version {version.version}"}
    return {**named, **({"at development": ", ".join(figures)} if figures else {})}


def tell_versions(
    client: MlflowClient, release: ModelRelease, verdict: Verdict | None, milliseconds: int, run_id: str
) -> None:
    """Tag the registered versions of the monitored model with colour, date and run; renew the banner where one is the champion."""
    day = datetime.fromtimestamp(milliseconds / 1000, UTC).date().isoformat()
    colour = "not judged" if verdict is None else verdict.colour.upper()
    for version in versions_of(client, release):
        client.set_model_version_tag(version.name, version.version, MONITORING_TAG, f"{colour} {day}")
        client.set_model_version_tag(version.name, version.version, "monitoring_run", run_id)
        show_banner(client, version.name, "champion")


def versions_of(client: MlflowClient, release: ModelRelease) -> list[ModelVersion]:
    """Registered versions of the banks' model that a release names, the newest first."""
    found = client.search_model_versions(f"tags.bank_model_sha256 = '{release.model_sha256}'")
    return sorted(found, key=lambda version: -int(version.version))
