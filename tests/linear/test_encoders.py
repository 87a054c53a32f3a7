"""The encoders' descent: gradients against the loss itself, whole numbers within their bounds, and what learning gives."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from riskfed.errors import JobError
from riskfed.jobs import FederatedTransfer
from riskfed.linear.encoders import UNIT, Bounds, LabelSide, TargetSide
from riskfed.linear.rank_inputs import MOST_INPUT
from riskfed.linear.transfer_model import TransferScorer
from riskfed.linear.transfer_reference import JointRecords, sums_of, train_in_plain
from riskfed.schema import Feature, Schema


def job(**fields):
    return FederatedTransfer(**{"label_holder": "bank", "target": "shop", "dimensions": 3, "iterations": 1, **fields})


def sides(job, *, n=60, common=25, widths=(5, 7), rate=0.3, seed=0):
    """Both sides with random inputs; the common customers stand at random among the label holder's."""
    rng = np.random.default_rng(seed)
    lender = rng.uniform(-MOST_INPUT, MOST_INPUT, (n, widths[0]))
    target = rng.uniform(-MOST_INPUT, MOST_INPUT, (common, widths[1]))
    labels = (rng.random(n) < rate).astype(np.float32)
    labels[:2] = 0, 1
    rows = rng.choice(n, common, replace=False)
    return LabelSide(lender, labels, rows, job), TargetSide(target, job), (lender, labels, rows, target)


def loss(weights, data, job):
    """The loss of `riskfed.linear.encoders`, in floats, straight from its definition."""
    (of_lender, of_target), (lender, labels, rows, target) = weights, data
    p = labels.mean()
    t = np.where(labels == 1, 1 / (2 * p), -1 / (2 * (1 - p)))
    u, v = np.tanh(lender @ of_lender), np.tanh(target @ of_target)
    phi = (t[:, None] * u).mean(axis=0)
    score = v @ phi
    taylor = np.mean(math.log(2) - t[rows] * score / 2 + score**2 / 8)
    apart = job.alignment * np.mean((u[rows] - v) ** 2)
    return taylor + apart + job.l2 / 2 * ((of_lender**2).sum() + (of_target**2).sum())


def finite_differences(weights, data, job, number):
    """Gradient of the loss in one party's weights."""
    gradient, step = np.empty_like(weights[number]), 1e-5
    for at in np.ndindex(gradient.shape):
        ends = []
        for sign in (1, -1):
            moved = [w.copy() for w in weights]
            moved[number][at] += sign * step
            ends.append(loss(moved, data, job))
        gradient[at] = (ends[0] - ends[1]) / (2 * step)
    return gradient


@pytest.mark.parametrize("fields", [{}, {"alignment": 0.0}, {"alignment": 2.0, "l2": 0.1}])
def test_a_first_step_goes_along_the_gradient_of_the_loss(fields):
    given_job = job(learning_rate=1.0, **fields)
    leader, follower, data = sides(given_job)
    before = [leader.encoder.weights.copy(), follower.encoder.weights.copy()]
    to_leader = sums_of(follower.terms(), leader.weights())
    to_follower = sums_of(leader.terms(), follower.weights())
    leader.descend(to_leader)
    follower.descend(to_follower)
    for number, side in enumerate((leader, follower)):
        wanted = finite_differences(before, data, given_job, number)
        assert np.abs(wanted).max() > 1e-3
        assert before[number] - side.encoder.weights == pytest.approx(wanted, abs=2e-5)


def test_momentum_carries_the_step_before():
    given_job = job(learning_rate=0.1, momentum=0.5, l2=0.0)
    leader, follower, _ = sides(given_job)
    start = follower.encoder.weights.copy()
    follower.descend(sums_of(leader.terms(), follower.weights()))
    first = follower.encoder.weights - start
    follower.encoder.descend(np.zeros_like(start))
    assert follower.encoder.weights - start == pytest.approx(1.5 * first, abs=1e-12)


def test_the_loss_falls():
    given_job = job(iterations=40, dimensions=4)
    leader, follower, data = sides(given_job, n=300, common=100)
    losses = []
    for _ in range(40):
        losses.append(loss([leader.encoder.weights, follower.encoder.weights], data, given_job))
        to_leader = sums_of(follower.terms(), leader.weights())
        follower.descend(sums_of(leader.terms(), follower.weights()))
        leader.descend(to_leader)
    assert losses[-1] < losses[0] - 0.01


@given(
    st.integers(0, 1000),
    st.floats(0.02, 0.98),
    st.sampled_from([0.0, 0.1, 30.0]),
    st.integers(1, 40),
    st.floats(0.1, 100),
)
def test_no_number_passes_its_public_bound(seed, rate, alignment, common, scale):
    given_job = job(alignment=alignment)
    leader, follower, _ = sides(given_job, common=common, rate=rate, seed=seed)
    leader.encoder.weights *= scale
    follower.encoder.weights *= scale  # saturated places, and flat ones
    for side, other, bounds in (
        (leader, follower, Bounds.of_label_holder(given_job, common)),
        (follower, leader, Bounds.of_target(given_job, common)),
    ):
        assert np.abs(side.terms()).max() <= bounds.terms
        assert np.abs(other.weights()).max() <= bounds.weights


@given(st.integers(0, 1000))
def test_whose_turn_a_customer_has_makes_no_difference(seed):
    """A step of customers in another order gives the same weights, to the last bit: sums are of whole numbers."""
    given_job, rng = job(), np.random.default_rng(seed)
    _, _, (lender, labels, rows, target) = sides(given_job, seed=seed)
    own, order = rng.permutation(len(lender)), rng.permutation(len(rows))
    back = np.argsort(own)
    results = []
    for at, labelled, common, other in (
        (lender, labels, rows, target),
        (lender[own], labels[own], back[rows][order], target[order]),
    ):
        leader, follower = LabelSide(at, labelled, common, given_job), TargetSide(other, given_job)
        to_leader = sums_of(follower.terms(), leader.weights())
        follower.descend(sums_of(leader.terms(), follower.weights()))
        leader.descend(to_leader)
        results.append((leader.encoder.weights.tobytes(), follower.encoder.weights.tobytes(), leader.phi.tobytes()))
    assert results[0] == results[1]


def test_phi_is_half_of_the_distance_between_the_classes():
    leader, _, (lender, labels, _, _) = sides(job())
    places = np.tanh(lender @ leader.encoder.weights)
    half = (places[labels == 1].mean(axis=0) - places[labels == 0].mean(axis=0)) / 2
    assert leader.phi == pytest.approx(half, abs=2 / UNIT)
    assert leader.base_rate == labels.mean()


def test_parties_begin_with_different_weights_of_the_plans_seed():
    one, other = sides(job(), widths=(5, 5))[:2]
    assert not np.array_equal(one.encoder.weights, other.encoder.weights)
    assert np.array_equal(one.encoder.weights, sides(job(), widths=(5, 5))[0].encoder.weights)
    assert not np.array_equal(one.encoder.weights, sides(job(initial_seed=1), widths=(5, 5))[0].encoder.weights)


@pytest.mark.parametrize(("defaults", "common"), [(0, 10), (1, 10), (1000, 10), (500, 0)])
def test_labels_that_cannot_teach_are_refused(defaults, common):
    labels = np.zeros(1000, dtype=np.float32)
    labels[:defaults] = 1
    with pytest.raises(JobError, match="default rate"):
        LabelSide(np.ones((1000, 3)), labels, np.arange(common), job())


def two_views(seed=0, *, n=4000, common=300):
    """Two parties that see the same four hidden causes, each through its own columns; the target has 3,000 further customers to test on."""
    rng = np.random.default_rng(seed)
    causes = rng.normal(size=(n + 3000, 4))
    views = [causes @ rng.normal(size=(4, 6)) + 0.5 * rng.normal(size=(n + 3000, 6)) for _ in range(2)]
    labels = (rng.random(n + 3000) < 1 / (1 + np.exp(-(causes @ [1.5, -1.0, 0.5, 0.0] - 1.5)))).astype(np.float32)
    lender, target = (view.astype(np.float32) for view in views)
    together = np.stack([np.arange(common)] * 2, axis=1)
    return JointRecords(lender[:n], labels[:n], target[:n], together), target[n:], labels[n:]


def test_a_target_without_labels_learns_to_rank_its_customers():
    records, unseen, outcomes = two_views()
    schema = Schema(target="y", features=tuple(Feature(name=f"c{i}") for i in range(6)))
    aucs = []
    for iterations in (1, 50):
        model = train_in_plain(records, schema.columns, job(iterations=iterations, dimensions=6))
        pds = TransferScorer(model, schema).pd(unseen)
        aucs.append(roc_auc_score(outcomes, pds))
    assert aucs[1] > 0.78
    assert aucs[1] > aucs[0] + 0.05
    assert pds.mean() == pytest.approx(outcomes.mean(), abs=0.05)


def test_labels_that_say_nothing_teach_nothing():
    records, unseen, outcomes = two_views()
    shuffled = np.random.default_rng(1).permutation(records.labels)
    idle = JointRecords(records.lender, shuffled, records.target, records.common)
    schema = Schema(target="y", features=tuple(Feature(name=f"c{i}") for i in range(6)))
    model = train_in_plain(idle, schema.columns, job(iterations=50, dimensions=6))
    assert roc_auc_score(outcomes, TransferScorer(model, schema).pd(unseen)) < 0.65
