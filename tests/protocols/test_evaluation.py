import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import ks_2samp
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from riskfed.protocols.measuring.score_cells import evaluate, score_cells
from riskfed.protocols.program import run_alone
from tests.helpers import add_up


def sigmoid(margins):
    return (1 / (1 + np.exp(-margins.astype(np.float64)))).astype(np.float32)


@given(
    hnp.arrays(np.float32, 40, elements=st.one_of(st.floats(-8, 8, width=32), st.sampled_from([-1.0, 0.0, 0.5]))),
    hnp.arrays(np.bool_, 40),
    st.integers(1, 5),
)
def test_figures_equal_the_pooled_ones(margins, defaults, n_banks):
    labels = defaults.astype(np.float32)
    parts = zip(np.array_split(margins, n_banks), np.array_split(labels, n_banks), strict=True)
    for figures, _ in add_up([evaluate(m, sigmoid(m), y) for m, y in parts]):
        pds = sigmoid(margins).astype(np.float64)
        assert figures["rows"] == 40
        assert figures["defaults"] == defaults.sum()
        assert figures["logloss"] == pytest.approx(log_loss(labels, pds, labels=[0, 1]), abs=1e-12)
        assert figures["brier"] == pytest.approx(brier_score_loss(labels, pds), abs=1e-12)
        if 0 < defaults.sum() < 40:
            assert figures["auc"] == pytest.approx(roc_auc_score(labels, margins), abs=1e-15)
            assert figures["ks"] == pytest.approx(ks_2samp(margins[~defaults], margins[defaults]).statistic, abs=1e-15)
        else:
            assert np.isnan(figures["auc"])
            assert np.isnan(figures["ks"])


def test_scores_that_differ_in_the_last_bit_are_told_apart():
    low = np.float32(0.1)
    margins = np.array([low, np.nextafter(low, np.float32(1))])
    assert run_alone(score_cells(margins, np.float32([0, 1]))).auc() == 1.0
    assert run_alone(score_cells(margins, np.float32([1, 0]))).auc() == 0.0


def test_no_row_at_all():
    figures, cells = run_alone(evaluate(np.zeros(0, np.float32), np.zeros(0, np.float32), np.zeros(0, np.float32)))
    assert figures["rows"] == 0
    assert np.isnan(figures["logloss"])
    assert cells.merged(20) == []


def test_released_cells_hold_at_least_the_minimum():
    rng = np.random.default_rng(0)
    margins = rng.normal(size=5000).astype(np.float32)
    labels = (rng.random(5000) < sigmoid(margins)).astype(np.float32)
    cells = run_alone(score_cells(margins, labels)).merged(20)
    assert 30 < len(cells) <= 51
    assert min(goods + bads for _, goods, bads in cells) >= 20
    assert sum(bads for *_, bads in cells) == labels.sum()
    assert [upper for upper, *_ in cells] == sorted(upper for upper, *_ in cells)
