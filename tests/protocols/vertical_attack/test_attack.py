"""The attack itself: it finds labels where nodes give them away, and none where they do not."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.label_inference import View, infer_from_columns, infer_from_view


@pytest.fixture
def labels() -> np.ndarray:
    return (np.random.default_rng(0).random(1200) < 0.25).astype(np.float32)


def _noise(labels: np.ndarray) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((len(labels), 3)).astype(np.float32)


def test_nodes_of_one_label_each_give_all_labels_away(labels: np.ndarray) -> None:
    found = infer_from_view(View(_noise(labels), [labels.astype(np.int64)]), labels, draws=2)
    assert found.auc == found.clusters == 1


def test_nodes_that_have_nothing_to_do_with_labels_tell_nothing(labels: np.ndarray) -> None:
    cells = [np.random.default_rng(seed).integers(0, 8, len(labels)) for seed in range(5)]
    found = infer_from_view(View(_noise(labels), cells), labels, draws=4)
    assert found.auc == pytest.approx(0.5, abs=0.05)
    assert found.clusters == pytest.approx(0.5, abs=0.06)


def test_a_feature_holder_that_took_no_part_sees_nothing(labels: np.ndarray) -> None:
    found = infer_from_view(View(_noise(labels), []), labels, draws=2)
    assert found.auc == found.clusters == 0.5


def test_own_columns_are_judged_by_what_they_tell(labels: np.ndarray) -> None:
    assert infer_from_columns(_noise(labels), labels, draws=2).auc == pytest.approx(0.5, abs=0.06)
    assert infer_from_columns(_noise(labels) + 2 * labels[:, None], labels, draws=2).auc > 0.95


def test_smallest_cell_and_shared_cells(labels: np.ndarray) -> None:
    view = View(_noise(labels)[:5], [np.array([0, 0, 1, 1, 1]), np.array([0, 1, 1, 1, 1])])
    assert view.smallest_cell == 1
    indicators = view.indicators()
    assert (indicators @ indicators.T)[2].tolist() == [0, 1, 2, 2, 2]
