"""A descent on whole-number sums, against the same in plain floating point, and its mini-batches."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskfed.errors import JobError, RemoteProtocolError
from riskfed.linear.descent import INPUT_BITS, Coefficients, FixedPoint, Rates, batches, fixed_inputs
from riskfed.linear.reference import descend
from riskfed.linear.sigmoids import CUBIC, TAYLOR

RATES = Rates(0.5, 0.9, 1e-3)


def ids_of(rows):
    return np.array([f"customer {number}".encode() for number in range(rows)])


def test_whole_number_sums_give_the_coefficients_of_the_plain_descent():
    random = np.random.default_rng(5)
    inputs, rows = random.normal(size=(400, 4)), 400
    labels = (random.random(rows) < 1 / (1 + np.exp(1 - inputs @ [0.5, -0.8, 0.2, 0.0]))).astype(np.int64)
    plain = descend(inputs, labels, TAYLOR, RATES, lambda epoch: batches(ids_of(rows), 64, 3, epoch), 8)
    design = fixed_inputs(np.column_stack([np.ones(rows), inputs]))
    own, fixed = Coefficients.with_intercept(TAYLOR.score_of(labels.sum() / rows), 4), FixedPoint.of(TAYLOR)
    for epoch in range(8):
        for chosen in batches(ids_of(rows), 64, 3, epoch):
            scores = own.scores(design[chosen], TAYLOR)
            residuals = scores + (1 << (fixed.residual_bits - 1)) - (labels[chosen] << fixed.residual_bits)
            sums = [sum(map(int.__mul__, residuals.tolist(), column)) for column in design[chosen].T.tolist()]
            own.step(sums, len(chosen), RATES, fixed)
    assert np.abs(np.array(own.values) - [plain.intercept, *plain.coefficients]).max() < 1e-7
    assert plain.losses[-1] < plain.losses[0]


def test_the_plain_descent_ends_at_the_minimum_of_the_penalised_loss():
    random = np.random.default_rng(1)
    inputs = random.normal(size=(300, 3))
    labels = (random.random(300) < 0.3).astype(float)
    found = descend(inputs, labels, TAYLOR, Rates(1.0, 0.5, 0.01), lambda _: [np.arange(300)], 400)
    design = np.column_stack([np.ones(300), inputs])
    penalty = np.diag([0, 0.01, 0.01, 0.01])
    minimum = np.linalg.solve(design.T @ design / 1200 + penalty, design.T @ (labels - 0.5) / 300)
    assert np.abs(minimum - [found.intercept, *found.coefficients]).max() < 1e-9


def test_scores_are_bounded_and_rounded_to_their_grid():
    own = Coefficients([100.0, 0.25], [0.0, 0.0])
    inputs = fixed_inputs(np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]]))
    for polynomial in (TAYLOR, CUBIC):
        unit = 1 << FixedPoint.of(polynomial).score_bits
        reach = int(polynomial.reach)
        assert own.scores(inputs, polynomial).tolist() == [reach * unit, -reach * unit, unit // 4]


def test_coefficients_times_gradient_is_the_sum_of_residual_times_score():
    own, fixed = Coefficients([0.5, -2.0], [0.0, 0.0]), FixedPoint.of(TAYLOR)
    sums = [3 << (fixed.residual_bits + INPUT_BITS), -(1 << (fixed.residual_bits + INPUT_BITS - 1))]
    assert own.product(sums, fixed) == pytest.approx(0.5 * 3 + 2.0 * 0.5)


def test_a_descent_that_runs_away_is_ended_and_another_number_of_sums_refused():
    own, fixed = Coefficients.zeros(2), FixedPoint.of(TAYLOR)
    with pytest.raises(RemoteProtocolError, match="3 gradient sums for 2"):
        own.step([0, 0, 0], 10, RATES, fixed)
    with pytest.raises(JobError, match="lower learning_rate"):
        own.step([1 << 90, 0], 10, RATES, fixed)


@given(rows=st.integers(1, 400), size=st.integers(1, 120), epoch=st.integers(0, 5))
def test_every_row_is_in_one_mini_batch_of_at_least_the_size(rows, size, epoch):
    found = batches(ids_of(rows), size, 7, epoch)
    assert sorted(itertools.chain(*(chosen.tolist() for chosen in found))) == list(range(rows))
    assert min(map(len, found)) >= min(size, rows)
    assert max(map(len, found)) < 2 * max(size, 1) or rows < size


def test_mini_batches_follow_the_customer_not_the_row_and_change_with_epoch_and_seed():
    ids, order = ids_of(200), np.random.default_rng(0).permutation(200)
    as_sets = [{ids[row] for row in chosen} for chosen in batches(ids, 50, 7, 1)]
    assert as_sets == [{ids[order][row] for row in chosen} for chosen in batches(ids[order], 50, 7, 1)]
    others = [batches(ids, 50, *pair) for pair in ((7, 2), (8, 1))]
    assert all(as_sets != [{ids[row] for row in chosen} for chosen in other] for other in others)
