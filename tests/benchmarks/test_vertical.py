"""Figures of `make bench-vertical`: taken where they should be, and of what they say."""

from __future__ import annotations

import numpy as np
import pytest
import xgboost

from benchmarks import vertical, vertical_phe, vertical_setups
from benchmarks.vertical_processes import Mark, Measured, run
from riskfed.jobs import VerticalXgboost
from riskfed.trees.booster_json import parse_booster
from riskfed.trees.reference import xgboost_parameters


def _mark(cpu: float, sent: int) -> Mark:
    return Mark({"lender": cpu, "partner": 2 * cpu}, sent, cpu)


def test_a_tree_is_measured_between_equal_points_of_the_protocol() -> None:
    # Each tree costs 10 and 100 bytes, of which 4 and 40 come before the hub hears of the tree before; the last has no successor.
    marks = [_mark(50 + 10 + 4, 540), _mark(74, 640), _mark(84, 740), _mark(90, 800)]
    measured = Measured(_mark(1, 10), marks, {}, {})
    assert measured.per_tree() == Mark({"lender": 10, "partner": 20}, 100, 10)
    assert measured.before_trees().cpu["lender"] == 54


def test_phe_opens_what_it_adds_and_costs_are_counted_per_tree() -> None:
    costs = vertical_phe.measure(sample=4, key_bits=512)
    assert min(costs.encrypt, costs.add, costs.decrypt) > 0
    counted = vertical_phe.Operations.of_tree(rows=100, asked_rows=150, asked_nodes=2, features=3, cells=80)
    assert counted == vertical_phe.Operations(encrypt=200, add=900, decrypt=320)
    assert vertical_phe.Seconds(1, 10, 100).of(counted) == 200 + 9000 + 32000


def test_peers_setup_is_13_and_10_features_of_24_000_rows() -> None:
    setup = vertical_setups.peers()
    assert len(setup.schema.part_of(vertical_setups.LENDER).columns) == 13
    assert setup.partner_features == 10
    assert setup.job.max_depth == 3
    assert setup.job.max_bin == 32
    assert vertical_setups.depth5().partner_features == 12


@pytest.mark.slow
def test_a_run_in_two_processes_gives_xgboosts_trees_and_figures_of_both_sides() -> None:
    setup = vertical_setups.synthetic(400, trees=3)
    measured = run(setup.processes())
    figures = vertical.with_identity(setup, measured, vertical.figures_of(setup, measured))
    assert figures["trees_identical"] == 3
    assert figures["bytes_identical"]
    assert figures["development_rows"] == 400
    assert set(figures["cpu_s_per_tree_by"]) == {"hub", "lender", "partner"}
    assert figures["cpu_s_per_tree_by"]["lender"] > 0.02  # 200 encryptions at the very least
    assert figures["mb_per_tree"] > 200 * 512 / 1e6
    assert min(figures["rss_gib"].values()) > 0.05
    assert figures["speedup_vs_phe"] > 1


def test_asked_nodes_are_the_root_and_of_two_children_the_lighter() -> None:
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((500, 4)).astype(np.float32)
    matrix[rng.random(matrix.shape) < 0.1] = np.nan
    labels = (rng.random(500) < 0.3).astype(np.float32)
    job = VerticalXgboost(label_holder="lender", n_estimators=1, max_depth=3)
    parameters = xgboost_parameters(job, ("a", "b", "c", "d"))
    booster = xgboost.train(parameters, xgboost.DMatrix(matrix, labels), 1)
    (tree,) = parse_booster(bytes(booster.save_raw("json"))).trees
    leaves = booster.predict(xgboost.DMatrix(matrix), pred_leaf=True).astype(int)
    rows_of = dict(zip(*np.unique(leaves, return_counts=True), strict=True))
    for node in range(tree.n_nodes - 1, -1, -1):  # children have higher numbers
        if tree.left_children[node] >= 0:
            rows_of[node] = rows_of[tree.left_children[node]] + rows_of[tree.right_children[node]]
    # In the first tree all rows have the same hessian: the lighter child is the one with fewer rows.
    split = [0, *(node for node in (tree.left_children[0], tree.right_children[0]) if tree.left_children[node] >= 0)]
    lighter = [min(rows_of[tree.left_children[node]], rows_of[tree.right_children[node]]) for node in split]
    assert len(split) == 3
    assert vertical_setups.asked_by(tree, matrix, job) == (500 + lighter[0] + lighter[1] + lighter[2], 4)
    shallow = job.model_copy(update={"max_depth": 2})
    assert vertical_setups.asked_by(tree, matrix, shallow) == (500 + lighter[0], 2)
