"""Who is champion: aliases, the names of runs that say so, and the experiment's banner."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from riskfed.tracking.verdict import COLOUR_TAG, run_name

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CHALLENGER = "challenger"
MONITORING_TAG = "monitoring"
"""Tag of a registered version: colour and date of its latest monitoring."""
_SINCE_TAG = "{alias}_since"


def holder(client: MlflowClient, name: str, alias: str) -> ModelVersion | None:
    """The version that carries an alias; None where there is no such alias or model."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):  # which one depends on the store
            return None
        raise


def stated(version: ModelVersion, figure: str) -> float | None:
    """A figure of a version's tags; None where it states none."""
    try:
        return float(version.tags[figure])
    except (KeyError, ValueError):
        return None


def crown(client: MlflowClient, version: ModelVersion, alias: str) -> None:
    """Give a version an alias, tell who had it before, and renew the banner."""
    before = holder(client, version.name, alias)
    if before is not None and _is_other(before, version) and before.run_id:
        name_run(client, before.run_id, f"former {alias} v{before.version}")
    client.set_registered_model_alias(version.name, alias, version.version)
    challenger = holder(client, version.name, CHALLENGER)
    if alias != CHALLENGER and challenger is not None and not _is_other(challenger, version):
        client.delete_registered_model_alias(version.name, CHALLENGER)
    if _SINCE_TAG.format(alias=alias) not in version.tags or before is None or _is_other(before, version):
        client.set_model_version_tag(version.name, version.version, _SINCE_TAG.format(alias=alias), today())
    if version.run_id:
        name_run(client, version.run_id, f"{alias} v{version.version}")
    show_banner(client, version.name, alias)


def challenge(client: MlflowClient, version: ModelVersion) -> None:
    """Give a version the alias ``challenger``."""
    before = holder(client, version.name, CHALLENGER)
    if before is not None and _is_other(before, version) and before.run_id:
        name_run(client, before.run_id, f"v{before.version}")
    client.set_registered_model_alias(version.name, CHALLENGER, version.version)
    if version.run_id:
        name_run(client, version.run_id, f"{CHALLENGER} v{version.version}")


def name_run(client: MlflowClient, run_id: str, standing: str) -> None:
    """Let a run's name tell its model's standing, which replaces an earlier one."""
    client.update_run(run_id, name=run_name(client.get_run(run_id).data.tags, standing))


def show_banner(client: MlflowClient, name: str, alias: str) -> None:
    """Renew the line above the runs of the champion's experiment."""
    version = holder(client, name, alias)
    if version is None or not version.run_id:
        return
    experiment = client.get_run(version.run_id).info.experiment_id
    client.set_experiment_tag(experiment, "mlflow.note.content", banner(version, alias))


def banner(version: ModelVersion, alias: str) -> str:
    """One line of Markdown: alias, name, version, AUC with its interval, verdict, date, monitoring."""
    auc, low, high = (stated(version, figure) for figure in ("auc", "auc_low", "auc_high"))
    told = [f"version {version.version}"]
    if auc is not None:
        told.append(f"AUC {auc:.4f}" + ("" if low is None or high is None else f" (95 % {low:.4f} to {high:.4f})"))
    if COLOUR_TAG in version.tags:
        told.append(f"verdict {version.tags[COLOUR_TAG].upper()}")
    if (since := version.tags.get(_SINCE_TAG.format(alias=alias))) is not None:
        told.append(f"since {since}")
    if (seen := version.tags.get(MONITORING_TAG)) is not None:
        told.append(f"monitoring {seen}")
    return f"**{alias} of {version.name}: {', '.join(told)}**"


def today() -> str:
    """The date, UTC, ISO 8601."""
    return datetime.now(UTC).date().isoformat()


def _is_other(one: ModelVersion, other: ModelVersion) -> bool:
    return str(one.version) != str(other.version)
