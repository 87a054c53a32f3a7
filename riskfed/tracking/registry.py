"""Put a released model into MLflow's registry. Which version becomes the champion is `riskfed.tracking.gate`'s to say.

The registered model is an ordinary xgboost flavour. It takes the *encoded* columns (`Schema.columns`), as doubles, because that is
what an xgboost Booster takes; integers would refuse missing values. Its schema lies beside it as ``extra_files/schema.json``, so
whoever scores encodes an applicant as the banks encoded their loans. Nothing registered holds a record's value.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from riskfed.errors import RegistryError
from riskfed.protocols.release import ModelRelease
from riskfed.schema import Feature, Schema
from riskfed.tracking.connection import connect, registry_errors
from riskfed.tracking.verdict import form_facts, note

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel


def register(
    release: ModelRelease,
    *,
    tracking_uri: str,
    run_id: str,
    name: str,
    verdict: str,
    facts: Mapping[str, str],
) -> str:
    """Register a released model as a new version of `name`.

    Args:
        release: the model.
        tracking_uri: ``sqlite:///...`` or an MLflow server's address.
        run_id: MLflow run that the model came from.
        name: registered model.
        verdict: first line of the description.
        facts: become tags, and lines of the description.

    Returns:
        The version.

    Raises:
        RegistryError: the banks withheld the model, it cannot be loaded, or MLflow does not take it.
    """
    client = connect(tracking_uri)
    if release.form == "withheld":
        raise RegistryError(
            f"the banks withheld the model, so nothing can be registered as {name}; the job's release says so"
        )
    tags = {**facts, **{k: repr(v) for k, v in release.metrics.items()}, **form_facts(release)}
    with registry_errors(f"model {name} could not be registered"):
        model = _log_model(client, release, run_id)
        _show_figures(client, release, run_id, model.model_id)
        _create_registered_model(client, name)
        version = client.create_model_version(
            name,
            # Not models:/<id>: a store without a server would look that up wherever MLflow's global address points.
            source=model.artifact_location,
            run_id=run_id,
            tags={**tags, "schema_fingerprint": release.schema.fingerprint},
            description=note(verdict, release, facts),
            model_id=model.model_id,
        )
    return str(version.version)


def _log_model(client: MlflowClient, release: ModelRelease, run_id: str) -> LoggedModel:
    """Upload the model as an output of the run, in the run's experiment."""
    run = client.get_run(run_id)
    model = client.create_logged_model(
        run.info.experiment_id, name="model", source_run_id=run_id, params=run.data.params, model_type="classifier"
    )
    with tempfile.TemporaryDirectory() as folder:
        _save(release, Path(folder), model.model_id, run_id)
        client.log_model_artifacts(model.model_id, f"{folder}/model")
    return client.finalize_logged_model(model.model_id, "READY")


def _save(release: ModelRelease, folder: Path, model_id: str, run_id: str) -> None:
    import mlflow.xgboost
    import xgboost
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec
    from mlflow.types import Schema as Columns

    try:
        booster = xgboost.Booster(model_file=bytearray(release.booster))
    except xgboost.core.XGBoostError:
        raise RegistryError("the released booster cannot be loaded by xgboost; nothing was registered") from None
    schema = folder / "schema.json"
    schema.write_text(json.dumps(release.schema.model_dump(mode="json"), indent=1))
    mlflow.xgboost.save_model(
        booster,
        str(folder / "model"),
        mlflow_model=Model(model_id=model_id, model_uuid=model_id, run_id=run_id),
        signature=ModelSignature(
            Columns([ColSpec("double", column) for column in release.schema.columns]), Columns([ColSpec("double")])
        ),
        input_example=encoded_example(release.schema),
        pip_requirements=[_xgboost_requirement()],
        model_format="json",
        metadata={"schema_fingerprint": release.schema.fingerprint, **form_facts(release)},
        extra_files=[str(schema)],
    )
    # What banks released and what the registry holds must have one sha256, so the very bytes are stored.
    (folder / "model" / "model.json").write_bytes(release.booster)


def _xgboost_requirement() -> str:
    """The distribution that is installed: the default one brings CUDA, which scoring does not use."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"xgboost-cpu=={version('xgboost-cpu')}"
    except PackageNotFoundError:
        return f"xgboost=={version('xgboost')}"


def encoded_example(schema: Schema) -> pd.DataFrame:
    """(1, len(schema.columns)) float64 example of a row, made of the schema's lower bounds and first levels."""
    values: dict[str, list[Any]] = {feature.name: [_first(feature)] for feature in schema.features}
    return pd.DataFrame(schema.encode(pd.DataFrame(values)).astype("float64"), columns=list(schema.columns))


def _first(feature: Feature) -> Any:
    if feature.levels:
        return feature.levels[0]
    return next((bound for bound in (feature.minimum, feature.maximum) if bound is not None), 0.0)


def _show_figures(client: MlflowClient, release: ModelRelease, run_id: str, model_id: str) -> None:
    """Put the run's final figures on the model's page, and the model on the run's."""
    from mlflow.entities import LoggedModelOutput, Metric

    metrics = []
    step = len(release.history)
    for name, value in release.metrics.items():
        logged = client.get_metric_history(run_id, f"valid/{name}")
        # The time and step that the run has them under: other ones would show every figure twice.
        when, step = (logged[-1].timestamp, logged[-1].step) if logged else (int(time.time() * 1000), step)
        metrics.append(Metric(f"valid/{name}", float(value), when, step, model_id=model_id, run_id=run_id))
    client.log_outputs(run_id, [LoggedModelOutput(model_id, step)])
    client.log_batch(run_id, metrics=metrics, synchronous=True)


def _create_registered_model(client: MlflowClient, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
