"""What a model is made of, for its readers: a scorecard's or linear model's table, or what trees look at most."""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache
from typing import Any, Final

import numpy as np

from riskfed.linear_model import VerticalLogisticModel, is_vertical_logistic, model_rows
from riskfed.schema import Schema
from riskfed.scorecard.card import Scorecard
from riskfed.scoring import is_scorecard
from riskfed.serving.models.source import ModelFiles
from riskfed.trees.booster_json import parse_booster
from riskfed.trees.tree import Tree

_MOST_FEATURES: Final = 20
_MODELS_REMEMBERED: Final = 8
_FIGURE_LENGTH: Final = 200


def card_of(files: ModelFiles) -> dict[str, Any]:
    """A `Card`."""
    described = files.facts.get("description")
    return {"description": described, **_made_of(_Key(files))} if described else _made_of(_Key(files))


def figures_of(files: ModelFiles) -> dict[str, str]:
    """What the registry says of it in a few words each: auc, ks, headline and the like."""
    return {name: text for name, text in files.facts.items() if name != "description" and len(text) <= _FIGURE_LENGTH}


class _Key:
    """A model's files, equal where model and schema are."""

    def __init__(self, files: ModelFiles) -> None:
        self.files = files
        self._what = (files.sha256, files.schema.fingerprint)

    def __hash__(self) -> int:
        return hash(self._what)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self._what == other._what


@lru_cache(_MODELS_REMEMBERED)
def _made_of(key: _Key) -> dict[str, Any]:
    data = key.files.model
    if is_scorecard(data):
        return _table(Scorecard.from_bytes(data))
    if is_vertical_logistic(data):
        return _linear(VerticalLogisticModel.from_bytes(data), key.files.schema)
    return _trees(data, key.files.schema)


def _table(card: Scorecard) -> dict[str, Any]:
    rows = [
        {"feature": variable.feature, "bin": bin_.label, "woe": bin_.woe, "points": bin_.points}
        for variable in card.variables
        for bin_ in variable.bins
    ]
    fit = {"intercept": card.fit.intercept, "variables": len(card.variables)}
    return {"base_points": card.base_points, **fit, "table": rows}


def _linear(model: VerticalLogisticModel, schema: Schema) -> dict[str, Any]:
    rows = [
        {"feature": name, "bin": label, "woe": woe, "points": points}
        for name, label, woe, _, points in model_rows(model, schema)
    ]
    terms = len(model.own.terms) + len(model.partners)
    return {"base_points": model.base_points, "intercept": model.intercept, "variables": terms, "table": rows}


def _trees(data: bytes, schema: Schema) -> dict[str, Any]:
    trees = parse_booster(data).trees
    gains, splits = np.zeros(len(schema.columns)), np.zeros(len(schema.columns))
    for tree in trees:
        inner = ~tree.is_leaf
        np.add.at(gains, tree.split_indices[inner], tree.loss_changes[inner])
        np.add.at(splits, tree.split_indices[inner], 1)
    of_feature: defaultdict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    columns = iter(zip(gains, splits, strict=True))
    for feature in schema.features:
        for _ in feature.columns:
            gain, count = next(columns)
            of_feature[feature.name][0] += float(gain)
            of_feature[feature.name][1] += float(count)
    means = {name: gain / count for name, (gain, count) in of_feature.items() if count}
    ranked = sorted(means.items(), key=lambda item: -item[1])[:_MOST_FEATURES]
    return {
        "trees": len(trees),
        "depth": max((_depth(tree) for tree in trees), default=0),
        "importance": [{"feature": name, "gain": gain} for name, gain in ranked],
    }


def _depth(tree: Tree) -> int:
    depths = np.zeros(tree.n_nodes, dtype=int)
    for node in range(1, tree.n_nodes):  # parents are numbered before their children
        depths[node] = depths[tree.parents[node]] + 1
    return int(depths.max())
