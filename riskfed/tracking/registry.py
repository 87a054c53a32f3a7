"""Put a released model into MLflow's registry. Which version becomes the champion is `riskfed.tracking.gate`'s to say.

The files are those of `riskfed.tracking.flavours`; nothing registered holds a record's value.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from riskfed.errors import RegistryError
from riskfed.evaluation.limits import Verdict
from riskfed.protocols.release import ModelRelease
from riskfed.tracking.connection import connect, registry_errors
from riskfed.tracking.flavours import save_model
from riskfed.tracking.measures import valid_metrics
from riskfed.tracking.model_card import model_card
from riskfed.tracking.verdict import COLOUR_TAG, form_facts, note

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel

_DESCRIPTION_LENGTH = 5000
"""MLflow's own limit on a tag is 8,000 characters; a description is kept readable."""


def register(
    release: ModelRelease,
    *,
    tracking_uri: str,
    run_id: str,
    name: str,
    line: str,
    facts: Mapping[str, str],
    verdict: Verdict | None = None,
) -> str:
    """Register a released model as a new version of `name`, and return the version.

    Args:
        release: the model.
        tracking_uri, run_id: MLflow's address, and its run that the model came from.
        name: registered model.
        line: headline; the first line of the description.
        facts: become tags, and lines of the description.
        verdict: on the release; the description then holds its checks and the model card.

    Raises:
        RegistryError: the banks withheld the model, it cannot be loaded, or MLflow does not take it.
    """
    client = connect(tracking_uri)
    if release.form == "withheld":
        raise RegistryError(
            f"the banks withheld the model, so nothing can be registered as {name}; the job's release says so"
        )
    with registry_errors(f"model {name} could not be registered"):
        model = _log_model(client, release, run_id)
        _show_figures(client, release, run_id, model.model_id)
        _create_registered_model(client, name)
        source = (
            model.artifact_location
        )  # not models:/<id>: without a server, that is looked up at MLflow's global address
        tags, description = _tags(line, release, facts, verdict), _description(name, line, release, facts, verdict)
        version = client.create_model_version(
            name, source, run_id, tags=tags, description=description, model_id=model.model_id
        )
    return str(version.version)


def _tags(line: str, release: ModelRelease, facts: Mapping[str, str], verdict: Verdict | None) -> dict[str, str]:
    figures = {name: repr(value) for name, value in release.metrics.items()}
    colour = {} if verdict is None else {COLOUR_TAG: verdict.colour}
    stated = {"headline": line, "schema_fingerprint": release.schema.fingerprint}
    return {**facts, **figures, **form_facts(release), **colour, **stated}


def _description(name: str, line: str, release: ModelRelease, facts: Mapping[str, str], verdict: Verdict | None) -> str:
    if release.evaluation is None:
        return note(line, release, facts)
    return model_card(name, line, release, facts, verdict)[:_DESCRIPTION_LENGTH]


def _log_model(client: MlflowClient, release: ModelRelease, run_id: str) -> LoggedModel:
    """Upload the model as an output of the run, in the run's experiment."""
    run = client.get_run(run_id)
    model = client.create_logged_model(
        run.info.experiment_id, name="model", source_run_id=run_id, params=run.data.params, model_type="classifier"
    )
    with tempfile.TemporaryDirectory() as folder:
        save_model(release, Path(folder), model.model_id, run_id)
        client.log_model_artifacts(model.model_id, f"{folder}/model")
    return client.finalize_logged_model(model.model_id, "READY")


def _show_figures(client: MlflowClient, release: ModelRelease, run_id: str, model_id: str) -> None:
    """Put the run's final figures on the model's page, and the model on the run's."""
    from mlflow.entities import LoggedModelOutput, Metric

    metrics = []
    step = len(release.history)
    for name, value in valid_metrics(release.metrics).items():
        logged = client.get_metric_history(run_id, name)
        # The time and step that the run has them under: other ones would show every figure twice.
        when, step = (logged[-1].timestamp, logged[-1].step) if logged else (int(time.time() * 1000), step)
        metrics.append(Metric(name, float(value), when, step, model_id=model_id, run_id=run_id))
    client.log_outputs(run_id, [LoggedModelOutput(model_id, step)])
    client.log_batch(run_id, metrics=metrics, synchronous=True)


def _create_registered_model(client: MlflowClient, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
