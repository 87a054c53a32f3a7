"""MLflow's client, loaded when first needed: importing it takes seconds and hundreds of megabytes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from riskfed.errors import RegistryError

if TYPE_CHECKING:
    from mlflow import MlflowClient


def connect(tracking_uri: str) -> MlflowClient:
    """A client of its own for `tracking_uri` (``sqlite:///...`` or an MLflow server's address); no global state is touched."""
    # MLflow reports its usage to its makers unless told otherwise before it is imported. Here, the operator has to ask for that.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient

    with registry_errors("MLflow cannot be used"):
        return MlflowClient(tracking_uri, tracking_uri)


@contextlib.contextmanager
def registry_errors(what: str) -> Iterator[None]:
    """Turn what MLflow, its transport or its store raise into a RegistryError that starts with `what`."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:  # requests' errors are OSErrors
        raise RegistryError(f"{what}: {str(error)[:500]}; the operator of MLflow must act") from error
