"""The gate: a registered version becomes the champion only if it can be loaded back, scores as it should and is better."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from riskfed.evaluation.limits import Colour, Verdict
from riskfed.evaluation.record import Evaluation
from riskfed.tracking.connection import connect, registry_errors
from riskfed.tracking.joint import other_columns
from riskfed.tracking.model_check import model_faults
from riskfed.tracking.release_artifact import stored_evaluation, stored_verdict
from riskfed.tracking.standing import challenge, crown, holder, name_run, stated

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.models import MetricThreshold

LEAST_AUC = 0.5
"""AUC of a coin; a model has to be above it."""
LEAST_GAIN = 1e-6
"""Least gain in AUC over the champion: any that is not rounding."""


@dataclass(frozen=True, slots=True)
class GateResult:
    """Whether a version may carry the alias, and why.

    Attributes:
        name, version: the version that was looked at.
        passed: it may carry the alias; after `gate`, it does.
        reasons: what was found, in the order of the checks.
        auc: its AUC on held-out loans; None where none were held out.
        champion_version, champion_auc: the champion at that time; None where there was none, or it states no AUC.
        sound: it loads back and scores as it should, whatever its figures are.
        colour: of its verdict; None where nothing was judged.
    """

    name: str
    version: str
    passed: bool
    reasons: tuple[str, ...]
    auc: float | None
    champion_version: str | None
    champion_auc: float | None
    sound: bool = True
    colour: Colour | None = None


def gate(
    tracking_uri: str, name: str, version: str, *, alias: str = "champion", minimum_gain: float = LEAST_GAIN
) -> GateResult:
    """Move `alias` to a version if `look` finds nothing against it. A sound version that does not pass gets the alias ``challenger``.
    The reasons become tags.

    Raises:
        RegistryError: MLflow cannot be reached, or has no such version. What is wrong with the model itself is no error but a reason.
    """
    client = connect(tracking_uri)
    with registry_errors(f"model {name} version {version} could not be judged"):
        candidate = client.get_model_version(name, version)
        result = look(client, tracking_uri, candidate, alias=alias, minimum_gain=minimum_gain)
        _record(client, candidate, result, alias)
        return result


def look(
    client: MlflowClient, tracking_uri: str, candidate: ModelVersion, *, alias: str, minimum_gain: float = LEAST_GAIN
) -> GateResult:
    """Hold a version against its limits and the champion; nothing is changed.

    The checks: the files carry the sha256 of the banks' release; the registered model and riskfed's own scoring engine give the same PDs;
    no figure is beyond its red limit; the AUC on held-out loans is above 0.5 and at least `minimum_gain` (above 0) above the champion's.
    AUCs are on the same loans where the banks measured the champion beside the new model; otherwise as each model's own run measured
    them, and the reasons say so where the held-out loans were not equally many.
    """
    champion = holder(client, candidate.name, alias)
    faults = _faults(client, candidate, tracking_uri)
    evaluation, verdict = None, None
    if candidate.run_id:
        evaluation = stored_evaluation(client, tracking_uri, candidate.run_id)
        verdict = stored_verdict(client, tracking_uri, candidate.run_id)
    judged = _judged(candidate, champion, _Material(evaluation, verdict), minimum_gain)
    return GateResult(
        name=candidate.name,
        version=str(candidate.version),
        passed=not faults and judged.passed,
        reasons=(*(faults or ("loads back and scores as the scoring engine does",)), *judged.reasons),
        auc=stated(candidate, "auc"),
        champion_version=None if champion is None else str(champion.version),
        champion_auc=None if champion is None else stated(champion, "auc"),
        sound=not faults,
        colour=None if verdict is None else verdict.colour,
    )


@dataclass(frozen=True, slots=True)
class _Material:
    """What the candidate's run recorded."""

    evaluation: Evaluation | None
    verdict: Verdict | None


@dataclass(frozen=True, slots=True)
class _Judged:
    passed: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Rivals:
    """The two AUCs to compare; `best` is None where the champion states none."""

    auc: float
    best: float | None
    told: tuple[str, ...]


def _judged(
    candidate: ModelVersion, champion: ModelVersion | None, material: _Material, minimum_gain: float
) -> _Judged:
    if champion is not None and str(champion.version) == str(candidate.version):
        return _Judged(True, ("carries the alias already",))
    auc, verdict = stated(candidate, "auc"), material.verdict
    if auc is None or not auc > LEAST_AUC:
        states = "states no AUC: hold out loans with validation_fraction"
        return _Judged(False, (states if auc is None else f"AUC {auc:.4f} is not above {LEAST_AUC}",))
    told = () if verdict is None else (f"verdict {verdict.colour}", *verdict.reasons)
    if verdict is not None and not _within_limits(verdict):
        return _Judged(False, (*told, "beyond a red limit: only a person can promote it"))
    if champion is None:
        return _Judged(True, (*told, f"AUC {auc:.4f} is above {LEAST_AUC}; there was no champion"))
    if why := other_columns(candidate, champion):
        return _Judged(False, (*told, why))
    rivals = _same_loans(material.evaluation, champion) or _own_loans(auc, candidate, champion)
    better = _gains(rivals, minimum_gain)
    outcome = "beats the champion" if better else f"does not beat the champion by {minimum_gain:g}"
    return _Judged(better, (*told, *rivals.told, outcome))


def _same_loans(evaluation: Evaluation | None, champion: ModelVersion) -> _Rivals | None:
    """Both AUCs on the very same loans, where the banks measured this champion beside the new model."""
    swap = None if evaluation is None else evaluation.swap
    if evaluation is None or swap is None or swap.champion_sha256 != champion.tags.get("bank_model_sha256"):
        return None
    auc, gain = evaluation.discrimination.auc.value, swap.auc_difference
    interval = "" if gain.low is None or gain.high is None else f" (95 % {gain.low:+.4f} to {gain.high:+.4f})"
    told = (
        f"on the same loans AUC {auc:.6f} against the champion's {swap.champion_auc:.6f}, {gain.value:+.4f}{interval}"
    )
    return _Rivals(auc, swap.champion_auc, (told,))


def _own_loans(auc: float, candidate: ModelVersion, champion: ModelVersion) -> _Rivals:
    best = stated(champion, "auc")
    told = [f"AUC {auc:.6f} against the champion's {best:.6f}" if best is not None else "the champion states no AUC"]
    if candidate.tags.get("rows") != champion.tags.get("rows"):
        told.append("the two AUCs come from different held-out loans")
    return _Rivals(auc, best, tuple(told))


def _within_limits(verdict: Verdict) -> bool:
    """No figure is beyond its red limit."""
    from mlflow.models import MetricThreshold

    thresholds = {
        check.name: MetricThreshold(threshold=check.limit.red, greater_is_better=check.is_least)  # type: ignore[no-untyped-call]
        for check in verdict.checks
        if check.limit.red is not None
    }
    return _valid(thresholds, {check.name: check.value for check in verdict.checks}, None)


def _gains(rivals: _Rivals, minimum_gain: float) -> bool:
    from mlflow.models import MetricThreshold

    threshold = MetricThreshold(min_absolute_change=minimum_gain, greater_is_better=True)  # type: ignore[no-untyped-call]
    return _valid({"auc": threshold}, {"auc": rivals.auc}, {} if rivals.best is None else {"auc": rivals.best})


def _valid(
    thresholds: dict[str, MetricThreshold], candidate: Mapping[str, float], baseline: Mapping[str, float] | None
) -> bool:
    import mlflow
    from mlflow.models.evaluation import EvaluationResult
    from mlflow.models.evaluation.validation import ModelValidationFailedException

    found = EvaluationResult(dict(candidate), {})  # type: ignore[no-untyped-call]
    # The gate has words of its own for what passes and what does not.
    logging.getLogger("mlflow.models.evaluation.validation").setLevel(logging.WARNING)
    held_against = None if baseline is None else EvaluationResult(dict(baseline), {})  # type: ignore[no-untyped-call]
    try:
        mlflow.validate_evaluation_results(thresholds, found, held_against)
    except ModelValidationFailedException:
        return False
    return True


def _faults(client: MlflowClient, candidate: ModelVersion, tracking_uri: str) -> tuple[str, ...]:
    from mlflow.artifacts import download_artifacts

    location = client.get_model_version_download_uri(candidate.name, candidate.version)
    with tempfile.TemporaryDirectory() as folder:
        model = download_artifacts(artifact_uri=location, dst_path=folder, tracking_uri=tracking_uri)
        return model_faults(Path(model), candidate.tags)


def _record(client: MlflowClient, candidate: ModelVersion, result: GateResult, alias: str) -> None:
    reasons = "; ".join(result.reasons)[:5000]
    client.set_model_version_tag(result.name, result.version, "gate", "passed" if result.passed else "refused")
    client.set_model_version_tag(result.name, result.version, "gate_reasons", reasons)
    if candidate.run_id:
        client.set_tag(candidate.run_id, "riskfed.gate", reasons)
    if result.passed:
        crown(client, candidate, alias)
    elif result.sound:
        challenge(client, candidate)
    elif candidate.run_id:
        name_run(client, candidate.run_id, f"refused v{candidate.version}")
