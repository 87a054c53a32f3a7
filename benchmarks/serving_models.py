"""The models that the serving benchmark serves: plain xgboost on all Taiwan records, registered, and as a python_function for MLflow."""

from __future__ import annotations

import hashlib
import json
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xgboost

from benchmarks import serving_mlflow_model
from benchmarks.model_figures import quality
from benchmarks.serving_processes import Server
from riskfed.datasets.taiwan import load_taiwan, taiwan_schema
from riskfed.protocols.release import ModelRelease
from riskfed.schema import Schema

NAME = "taiwan-default"
TREES, DEPTH = 100, 4
_HELD_OUT = 0.2


@dataclass(frozen=True, slots=True)
class Applicants:
    """Real records as JSON, and what XGBoost says of them.

    Attributes:
        records: field -> value, as the schema names the fields.
        pds: float32 PDs of the 100 trees, as Python floats.
    """

    records: tuple[dict[str, object], ...]
    pds: tuple[float, ...]


def taiwan_booster(trees: int = TREES) -> xgboost.Booster:
    """Plain xgboost on the Taiwan records but the held-out ones: `trees` trees of depth 4."""
    schema, frame = taiwan_schema(), load_taiwan()
    training = frame.iloc[: int(len(frame) * (1 - _HELD_OUT))]
    rows = xgboost.DMatrix(schema.encode(training), schema.labels(training), feature_names=list(schema.columns))
    settings = {"objective": "binary:logistic", "tree_method": "hist", "max_depth": DEPTH, "eta": 0.1, "nthread": 2}
    return xgboost.train(settings, rows, trees)


def release_of(booster: xgboost.Booster, trees: int = TREES) -> ModelRelease:
    """The first `trees` trees as a release, with their figures on the held-out records."""
    schema, frame = taiwan_schema(), load_taiwan()
    held_out = frame.iloc[int(len(frame) * (1 - _HELD_OUT)) :]
    first = booster[:trees]
    margins = first.predict(
        xgboost.DMatrix(schema.encode(held_out), feature_names=list(schema.columns)), output_margin=True
    )
    figures = quality(margins, schema.labels(held_out))
    metrics = {"auc": figures.auc, "ks": figures.ks, "logloss": figures.log_loss, "rows": float(len(held_out))}
    return ModelRelease(bytes(first.save_raw("json")), schema, metrics, [metrics], [], fixed_point_bits=40)


def applicants(booster: xgboost.Booster, rows: int, seed: int = 0) -> Applicants:
    """Records drawn from the Taiwan data."""
    schema = taiwan_schema()
    frame = load_taiwan().sample(rows, random_state=seed)
    matrix = xgboost.DMatrix(schema.encode(frame), feature_names=list(schema.columns))
    plain = frame[[feature.name for feature in schema.features]].astype(object)
    pds = np.asarray(booster.predict(matrix), dtype=np.float64)
    return Applicants(tuple(plain.to_dict("records")), tuple(float(pd_) for pd_ in pds))


def register_model(release: ModelRelease, registry: str, name: str = NAME) -> str:
    """Register a release as a new version; returns the version."""
    from riskfed.tracking.connection import connect
    from riskfed.tracking.registry import register

    client = connect(registry)
    experiment = client.get_experiment_by_name(name)
    found = client.create_experiment(name) if experiment is None else experiment.experiment_id
    run = client.create_run(found)
    facts = {"model_sha256": hashlib.sha256(release.model).hexdigest()}
    line = "plain xgboost on the Taiwan records"
    return register(release, tracking_uri=registry, run_id=run.info.run_id, name=name, line=line, facts=facts)


def move_alias(registry: Server, version: str, name: str = NAME) -> None:
    """Point the alias ``champion`` at a version, over MLflow's REST API."""
    content = json.dumps({"name": name, "alias": "champion", "version": version}).encode()
    url = f"{registry.address}/api/2.0/mlflow/registered-models/alias"
    request = urllib.request.Request(url, content, {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=60).close()


def save_for_mlflow(release: ModelRelease, scorer: str, folder: Path, *, signed: bool = True) -> Path:
    """Write the python_function of `benchmarks.serving_mlflow_model`; returns its folder.

    Args:
        release: the model.
        scorer: name of its class there.
        folder: to write to.
        signed: with a signature, to which MLflow's server holds every request.
    """
    import mlflow.pyfunc
    from mlflow.models import ModelSignature

    source = folder / scorer
    source.mkdir(parents=True)
    (source / "model.json").write_bytes(release.model)
    (source / "schema.json").write_text(json.dumps(release.schema.model_dump(mode="json")))
    chosen = f"\n\nfrom mlflow.models import set_model\n\nset_model({scorer}())\n"
    code = Path(serving_mlflow_model.__file__).read_text() + chosen
    (source / "scorer.py").write_text(code)
    mlflow.pyfunc.save_model(
        str(folder / f"{scorer}-model"),
        python_model=str(source / "scorer.py"),
        artifacts={"model": str(source / "model.json"), "schema": str(source / "schema.json")},
        pip_requirements=["mlflow"],
        signature=ModelSignature(_columns(release.schema)) if signed else None,
    )
    return folder / f"{scorer}-model"


def _columns(schema: Schema) -> object:
    from mlflow.types import ColSpec
    from mlflow.types import Schema as Columns

    kinds = ["double" if feature.encoding == "numeric" else "long" for feature in schema.features]
    return Columns([ColSpec(kind, feature.name) for kind, feature in zip(kinds, schema.features, strict=True)])


def mlflow_body(record: dict[str, object]) -> str:
    """An applicant as MLflow's server takes it."""
    return json.dumps({"dataframe_records": [record]})
