"""What each form of release costs explanations, and what it still tells: the tables of docs/policy.md.

    python -m benchmarks.release_forms [--trees 100] [--depth 6]

Taiwan data, 80 % for training, applicants are the 20 % held out. Explanations are xgboost's own TreeSHAP (``pred_contribs``) of the reduced
model against the full one, in log-odds; an applicant's reasons are the four features that raise the PD most. What is still told: from a
leaf of the first tree, where every loan has the same gradient and hessian, the number of loans and defaults is solved for.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xgboost

from riskfed import HorizontalXgboost, pooled_reference
from riskfed.datasets import load_taiwan, taiwan_schema
from riskfed.protocols.records import Records
from riskfed.simulation import pooled_cuts
from riskfed.trees.booster_json import ParsedBooster, booster_json, parse_booster
from riskfed.trees.reduced import COVER_BITS, reduced, round_significant
from riskfed.trees.tree import Tree

FOLDER = Path("runs/bench")
REASONS = 4
BITS = (1, 2, 3, 4, 5, 6, 8, 10)


class Model:
    """The full model of a job, the held-out applicants, and their explanations."""

    def __init__(self, job: HorizontalXgboost) -> None:
        schema, frame = taiwan_schema(), load_taiwan()
        self.job = job
        booster = pooled_reference(frame, pooled_cuts(frame, schema, job), job)
        self.parsed: ParsedBooster = parse_booster(bytes(booster.save_raw("json")))
        held_out = Records.from_frame(frame, schema).hold_out(job.validation_fraction, job.validation_seed)[1]
        rows = np.ascontiguousarray(held_out.matrix)
        self.applicants = xgboost.DMatrix(rows, feature_names=list(schema.columns))
        self.margins = booster.predict(self.applicants, output_margin=True)
        self.reasons = contributions(booster, self.applicants)

    def reduced(self, bits: int) -> xgboost.Booster:
        """The model with covers of so many binary digits."""
        trees = [reduced(tree, bits) for tree in self.parsed.trees]
        text = booster_json(trees, self.parsed.feature_names, self.job, self.parsed.base_score)
        return xgboost.Booster(model_file=bytearray(text))


def contributions(booster: xgboost.Booster, applicants: xgboost.DMatrix) -> np.ndarray:
    """(n, features) TreeSHAP values in log-odds, without the constant."""
    return np.asarray(booster.predict(applicants, pred_contribs=True))[:, :-1]


def cost(model: Model, bits: int) -> dict[str, float]:
    """What rounding to so many digits changes in explanations."""
    booster = model.reduced(bits)
    ours, theirs = contributions(booster, model.applicants), model.reasons
    changed = np.abs(ours - theirs).max(axis=1)
    few, many = top(ours), top(theirs)
    moved = (np.sort(few, axis=1) != np.sort(many, axis=1)).any(axis=1)
    return {
        "bits": bits,
        "same_predictions": bool(np.array_equal(booster.predict(model.applicants, output_margin=True), model.margins)),
        "largest": float(changed.max()),
        "typical": float(np.median(changed)),
        "reasons_change": float(moved.mean()),
        "order_changes": float((few != many).any(axis=1).mean()),
        "first_changes": float((few[:, 0] != many[:, 0]).mean()),
        "largest_gap": largest_gap(theirs[moved], few[moved], many[moved]),
    }


def top(values: np.ndarray) -> np.ndarray:
    """(n, 4) features that raise the PD most, the strongest first."""
    return np.argsort(-values, axis=1, kind="stable")[:, :REASONS]


def largest_gap(values: np.ndarray, few: np.ndarray, many: np.ndarray) -> float:
    """How much a reason that came in lay below the one that it replaced, at most, by the full model's own values."""
    gaps = [
        max(row[list(set(old) - set(new))]) - min(row[list(set(new) - set(old))])
        for row, new, old in zip(values, few, many, strict=True)
    ]
    return float(max(gaps, default=0.0))


def counts_told(tree: Tree, job: HorizontalXgboost, prior: float, bits: int | None) -> dict[str, float]:
    """Share of the first tree's leaves whose numbers of loans and defaults follow from what is stated, and loans in the median leaf.

    Args:
        tree: the first tree, full.
        job: that grew it.
        prior: base score, the PD of every loan before the first tree.
        bits: significant binary digits of stated covers; None: they are exact.
    """
    hessian = prior * (1 - prior)
    solved = sizes = 0
    leaves = np.flatnonzero(tree.is_leaf)
    for leaf in leaves:
        value = float(tree.split_conditions[leaf])
        truth = round(float(tree.sum_hessian[leaf]) / hessian)
        found = [n for n in candidates(float(tree.sum_hessian[leaf]), hessian, bits) if fits(n, value, job, prior)]
        solved += found == [truth]
        sizes += len(candidates(float(tree.sum_hessian[leaf]), hessian, bits))
    return {"leaves": len(leaves), "told": solved / len(leaves), "mean_candidates": sizes / len(leaves)}


def candidates(cover: float, hessian: float, bits: int | None) -> Sequence[int]:
    """Numbers of loans that a stated cover allows."""
    if bits is None:
        return [round(cover / hessian)]
    stated = round_significant(np.array([cover], dtype=np.float32), bits)[0]
    near = np.arange(1, int(2 * cover / hessian) + 2)
    return near[round_significant((near * hessian).astype(np.float32), bits) == stated].tolist()


def fits(loans: int, value: float, job: HorizontalXgboost, prior: float) -> bool:
    """Whether some whole number of defaults among so many loans gives the leaf's value, as exactly as float32 states it."""
    hessian = loans * prior * (1 - prior) + job.reg_lambda
    defaults = loans * prior + value * hessian / job.learning_rate
    slack = abs(value) * 2.0**-22 * hessian / job.learning_rate + 1e-5
    return abs(defaults - round(defaults)) <= slack and -slack <= defaults <= loans + slack


def main() -> None:
    """Print the tables and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--trees", type=int, default=100)
    parser.add_argument("--depth", type=int, default=6)
    asked = parser.parse_args()
    job = HorizontalXgboost(n_estimators=asked.trees, max_depth=asked.depth, learning_rate=0.1, validation_fraction=0.2)
    model = Model(job)
    costs = [cost(model, bits) for bits in BITS]
    print(
        f"Taiwan, {asked.trees} trees of depth {asked.depth}, {len(model.margins):,} applicants; * is what reduced models use"
    )
    print("digits  largest change  typical   4 reasons change  order  first reason  largest gap")
    for each in costs:
        mark = "*" if each["bits"] == COVER_BITS else " "
        print(
            f"{each['bits']:>5}{mark}  {each['largest']:>14.5f}  {each['typical']:.5f}  {each['reasons_change']:>16.2%}"
            f"  {each['order_changes']:.2%}  {each['first_changes']:>12.2%}  {each['largest_gap']:>11.5f}"
        )
    first, prior = model.parsed.trees[0], model.parsed.base_score
    told: dict[str, Any] = {
        "full": counts_told(first, job, prior, None),
        "reduced": counts_told(first, job, prior, COVER_BITS),
    }
    print("\nleaves of the first tree whose loans and defaults follow from what the model states")
    for form, each in told.items():
        print(
            f"  {form}: {each['told']:.0%} of {each['leaves']}, from {each['mean_candidates']:.1f} candidates on average"
        )
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "release_forms.json").write_text(json.dumps({"explanations": costs, "first_tree": told}, indent=2) + "\n")
    print(f"\nwritten to {FOLDER / 'release_forms.json'}")


if __name__ == "__main__":
    main()
