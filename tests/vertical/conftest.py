"""No cryptography, unless a test asks for it."""

import pytest

from tests.vertical.setting import without_cryptography


@pytest.fixture
def plain(monkeypatch):
    """The cipher hides nothing."""
    without_cryptography(monkeypatch)
