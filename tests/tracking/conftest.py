"""An MLflow store of its own for the tests."""

from functools import partial
from pathlib import Path

import pytest

from riskfed.tracking.run import MlflowRun


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Tracking URI of a new SQLite store. Its name is not MLflow's default one, so that use of a global address would show."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/tracking.db"


@pytest.fixture(scope="session")
def tracked(store: str) -> "partial[MlflowRun]":
    """MlflowRun on the store; files go beside it and not under the working directory."""
    return partial(MlflowRun, store, artifact_location=str(Path(store.removeprefix("sqlite:///")).parent / "files"))
