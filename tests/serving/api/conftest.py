"""The API over a small real model."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving.api.client import Api


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    api = Api(tmp_path)
    yield api
    api.close()
