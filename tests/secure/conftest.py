"""Paillier keys are short here, so that tests are quick; the check of their length is tested with its real limit."""

from collections.abc import Iterator

import pytest

from riskfed.secure import PaillierKey, generate_paillier_key, paillier_key
from tests.secure.banks import SHORT_KEY_BITS


@pytest.fixture(scope="module")
def short_keys() -> Iterator[None]:
    """Allow Paillier keys of SHORT_KEY_BITS in this file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paillier_key, "MINIMUM_KEY_BITS", SHORT_KEY_BITS)
        yield


@pytest.fixture(scope="session")
def short_key() -> PaillierKey:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paillier_key, "MINIMUM_KEY_BITS", SHORT_KEY_BITS)
        return generate_paillier_key(SHORT_KEY_BITS)
