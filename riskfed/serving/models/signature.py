"""The signature in a model's MLmodel file: what MLflow and its other users take the model's inputs to be.

It is not what this service scores by; that is the schema. A signature with other inputs means that two models' files were mixed, or that a
person registered something by hand, so such a model is refused.
"""

from __future__ import annotations

import json
from typing import Any

import yaml  # type: ignore[import-untyped, unused-ignore]

from riskfed.errors import RegistryError
from riskfed.linear_model import is_vertical_logistic
from riskfed.schema import Schema
from riskfed.scoring import is_scorecard
from riskfed.serving.models.source import ModelFiles

# libyaml where it is there; either one makes plain values only, never objects.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def check_signature(mlmodel: bytes, files: ModelFiles) -> None:
    """Compare the signature's inputs with those of the schema, names and order: see `expected_inputs`.

    Args:
        mlmodel: the MLmodel file, YAML, of limited length; its signature holds JSON.
        files: the model.

    Raises:
        RegistryError: they differ, or there is no signature.
    """
    named = _named_inputs(mlmodel)
    if named is None:
        raise RegistryError(f"model {files.reference}: its MLmodel file has no signature; register the model again")
    expected = expected_inputs(files.model, files.schema)
    if named != expected:
        raise RegistryError(
            f"model {files.reference}: its signature names {len(named)} inputs, which are not the {len(expected)} of its schema, "
            "in order; register the model again"
        )


def expected_inputs(model: bytes, schema: Schema) -> tuple[str, ...]:
    """Inputs that `riskfed.tracking.flavours` declares: of trees the encoded columns, of other models the features."""
    by_feature = is_scorecard(model) or is_vertical_logistic(model)
    return tuple(feature.name for feature in schema.features) if by_feature else schema.columns


def _named_inputs(mlmodel: bytes) -> tuple[str, ...] | None:
    try:
        signature: Any = yaml.load(mlmodel, Loader=_Loader)["signature"]  # noqa: S506 (a safe loader)
        return tuple(str(column["name"]) for column in json.loads(signature["inputs"]))
    except (yaml.YAMLError, ValueError, TypeError, LookupError, RecursionError):
        return None
