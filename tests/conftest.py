"""Settings for all tests: deterministic hypothesis, no telemetry."""

import os
from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, settings

os.environ.update(
    FLWR_TELEMETRY_ENABLED="0", FLWR_DISABLE_UPDATE_CHECK="1", MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true"
)

settings.register_profile(
    "suite",
    derandomize=True,
    deadline=None,
    max_examples=50,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],  # to explain a failure takes longer than a test may
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("suite")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with many slow tests first, so that two workers end together (with --no-loadscope-reorder)."""
    slow = Counter(
        item.path for item in items if item.get_closest_marker("slow") is not None or item.path.suffix == ".ipynb"
    )
    items.sort(key=lambda item: -slow[item.path])
