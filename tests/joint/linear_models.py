"""A small linear model in parts for tests: lender and payments in bins, a shop in standard deviations."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import pandas as pd

from riskfed.linear_model import LinearScore, ScorePart, StandardTerm, Term, VerticalLogisticModel, WoeTerm
from riskfed.protocols.release import ModelRelease
from riskfed.schema import Schema
from riskfed.scorecard.bins import FeatureBins
from riskfed.scorecard.points import ScoreScale
from riskfed.scorecard.woe import weights_of_evidence
from riskfed.serving.engine.model_files import ModelFiles, ModelReference
from riskfed.vertical_model import PartnerReference, joined_schema
from tests.joint.models import SCHEMA, customers

SCALE = ScoreScale()
BINS = {
    "income": FeatureBins("income", (0,), (20_000.0, 50_000.0), special=(0.0,)),
    "late payments": FeatureBins("late payments", (1,), (0.5, 1.5)),
    "turnover": FeatureBins("turnover", (0,), (-0.5, 0.5)),
    "region": FeatureBins("region", (1, 2), groups=((0,), (1,))),
}
COEFFICIENTS = {"income": -0.7, "late payments": -0.9, "turnover": -1.1, "region": -0.8}
ORDERS = StandardTerm(feature="orders", column=0, mean=3.0, scale=1.75, coefficient=-0.4)


@dataclass(frozen=True)
class LinearParts:
    """What each party keeps of the model, as `benchmarks.joint_models.VerticalModel` says it of trees."""

    model: bytes
    fallback: bytes
    label_schema: Schema
    parts: Mapping[str, ScorePart]
    references: tuple[PartnerReference, ...] = field(init=False)

    def __post_init__(self) -> None:
        told = tuple(
            PartnerReference(party=name, part_id=part.part_id, sha256=part.sha256, splits=1, answers="partial_score")
            for name, part in self.parts.items()
        )
        object.__setattr__(self, "references", told)

    def release(self) -> ModelRelease:
        return ModelRelease(
            self.model,
            self.label_schema,
            {"auc": 0.78, "ks": 0.41, "rows": 2000.0, "auc_label_holder_alone": 0.7},
            [{"logloss_taylor": 0.5}],
            [],
            0,
            kind="vertical_logistic",
            partners=self.references,
            fallback=self.fallback,
        )

    def files(self) -> ModelFiles:
        digest = hashlib.sha256(self.model).hexdigest()
        reference = ModelReference("joint", "1", "champion", "models:/joint", digest, self.label_schema.fingerprint)
        return ModelFiles(reference, self.model, self.label_schema, {}, self.references, self.fallback)


@cache
def linear_parts() -> LinearParts:
    """The model; the same one at each call."""
    score = {party: LinearScore(columns=SCHEMA.part_of(party).columns, terms=_terms(party)) for party in SCHEMA.holders}
    salts = {"payments": "5a" * 16, "shop": "a5" * 16}
    parts = {
        party: ScorePart(party, f"run-{party}", SCHEMA.part_of(party), score[party], salt)
        for party, salt in salts.items()
    }
    scale = {"base_score": SCALE.base, "base_odds": SCALE.odds, "pdo": SCALE.pdo, "rows": 2_000, "defaults": 900}
    own = score["lender"]
    model = VerticalLogisticModel(
        columns=(*own.columns, *parts), intercept=-0.3, own=own, partners=tuple(parts), **scale
    )
    fallback = VerticalLogisticModel(columns=own.columns, intercept=-0.2, own=own, **scale)
    schema = joined_schema(SCHEMA.part_of("lender"), [(party, 1) for party in parts], "partial_score")
    return LinearParts(model.to_bytes(), fallback.to_bytes(), schema, parts)


def woes(feature: str) -> list[float]:
    """Centred weights of evidence of a feature's bins."""
    frame = customers(2_000)
    encoded = SCHEMA.part_of(_holder(feature)).encode(frame)
    counts = BINS[feature].counts(lambda place: encoded[:, place], frame["default"].to_numpy())
    found = np.array(weights_of_evidence([(int(goods), int(bads)) for goods, bads in counts]))
    return (found - np.average(found, weights=counts.sum(axis=1))).tolist()


def joint_log_odds(frame: pd.DataFrame) -> np.ndarray:
    """Log-odds on the joined table, by pandas: nothing of the product but the weights."""
    total = np.full(len(frame), -0.3)
    special_or_missing = {"income": frame["income"] == 0}
    for name, edges in (("income", (20_000, 50_000)), ("turnover", (-0.5, 0.5))):
        woe, codes = woes(name), pd.cut(frame[name], [-np.inf, *edges, np.inf], right=False, labels=False)
        codes = codes.mask(special_or_missing.get(name, pd.Series(data=False, index=frame.index)), 3)
        total += COEFFICIENTS[name] * np.array(woe)[codes.fillna(len(woe) - 1).astype(int)]
    for name, levels in (("late payments", ("none", "one", "many")), ("region", ("north", "south"))):
        woe = dict(zip(levels, woes(name)))
        total += COEFFICIENTS[name] * frame[name].map(woe).fillna(woes(name)[-1]).to_numpy()
    return np.asarray(total + (-0.4 * (frame["orders"] - 3.0) / 1.75).fillna(0).to_numpy())


def _terms(party: str) -> tuple[Term, ...]:
    if party == "shop":
        return (ORDERS,)
    return tuple(
        WoeTerm.of(bins, woes(name), COEFFICIENTS[name], SCALE.factor)
        for name, bins in BINS.items()
        if _holder(name) == party
    )


def _holder(feature: str) -> str:
    return next(each.holder for each in SCHEMA.features if each.name == feature)
