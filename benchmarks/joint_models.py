"""A vertical model from plain xgboost: trained on the joined table, then taken apart into what each party would keep.

Federated training gives the very same trees, so what is measured and tested of joint scoring does not need it.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from riskfed.jobs import HorizontalXgboost
from riskfed.protocols.release import ModelRelease
from riskfed.schema import Schema
from riskfed.serving.engine.model_files import ModelFiles, ModelReference
from riskfed.trees.booster_json import booster_json, parse_booster
from riskfed.trees.tree import Tree
from riskfed.vertical_model import Answers, FeaturePart, PartnerReference, SplitRule, joined_schema, leaf_masks_of


@dataclass(frozen=True)
class VerticalModel:
    """A joint Booster and what each party would keep of it.

    Attributes:
        schema: the vertical one.
        booster: JSON over `Schema.joined_columns`.
        model, label_schema: the label holder's, over its own columns and the 0/1 columns of feature holders.
        fallback: JSON of a Booster over the label holder's own columns.
        parts: feature holder -> its part.
    """

    schema: Schema
    booster: bytes
    model: bytes
    fallback: bytes
    label_schema: Schema
    parts: Mapping[str, FeaturePart]

    def release(self) -> ModelRelease:
        """As the label holder releases it, without figures."""
        return ModelRelease(
            self.model, self.label_schema, {}, [], [], 40, partners=self.references, fallback=self.fallback
        )

    def files(self) -> ModelFiles:
        """As a source gives them."""
        digest = hashlib.sha256(self.model).hexdigest()
        reference = ModelReference("joint", "1", "champion", "models:/joint", digest, self.label_schema.fingerprint)
        return ModelFiles(reference, self.model, self.label_schema, {}, self.references, self.fallback)

    @property
    def references(self) -> tuple[PartnerReference, ...]:
        """What the label holder's release says of the parts."""
        return tuple(
            PartnerReference(
                party=name, part_id=part.part_id, sha256=part.sha256, splits=len(part.rules), answers=part.answers
            )
            for name, part in self.parts.items()
        )


def take_apart(schema: Schema, booster: bytes, fallback: bytes, answers: Answers = "decisions") -> VerticalModel:
    """What each party keeps of a Booster over `schema.joined_columns`."""
    trees, base_score, columns = parse_booster(booster)
    own = schema.part_of(schema.label_holder)
    partners = [holder for holder in schema.holders if holder != schema.label_holder]
    held = {column: holder for holder in partners for column in schema.part_of(holder).columns}
    rules: dict[str, list[SplitRule]] = {holder: [] for holder in partners}
    for tree in trees:
        for node in np.flatnonzero(~tree.is_leaf):
            column = columns[tree.split_indices[node]]
            if column in held:
                condition, default = float(tree.split_conditions[node]), bool(tree.default_left[node])
                rules[held[column]].append(SplitRule(column, condition, default))
    label_schema = joined_schema(own, [(holder, len(found)) for holder, found in rules.items()])
    places = {column: place for place, column in enumerate(label_schema.columns)}
    numbers = dict.fromkeys(partners, 0)
    changed = [_label_side(tree, columns, held, places, numbers) for tree in trees]
    model = booster_json(changed, label_schema.columns, HorizontalXgboost(), base_score)
    parts = {}
    for holder in partners:
        start = places.get(f"{holder}=0", 0)
        masks = leaf_masks_of(changed, range(start, start + len(rules[holder]))) if answers == "leaf_sets" else ()
        parts[holder] = FeaturePart(
            holder, f"run-1.{holder}", schema.part_of(holder), tuple(rules[holder]), secrets.token_hex(16), masks
        )
    return VerticalModel(schema, booster, model, fallback, label_schema, parts)


def _label_side(
    tree: Tree, columns: Sequence[str], held: Mapping[str, str], places: Mapping[str, int], numbers: dict[str, int]
) -> Tree:
    """The tree over the label holder's columns: a partner's split looks at its 0/1 column."""
    indices, conditions = tree.split_indices.copy(), tree.split_conditions.copy()
    for node in np.flatnonzero(~tree.is_leaf):
        column = columns[tree.split_indices[node]]
        holder = held.get(column)
        if holder is None:
            indices[node] = places[column]
        else:
            indices[node], conditions[node] = places[f"{holder}={numbers[holder]}"], 0.5
            numbers[holder] += 1
    return replace(tree, split_indices=indices, split_conditions=conditions)
