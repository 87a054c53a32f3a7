"""Settings for all tests: deterministic hypothesis, no telemetry."""

import os

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
