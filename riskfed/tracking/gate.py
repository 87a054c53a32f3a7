"""The gate: a registered version becomes the champion only if it can be loaded back, scores as it should and is better."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from riskfed.tracking.connection import connect, registry_errors
from riskfed.tracking.model_check import model_faults

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

LEAST_AUC = 0.5
"""AUC of a coin; a model has to be above it."""
LEAST_GAIN = 1e-6
"""Least gain in AUC over the champion: any that is not rounding."""


@dataclass(frozen=True, slots=True)
class GateResult:
    """Whether a version may carry the alias, and why.

    Attributes:
        name, version: the version that was looked at.
        passed: it carries the alias now.
        reasons: what was found, in the order of the checks.
        auc: its AUC on held-out loans; None where none were held out.
        champion_version, champion_auc: the champion at that time; None where there was none, or it states no AUC.
    """

    name: str
    version: str
    passed: bool
    reasons: tuple[str, ...]
    auc: float | None
    champion_version: str | None
    champion_auc: float | None


def gate(
    tracking_uri: str, name: str, version: str, *, alias: str = "champion", minimum_gain: float = LEAST_GAIN
) -> GateResult:
    """Move `alias` to a version if it can be loaded back, scores as it should and beats the champion.

    The checks: the files carry the sha256 of the banks' release; xgboost and riskfed's own predictor give the same PD on the schema's
    example and on rows made of the model's own thresholds; the AUC on held-out loans is above 0.5 and at least `minimum_gain` (above 0)
    above the champion's. A sound version that does not beat the champion gets the alias ``challenger``. The reasons become tags.

    AUCs are as each model's own run measured them; the reasons say so where the held-out loans were not equally many.

    Raises:
        RegistryError: MLflow cannot be reached, or has no such version. What is wrong with the model itself is no error but a reason.
    """
    client = connect(tracking_uri)
    with registry_errors(f"model {name} version {version} could not be judged"):
        candidate = client.get_model_version(name, version)
        champion = _holder(client, name, alias)
        faults = _faults(client, candidate, tracking_uri)
        aucs = _auc_reasons(candidate, champion, minimum_gain)
        passed = not faults and aucs.passed
        result = GateResult(
            name=name,
            version=str(version),
            passed=passed,
            reasons=(*(faults or ("loads back and scores as xgboost does",)), *aucs.reasons),
            auc=_auc(candidate),
            champion_version=None if champion is None else str(champion.version),
            champion_auc=None if champion is None else _auc(champion),
        )
        _record(client, candidate, result, alias, sound=not faults)
    return result


@dataclass(frozen=True, slots=True)
class _Comparison:
    passed: bool
    reasons: tuple[str, ...]


def _auc_reasons(candidate: ModelVersion, champion: ModelVersion | None, minimum_gain: float) -> _Comparison:
    from mlflow.models import MetricThreshold
    from mlflow.models.evaluation import EvaluationResult
    from mlflow.models.evaluation.validation import ModelValidationFailedException, validate_evaluation_results

    auc = _auc(candidate)
    if champion is not None and str(champion.version) == str(candidate.version):
        return _Comparison(True, ("carries the alias already",))
    if auc is None:
        return _Comparison(False, ("states no AUC: hold out loans with validation_fraction",))
    if not auc > LEAST_AUC:
        return _Comparison(False, (f"AUC {auc:.4f} is not above {LEAST_AUC}",))
    if champion is None:
        return _Comparison(True, (f"AUC {auc:.4f} is above {LEAST_AUC}; there was no champion",))
    best = _auc(champion)
    told = [f"AUC {auc:.6f} against the champion's {best:.6f}" if best is not None else "the champion states no AUC"]
    if candidate.tags.get("rows") != champion.tags.get("rows"):
        told.append("the two AUCs come from different held-out loans")
    try:
        validate_evaluation_results(
            {"auc": MetricThreshold(min_absolute_change=minimum_gain, greater_is_better=True)},  # type: ignore[no-untyped-call]
            EvaluationResult({"auc": auc}, {}),  # type: ignore[no-untyped-call]
            EvaluationResult({} if best is None else {"auc": best}, {}),  # type: ignore[no-untyped-call]
        )
    except ModelValidationFailedException:
        return _Comparison(False, (*told, f"does not beat the champion by {minimum_gain:g}"))
    return _Comparison(True, (*told, "beats the champion"))


def _faults(client: MlflowClient, candidate: ModelVersion, tracking_uri: str) -> tuple[str, ...]:
    from mlflow.artifacts import download_artifacts

    location = client.get_model_version_download_uri(candidate.name, candidate.version)
    with tempfile.TemporaryDirectory() as folder:
        model = download_artifacts(artifact_uri=location, dst_path=folder, tracking_uri=tracking_uri)
        return model_faults(Path(model), candidate.tags.get("booster_sha256", ""))


def _record(client: MlflowClient, candidate: ModelVersion, result: GateResult, alias: str, *, sound: bool) -> None:
    name, version = result.name, result.version
    client.set_model_version_tag(name, version, "gate", "passed" if result.passed else "refused")
    client.set_model_version_tag(name, version, "gate_reasons", "; ".join(result.reasons)[:5000])
    if candidate.run_id:
        client.set_tag(candidate.run_id, "riskfed.gate", "; ".join(result.reasons)[:5000])
        _name_run(
            client, candidate.run_id, f"{alias if result.passed else 'challenger' if sound else 'refused'} v{version}"
        )
    if result.passed:
        client.set_registered_model_alias(name, alias, version)
        if "challenger" in candidate.aliases:
            client.delete_registered_model_alias(name, "challenger")
        auc = "" if result.auc is None else f", AUC {result.auc:.4f}"
        banner = (
            f"**{alias} of {name}: version {version}{auc}** (booster `{candidate.tags.get('booster_sha256', '')[:12]}`)"
        )
        if candidate.run_id:
            experiment = client.get_run(candidate.run_id).info.experiment_id
            client.set_experiment_tag(experiment, "mlflow.note.content", banner)
    elif sound:
        client.set_registered_model_alias(name, "challenger", version)


def _name_run(client: MlflowClient, run_id: str, standing: str) -> None:
    """Begin the run's name with its model's standing, which replaces an earlier one."""
    tags = client.get_run(run_id).data.tags
    verdict = tags.get("riskfed.verdict", "")
    client.update_run(run_id, name=f"{standing}: {verdict}"[:250] if verdict else standing)


def _holder(client: MlflowClient, name: str, alias: str) -> ModelVersion | None:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):  # which one depends on the store
            return None
        raise


def _auc(version: ModelVersion) -> float | None:
    try:
        return float(version.tags["auc"])
    except (KeyError, ValueError):
        return None
