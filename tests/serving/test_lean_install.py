"""The scoring service alone is small, and works without the packages of the other parts."""

from pathlib import Path

import pytest

from benchmarks.serving_install import UNWANTED, loaded_modules, measure_install
from tests.serving.models import SCHEMA, loans, make_release

LIMIT_MB = 120


def applicant() -> dict[str, object]:
    """One that meets the schema."""
    return dict(loans(1, 3)[[feature.name for feature in SCHEMA.features]].astype(object).to_dict("records")[0])


@pytest.mark.slow
def test_the_service_serves_from_a_fresh_environment_of_at_most_120_mb(tmp_path: Path) -> None:
    found = measure_install(make_release(), applicant(), tmp_path)
    assert 0 < found.pd < 1
    assert found.megabytes <= LIMIT_MB
    assert not UNWANTED & {name.removesuffix(".libs") for name in found.packages}


@pytest.mark.slow
def test_a_serving_process_loads_no_heavy_package(tmp_path: Path) -> None:
    loaded = loaded_modules(make_release(), applicant(), tmp_path)
    assert {"fastapi", "uvicorn", "uvloop", "numpy", "pydantic"} <= loaded
    assert not loaded & UNWANTED
