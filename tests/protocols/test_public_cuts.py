"""Cuts from the schema alone."""

import numpy as np
import pytest

from riskfed.protocols.public_cuts import public_cuts
from riskfed.schema import Feature
from tests.evaluation.loans import SCHEMA


@pytest.mark.parametrize("max_bin", [2, 3, 5, 16, 255, 256])
def test_no_column_has_more_bins_than_asked(max_bin: int) -> None:
    wide = Feature(name="amount", minimum=-1e9, maximum=1e9, nullable=False)
    schema = SCHEMA.model_copy(update={"features": (*SCHEMA.features, wide, Feature(name="free"))})
    cuts = public_cuts(schema, max_bin)
    assert len(cuts.n_bins) == len(schema.columns)
    assert cuts.n_bins.max() <= min(max_bin, 256)
    assert max_bin < 16 or cuts.n_bins[-1] > max_bin // 3


def test_special_values_and_levels_have_bins_of_their_own() -> None:
    cuts = public_cuts(SCHEMA, 32)
    income, months, grade, *purpose = range(len(SCHEMA.columns))

    def codes(column: int, values: list[float]) -> list[int]:
        found: list[int] = np.searchsorted(cuts.values[column], np.array(values, np.float32), "right").tolist()
        return found

    special = codes(months, [-2.0, -1.0, 0.5])
    assert len(set(special)) == 3
    assert len(set(codes(grade, [0, 1, 2, 3]))) == 4
    assert all(len(set(codes(column, [0, 1]))) == 2 for column in purpose)
    assert len(set(codes(income, [500.0, 5_000.0, 50_000.0]))) == 3
