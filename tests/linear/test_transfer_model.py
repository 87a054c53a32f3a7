"""The target's model: how columns become inputs, its JSON, how it scores and explains."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from riskfed.errors import RegistryError
from riskfed.jobs import FederatedTransfer
from riskfed.linear.encoders import Encoder
from riskfed.linear.rank_inputs import KNOTS, MOST_INPUT, RankInputs
from riskfed.linear.transfer_model import TransferModel, TransferScorer, calibrated
from riskfed.schema import Feature, Schema

SCHEMA = Schema(
    target="y",
    features=(Feature(name="a"), Feature(name="b", encoding="onehot", levels=("x", "z")), Feature(name="c")),
)
FLOATS = st.floats(-1e6, 1e6, width=32)


def model_of(seed=0, n=200, **fields):
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(n, 4)).astype(np.float32)
    ranks = RankInputs.of(matrix)
    encoder = Encoder(ranks.width, FederatedTransfer(label_holder="p", target="q", dimensions=3, **fields), 1)
    taught = np.array([0.3, -0.2, 0.1]), 0.2
    return TransferModel.of(SCHEMA.columns, ranks, encoder, taught, ranks.inputs(matrix[:50])), matrix


def test_ranks_are_places_among_the_partys_own_customers_and_ties_lie_in_the_middle():
    column = np.arange(640, dtype=np.float32)
    status = np.repeat(np.array([0, 1, 2], dtype=np.float32), [320, 256, 64])
    ranks = RankInputs.of(np.stack([column, status], axis=1))
    inputs = ranks.inputs(np.array([[-5, 0], [319, 1], [1000, 2], [np.nan, np.nan]], dtype=np.float32))
    assert inputs[:, 0] / MOST_INPUT == pytest.approx([-1, 0, 1, 0], abs=1 / KNOTS)
    assert inputs[:, 1] / MOST_INPUT == pytest.approx([-0.5, 0.4, 0.9, 0], abs=1 / KNOTS)
    assert inputs[:, 2].tolist() == [-0.25, -0.25, 1.75, 0]  # the highest tenth
    assert inputs[:, 3].tolist() == [-0.25, -0.25, 1.75, 0]
    assert (inputs[:, 4] == 1).all()


@given(arrays.arrays(np.float32, (50, 1), elements=FLOATS), arrays.arrays(np.float32, (20, 1), elements=FLOATS))
def test_inputs_are_bounded_rise_with_the_value_and_change_at_steps_only(own, others):
    ranks = RankInputs.of(own)
    others = np.sort(others, axis=0)
    inputs = ranks.inputs(others)
    assert np.abs(inputs).max() <= MOST_INPUT
    assert (np.diff(inputs[:, 0]) >= 0).all()
    between = np.searchsorted(ranks.steps(0), others[:, 0], "right")
    for step in np.unique(between):
        assert len(np.unique(inputs[between == step], axis=0)) == 1


def test_a_column_without_values_says_nothing():
    ranks = RankInputs.of(np.full((10, 1), np.nan, dtype=np.float32))
    assert (ranks.knots == 0).all()
    assert ranks.inputs(np.full((2, 1), np.nan, dtype=np.float32))[:, :2].tolist() == [[0, 0], [0, 0]]


def test_json_gives_the_model_back_to_the_last_bit():
    model, matrix = model_of()
    again = TransferModel.from_bytes(model.to_bytes())
    assert again == model
    assert again.to_bytes() == model.to_bytes()
    scores = [TransferScorer(one, SCHEMA).margins(matrix).tobytes() for one in (model, again)]
    assert scores[0] == scores[1]


@pytest.mark.parametrize(
    "change",
    [
        {"format": "riskfed scorecard 1"},
        {"columns": ["a"]},
        {"knots": [[0.0] * (KNOTS - 1)] * 4},
        {"knots": [[float(-i) for i in range(KNOTS)]] * 4},
        {"weights": [[0.0] * 3] * 8},
        {"weights": [[0.0] * 2] * 9},
        {"direction": []},
        {"base_rate": 1.0},
        {"slope": None},
        {"surplus": 1},
    ],
)
def test_json_that_does_not_fit_together_is_refused(change):
    fields = json.loads(model_of()[0].to_bytes()) | change
    with pytest.raises(RegistryError, match="not a transfer model"):
        TransferModel.from_bytes(json.dumps(fields).encode())


def test_another_schemas_columns_are_refused():
    with pytest.raises(RegistryError, match="columns"):
        TransferScorer(model_of()[0], Schema(target="y", features=(Feature(name="a"),)))


def test_a_customer_scores_the_same_alone_and_among_others():
    model, matrix = model_of()
    scorer = TransferScorer(model, SCHEMA)
    margins, shares = scorer.margins(matrix), scorer.reason_contributions(matrix)
    assert shares.shape == (len(matrix), len(SCHEMA.features))
    for row in range(0, len(matrix), 37):
        margin, own = scorer.explain(matrix[row])
        assert margin == margins[row]
        assert own.tolist() == shares[row].tolist()
    assert scorer.pd(matrix) == pytest.approx(1 / (1 + np.exp(-margins)))


def test_a_feature_that_the_model_does_not_look_at_is_no_reason():
    model, matrix = model_of()
    silent = [list(row) for row in model.weights]
    for column in (1, 2, 5, 6):  # both columns of b, and their tails
        silent[column] = [0.0] * 3
    scorer = TransferScorer(model.model_copy(update={"weights": tuple(map(tuple, silent))}), SCHEMA)
    shares = scorer.reason_contributions(matrix)
    assert (shares[:, 1] == 0).all()
    assert (np.abs(shares[:, [0, 2]]).max(axis=0) > 0.01).all()


@given(
    arrays.arrays(np.float64, st.integers(2, 60), elements=st.floats(-3, 3)),
    st.floats(0.02, 0.6),
)
def test_mean_pd_of_the_common_customers_is_the_base_rate(scores, base_rate):
    intercept, slope = calibrated(scores, base_rate)
    pds = 1 / (1 + np.exp(-(intercept + slope * scores)))
    assert pds.mean() == pytest.approx(base_rate, abs=1e-9)
    assert slope >= -1e-9


def test_scores_of_a_perfect_square_loss_become_its_pds():
    """Where the loss is at its least, a customer's score is (q - p) / (p (1 - p)): near the mean, the line gives q back."""
    p = 0.3
    q = np.linspace(0.2, 0.4, 101)
    intercept, slope = calibrated((q - p) / (p * (1 - p)), p)
    assert 1 / (1 + np.exp(-(intercept + slope * (q - p) / (p * (1 - p))))) == pytest.approx(q, abs=8e-3)
