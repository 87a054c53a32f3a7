"""Reason codes: the largest adverse contributions in a defined order, and counts of them that add up over banks."""

import numpy as np
import pytest
import xgboost
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from riskfed.errors import ConfigurationError
from riskfed.evaluation.reasons import adverse_reasons, grouped, reason_counts
from riskfed.schema import Feature, Schema
from riskfed.trees.booster_json import parse_booster
from riskfed.trees.contributions import Contributions

SCHEMA = Schema(
    target="default",
    features=(
        Feature(name="income"),
        Feature(name="purpose", encoding="onehot", levels=("car", "home", "other")),
        Feature(name="grade", encoding="ordinal", levels=("A", "B")),
    ),
)


def contributions(max_features=7):
    """Few different values, so that there are ties and zeros."""
    shapes = st.tuples(st.integers(0, 12), st.integers(1, max_features))
    return arrays(np.float64, shapes, elements=st.sampled_from([-2.0, -0.5, 0.0, 0.1, 0.5, 1.0, 3.0]))


def test_one_hot_columns_are_one_feature():
    columns = [[1.0, 0.25, -0.5, 2.0, -3.0], [0.0, 1.0, 1.0, 1.0, 4.0]]
    expected = [[1.0, 1.75, -3.0], [0.0, 3.0, 4.0]]
    np.testing.assert_array_equal(grouped(columns, SCHEMA), expected)
    with_expected_margin = np.column_stack([columns, [9.0, 9.0]])
    np.testing.assert_array_equal(grouped(with_expected_margin, SCHEMA), expected)
    assert grouped(np.empty((0, 6)), SCHEMA).shape == (0, 3)


@pytest.mark.parametrize("shape", [(2, 4), (2, 7), (5,)])
def test_other_widths_are_refused(shape):
    with pytest.raises(ConfigurationError, match="encoded columns"):
        grouped(np.zeros(shape), SCHEMA)


def test_largest_first_ties_by_the_schema_and_only_what_raises_the_pd():
    rows = [
        [0.1, 0.5, 0.2, 0.4, 0.3],  # five adverse: the least is left out
        [0.5, -1.0, 0.5, 0.7, 0.0],  # a tie; neither the favourable one nor 0 is a reason
        [-1.0, -1.0, 0.0, -0.1, -0.2],
    ]
    np.testing.assert_array_equal(adverse_reasons(rows), [[1, 3, 4, 2], [3, 0, 2, -1], [-1] * 4])
    assert adverse_reasons(rows).dtype == np.int16
    np.testing.assert_array_equal(adverse_reasons(rows, most=1), [[1], [3], [-1]])


def test_rounding_makes_no_reason_and_no_order():
    """0.1 + 0.2 is not 0.3 in floating point, and which is larger may differ with the machine."""
    rows = [[0.3, 0.1 + 0.2, 1e-16], [0.1 + 0.2, 0.3, -1e-16]]
    np.testing.assert_array_equal(adverse_reasons(rows), [[0, 1, -1, -1], [0, 1, -1, -1]])


@given(contributions(), st.integers(1, 9))
def test_reasons_are_those_of_a_plain_sort(values, most):
    expected = np.full((len(values), most), -1)
    for row, reasons in zip(values, expected, strict=True):
        adverse = sorted((-value, feature) for feature, value in enumerate(row) if value > 0)[:most]
        reasons[: len(adverse)] = [feature for _, feature in adverse]
    np.testing.assert_array_equal(adverse_reasons(values, most), expected)


@given(contributions(), st.integers(0, 12))
def test_counts_add_up_over_banks(values, cut):
    reasons, n_features = adverse_reasons(values), values.shape[1]
    counts = reason_counts(reasons, n_features)
    assert counts.dtype == np.int64
    np.testing.assert_array_equal(counts[:, 0], [(reasons[:, 0] == f).sum() for f in range(n_features)])
    np.testing.assert_array_equal(counts[:, 1], [(reasons == f).any(axis=1).sum() for f in range(n_features)])
    parts = reason_counts(reasons[:cut], n_features) + reason_counts(reasons[cut:], n_features)
    np.testing.assert_array_equal(parts, counts)


def test_what_makes_no_sense_is_refused():
    for values, most in ((np.zeros(3), 4), (np.zeros((1, 3)), 0), ([[np.nan]], 4), ([[np.inf]], 4)):
        with pytest.raises(ConfigurationError):
            adverse_reasons(values, most)
    for reasons in ([[3]], [[-2]], [1]):
        with pytest.raises(ConfigurationError, match="3 features"):
            reason_counts(np.array(reasons, dtype=np.int16), 3)


def test_reasons_of_a_model_are_those_that_xgboosts_values_give():
    rng = np.random.default_rng(0)
    levels = np.eye(3, dtype=np.float32)[rng.integers(0, 3, 2000)]
    matrix = np.column_stack([rng.normal(size=2000), levels, rng.integers(0, 2, 2000)]).astype(np.float32)
    matrix[rng.random(2000) < 0.1, 0] = np.nan
    risk = matrix[:, 1] - np.nan_to_num(matrix[:, 0]) + matrix[:, 4] + rng.normal(size=2000)
    data = xgboost.DMatrix(matrix, risk > 1)
    booster = xgboost.train({"objective": "binary:logistic", "max_depth": 4, "nthread": 1}, data, 20)
    parsed = parse_booster(bytes(booster.save_raw("json")))
    ours = adverse_reasons(grouped(Contributions(parsed.trees, parsed.base_score, 5).of(matrix), SCHEMA))
    reference = adverse_reasons(grouped(booster.predict(data, pred_contribs=True), SCHEMA))
    np.testing.assert_array_equal(ours, reference)
    assert (reason_counts(ours, 3)[:, 0] > 0).all()
