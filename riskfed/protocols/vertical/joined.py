"""Both sides' parts of a vertical model put together again: the booster that XGBoost trains on the joined table, byte for byte.

For comparisons and demonstrations. In a federation no party has all parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from riskfed.errors import RegistryError
from riskfed.jobs import XgboostParameters
from riskfed.trees.booster_json import booster_json, parse_booster
from riskfed.trees.cuts import Cuts
from riskfed.trees.tree import Tree
from riskfed.vertical_model import FeaturePart, SplitRule, decision_feature


def joined_booster(model: bytes, parts: Mapping[str, FeaturePart], cuts: Cuts, job: XgboostParameters) -> bytes:
    """Put thresholds in the place of decisions.

    Args:
        model: JSON of the label holder's booster.
        parts: feature holder -> its part.
        cuts: of the joined table, `Cuts.joined` of the parties' in order; gives the names of its columns.
        job: the job that grew the model.

    Returns:
        JSON of the booster over the joined columns.

    Raises:
        RegistryError: model, parts and columns do not belong together.
    """
    trees, base_score, names = parse_booster(model)
    rules = {
        name: rule
        for party, part in parts.items()
        if part.rules
        for name, rule in zip(decision_feature(party, len(part.rules)).columns, part.rules, strict=True)
    }
    places = {name: place for place, name in enumerate(cuts.feature_names)}
    if {name for name in names if name not in places} != set(rules) or any(
        r.column not in places for r in rules.values()
    ):
        raise RegistryError(
            "the parts' splits and columns are not those of the label holder's model; take parts of one run"
        )
    joined = [_joined(tree, names, rules, places) for tree in trees]
    return booster_json(joined, cuts.feature_names, job, base_score)


def _joined(tree: Tree, names: tuple[str, ...], rules: Mapping[str, SplitRule], places: Mapping[str, int]) -> Tree:
    indices, conditions = tree.split_indices.copy(), tree.split_conditions.copy()
    default_left = tree.default_left.copy()
    for node in np.flatnonzero(~tree.is_leaf).tolist():
        name = names[tree.split_indices[node]]
        rule = rules.get(name)
        indices[node] = places[name if rule is None else rule.column]
        if rule is not None:
            conditions[node], default_left[node] = rule.threshold, rule.default_left
    return replace(tree, split_indices=indices, split_conditions=conditions, default_left=default_left)
