"""Realistic releases for the report's tests: plain pooled fits on generated loans, with every part of an evaluation filled in."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import statsmodels.api as sm
import xgboost

from riskfed.datasets import SyntheticLoans
from riskfed.protocols.release import ModelRelease
from riskfed.schema import Attribute, Feature, Schema
from riskfed.scorecard.bins import FeatureBins
from riskfed.scorecard.card import Candidate, CardBin, CardVariable, Fit, Scorecard, SelectionStep
from riskfed.scorecard.points import ScoreScale
from tests.reports.measured import measured

_PARENT = SyntheticLoans(3).schema()
_FEATURES = (
    "bureau_score", "revolving_utilisation", "debt_to_income", "delinquencies_24m", "inquiries_6m", "annual_income",
    "employment_months", "loan_amount", "term_months", "purpose", "employment_type",
)  # fmt: skip
COHORTS = tuple(year * 100 + month for year in range(2019, 2023) for month in (1, 4, 7, 10))
SCHEMA = Schema(
    name="retail loans",
    version="7",
    description="90 days past due within 12 months of granting; personal and car loans to private customers, granted 2019 to 2022",
    target="default",
    features=tuple(feature for feature in _PARENT.features if feature.name in _FEATURES),
    attributes=(
        Attribute(name="channel", encoding="ordinal", levels=("branch", "online", "broker", "partner")),
        Attribute(name="age", role="protected", edges=(30, 60), reference=1),
        Attribute(name="vintage", encoding="ordinal", levels=COHORTS, role="cohort", recent=COHORTS[-4:]),
    ),
)
FACTS = {
    "run": "run-2026-11-04",
    "banks": "5",
    "roster": "community, digital, premier, specialty, universal",
    "protection": "masking",
    "transport": "session",
    "started": "2026-11-04 09:12 UTC",
    "finished": "09:14 UTC",
    "rounds": "41",
    "bytes": "5312345",
    "registered": "riskfed-pd, version 3",
    "validation_fraction": "0.3",
    "max_bins": "6",
    "selection": "stepwise",
}
SCALE = ScoreScale()


@cache
def loans(rows: int = 12_000) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Development and held-out loans of all banks."""
    banks = [SyntheticLoans(3).bank(number).shard(0, rows) for number in range(3)]
    frame = pd.concat(banks, ignore_index=True)
    frame = frame[frame["vintage"].isin(COHORTS)].reset_index(drop=True)
    held_out = np.random.default_rng(1).random(len(frame)) < 0.3
    return frame[~held_out].reset_index(drop=True), frame[held_out].reset_index(drop=True)


@cache
def scorecard_release(*, everything: bool = True) -> ModelRelease:
    """A scorecard with its evaluation; without attributes and champion where not `everything`."""
    card = _card()
    development, held_out = loans()
    schema = SCHEMA if everything else SCHEMA.model_copy(update={"attributes": ()})
    matrix = SCHEMA.encode(held_out)
    pds = card.pd(SCHEMA.encode(development)), card.pd(matrix)
    contributions = card.contributions(lambda at: matrix[:, at]) - np.array(
        [v.coefficient * v.mean_woe for v in card.variables]
    )
    names = [variable.feature for variable in card.variables]
    champion = xgboost_pd(held_out) if everything else None
    bins = {variable.feature: variable.feature_bins for variable in card.variables}
    evaluation = measured(schema, SCALE, (development, held_out), pds, (names, contributions), champion, bins)
    return ModelRelease(
        card.to_bytes(), schema, evaluation.figures(), [], [], 24, kind="horizontal_scorecard", evaluation=evaluation
    )


@cache
def xgboost_release() -> ModelRelease:
    """Trees with their evaluation, with the scorecard as champion."""
    booster, (development, held_out), matrix = _booster(), loans(), SCHEMA.encode(loans()[1])
    names = list(SCHEMA.columns)
    pds = xgboost_pd(development), xgboost_pd(held_out)
    shares = booster.predict(xgboost.DMatrix(matrix, feature_names=names), pred_contribs=True)[:, :-1]
    owner = np.array([number for number, feature in enumerate(SCHEMA.features) for _ in feature.columns])
    by_feature = np.stack([shares[:, owner == number].sum(axis=1) for number in range(len(SCHEMA.features))], axis=1)
    labels = [feature.name for feature in SCHEMA.features]
    bins = {variable.feature: variable.feature_bins for variable in _card().variables}
    evaluation = measured(SCHEMA, SCALE, (development, held_out), pds, (labels, by_feature), _card().pd(matrix), bins)
    rows = xgboost.DMatrix(matrix, SCHEMA.labels(held_out), feature_names=names)
    history = []
    for tree in range(1, booster.num_boosted_rounds() + 1):
        pd_ = np.clip(booster.predict(rows, iteration_range=(0, tree)).astype(float), 1e-9, 1 - 1e-9)
        y = SCHEMA.labels(held_out)
        history.append({"logloss": float(-np.mean(y * np.log(pd_) + (1 - y) * np.log1p(-pd_)))})
    model = bytes(booster.save_raw("json"))
    return ModelRelease(model, SCHEMA, evaluation.figures(), history, [], 40, evaluation=evaluation)


def xgboost_pd(frame: pd.DataFrame) -> np.ndarray:
    """PDs of the trees."""
    rows = xgboost.DMatrix(SCHEMA.encode(frame), feature_names=list(SCHEMA.columns))
    return np.asarray(_booster().predict(rows), dtype=np.float64)


@cache
def _booster() -> xgboost.Booster:
    development, _ = loans()
    matrix = xgboost.DMatrix(SCHEMA.encode(development), SCHEMA.labels(development), feature_names=list(SCHEMA.columns))
    parameters = {"objective": "binary:logistic", "max_depth": 3, "eta": 0.15, "nthread": 1}
    return xgboost.train(parameters, matrix, 40)


@cache
def _card() -> Scorecard:
    """Quantile bins, weights of evidence and statsmodels' logistic regression."""
    development, _ = loans()
    matrix, labels, at = SCHEMA.encode(development), SCHEMA.labels(development), 0
    candidates, chosen = [], []
    for feature in SCHEMA.features:
        columns = tuple(range(at, at + len(feature.columns)))
        at += len(columns)
        bins = _bins(feature, columns, matrix)
        rows = _rows(bins, feature, matrix, labels)
        goods, bads = sum(row.goods or 0 for row in rows), sum(row.bads or 0 for row in rows)
        iv = sum(((row.goods or 0) / goods - (row.bads or 0) / bads) * row.woe for row in rows)
        candidates.append(
            Candidate(feature=feature.name, iv=iv, bins=rows, left_out="" if iv > 0.02 else "IV is below 0.02")
        )
        if iv > 0.02:
            chosen.append((feature, bins, rows, iv))
    return _fitted(candidates, chosen, matrix, labels)


def _bins(feature: Feature, columns: tuple[int, ...], matrix: np.ndarray) -> FeatureBins:
    if feature.encoding == "onehot":
        return FeatureBins(feature.name, columns, groups=tuple((level,) for level in range(len(columns))))
    values = matrix[:, columns[0]]
    edges = np.unique(np.nanquantile(values, [0.15, 0.3, 0.5, 0.7, 0.85]).astype(np.float32))
    return FeatureBins(feature.name, columns, tuple(float(edge) for edge in edges if edge > np.nanmin(values)))


def _rows(bins: FeatureBins, feature: Feature, matrix: np.ndarray, labels: np.ndarray) -> tuple[CardBin, ...]:
    counts = bins.counts(lambda at: matrix[:, at], labels)
    whole = counts.sum(axis=0)
    found = []
    for text, (good, bad) in zip(bins.labels(feature), counts.tolist(), strict=True):
        woe = float(np.log(((good + 0.5) / whole[0]) / ((bad + 0.5) / whole[1]))) if good + bad else 0.0
        found.append(CardBin(label=text, goods=good, bads=bad, woe=woe, points=0, exact_points=0.0))
    return tuple(found)


def _fitted(candidates: list, chosen: list, matrix: np.ndarray, labels: np.ndarray) -> Scorecard:
    woes = [np.array([row.woe for row in rows])[bins.codes(lambda at: matrix[:, at])] for _, bins, rows, _ in chosen]
    design = np.column_stack(woes)
    fit = sm.Logit(labels, sm.add_constant(design)).fit(disp=0)
    inverse = np.linalg.inv(np.corrcoef(design.T))
    variables = []
    for number, (feature, bins, rows, iv) in enumerate(chosen):
        beta = float(fit.params[number + 1])
        exact = [-SCALE.factor * beta * row.woe for row in rows]
        pointed = tuple(row.model_copy(update={"points": round(p), "exact_points": p}) for row, p in zip(rows, exact))
        figures = (fit.bse[number + 1], fit.tvalues[number + 1], fit.pvalues[number + 1], inverse[number, number])
        error, z, p, vif = (float(value) for value in figures)
        mean = float(design[:, number].mean())
        variables.append(
            CardVariable(
                feature=feature.name,
                columns=bins.columns,
                edges=bins.edges,
                groups=bins.groups,
                bins=pointed,
                iv=iv,
                coefficient=beta,
                standard_error=error,
                wald_z=z,
                p_value=p,
                vif=vif,
                mean_woe=mean,
            )
        )
    steps = [
        SelectionStep(action="enter", feature=v.feature, statistic=v.wald_z**2, p_value=v.p_value) for v in variables
    ]
    base = SCALE.offset - SCALE.factor * float(fit.params[0])
    return Scorecard(
        columns=SCHEMA.columns, base_score=600, base_odds=50, pdo=20, base_points=round(base), exact_base_points=base,
        variables=tuple(variables), candidates=tuple(candidates), selection=tuple(steps), fit=_fit(fit, labels),
    )  # fmt: skip


def _fit(fit: Any, labels: np.ndarray) -> Fit:
    return Fit(
        rows=len(labels), defaults=int(labels.sum()), intercept=float(fit.params[0]), intercept_error=float(fit.bse[0]),
        log_likelihood=float(fit.llf), null_log_likelihood=float(fit.llnull), aic=float(fit.aic), bic=float(fit.bic),
        iterations=7, ridge=0.0, firth=False,
    )  # fmt: skip
