"""A released model as MLflow keeps it: its files, its signature, its requirements.

Whatever the kind, ``model.json`` holds the very bytes that the banks released and ``extra_files/schema.json`` their schema, so that whoever
scores encodes an applicant as the banks encoded their loans.

- Trees are an ordinary xgboost flavour. It takes the *encoded* columns (`Schema.columns`), as doubles, because that is what an xgboost
  Booster takes; integers would refuse missing values. Of a vertical model, they are the label holder's own columns and, behind them, one
  0/1 column for each split of a feature holder: 1 where the customer goes right (`riskfed.tracking.joint` says what else lies there).
- A scorecard, and a linear model in parts, is a python_function whose code (`riskfed.tracking.scorecard_scorer`) lies in the model's
  folder. It takes loan records as the schema names their columns and gives ``pd`` and ``points``; of a linear model in parts, a record has
  besides each partner's score, in a column that is named like the partner. The columns are declared without a type: MLflow refuses 64-bit
  integers for doubles, and pandas reads whole amounts as such.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd

from riskfed.errors import RegistryError
from riskfed.protocols.release import ModelRelease
from riskfed.protocols.release_verdict import linear_model_of, scorecard_of
from riskfed.schema import Feature, Schema
from riskfed.tracking.joint import write_parts
from riskfed.tracking.verdict import form_facts

_SCORER = Path(__file__).with_name("scorecard_scorer.py")


def save_model(release: ModelRelease, folder: Path, model_id: str, run_id: str) -> None:
    """Write an MLflow model to ``folder/model``.

    Raises:
        RegistryError: the released model cannot be loaded.
    """
    if (card := scorecard_of(release)) is not None:
        _save_card(release, {variable.feature for variable in card.variables}, folder, model_id, run_id)
    elif (linear := linear_model_of(release)) is not None:
        used = {term.feature for term in linear.own.terms} | set(linear.partners)
        _save_card(release, used, folder, model_id, run_id)
        write_parts(release, folder / "model")
    else:
        _save_booster(release, folder, model_id, run_id)


def _save_booster(release: ModelRelease, folder: Path, model_id: str, run_id: str) -> None:
    import mlflow.xgboost
    import xgboost
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec
    from mlflow.types import Schema as Columns

    try:
        booster = xgboost.Booster(model_file=bytearray(release.model))
    except xgboost.core.XGBoostError:
        raise RegistryError("the released booster cannot be loaded by xgboost; nothing was registered") from None
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
        extra_files=[str(_write_schema(release.schema, folder))],
    )
    # What banks released and what the registry holds must have one sha256, so the very bytes are stored.
    (folder / "model" / "model.json").write_bytes(release.model)
    write_parts(release, folder / "model")


def _save_card(release: ModelRelease, used: Collection[str], folder: Path, model_id: str, run_id: str) -> None:
    """Write a model of points; `used` are the features that it reads."""
    import mlflow.pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec
    from mlflow.types import Schema as Columns
    from mlflow.types.schema import AnyType

    inputs = [
        ColSpec(AnyType(), feature.name, feature.name in used)  # type: ignore[no-untyped-call]
        for feature in release.schema.features
    ]
    described = Model(model_id=model_id, model_uuid=model_id, run_id=run_id)
    source = _scorer_with_its_files(release, folder / "source")
    mlflow.pyfunc.save_model(
        str(folder / "model"),
        python_model=str(source / _SCORER.name),
        mlflow_model=described,
        signature=ModelSignature(Columns([*inputs]), Columns([ColSpec("double", "pd"), ColSpec("long", "points")])),
        input_example=record_example(release.schema),
        pip_requirements=[f"{name}=={version(name)}" for name in ("mlflow", "numpy", "pandas")],
        metadata={"schema_fingerprint": release.schema.fingerprint, **form_facts(release)},
    )
    shutil.copytree(source, folder / "model", dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    # MLflow writes where the code lay when it was saved; it is found beside the MLmodel file, and the path is nobody's business.
    described.flavors["python_function"]["model_code_path"] = _SCORER.name
    described.save(str(folder / "model" / "MLmodel"))


def _scorer_with_its_files(release: ModelRelease, folder: Path) -> Path:
    """A folder with the code and what it reads, as they will lie in the model's."""
    (folder / "extra_files").mkdir(parents=True)
    shutil.copyfile(_SCORER, folder / _SCORER.name)
    (folder / "model.json").write_bytes(release.model)
    _write_schema(release.schema, folder / "extra_files")
    return folder


def _write_schema(schema: Schema, folder: Path) -> Path:
    path = folder / "schema.json"
    path.write_text(json.dumps(schema.model_dump(mode="json"), indent=1))
    return path


def _xgboost_requirement() -> str:
    """The distribution that is installed: the default one brings CUDA, which scoring does not use."""
    try:
        return f"xgboost-cpu=={version('xgboost-cpu')}"
    except PackageNotFoundError:
        return f"xgboost=={version('xgboost')}"


def record_example(schema: Schema) -> pd.DataFrame:
    """One record, made of the schema's lower bounds and first levels."""
    return pd.DataFrame({feature.name: [_first(feature)] for feature in schema.features})


def encoded_example(schema: Schema) -> pd.DataFrame:
    """(1, len(schema.columns)) float64: `record_example`, encoded."""
    encoded = schema.encode(record_example(schema)).astype("float64")
    return pd.DataFrame(encoded, columns=list(schema.columns))


def _first(feature: Feature) -> Any:
    if feature.levels:
        return feature.levels[0]
    return next((bound for bound in (feature.minimum, feature.maximum) if bound is not None), 0.0)
