"""Section 4 of trees: what they look at, and how they learned."""

from __future__ import annotations

import json

import numpy as np

from riskfed.reports.plots import feature_gains
from riskfed.reports.validation_report import charts
from riskfed.reports.validation_report.blocks import Block, Cell, Column, Picture, Pictures, Side, Table, Terms, missing
from riskfed.reports.validation_report.report_input import ReportInput
from riskfed.reports.validation_report.svg import Axis, axis
from riskfed.reports.validation_report.text_format import NONE, count, decimal, percent, ratio
from riskfed.trees.booster_json import ParsedBooster


def features(given: ReportInput, booster: ParsedBooster) -> list[Block]:
    """Gains, splits and constraints by feature."""
    features = given.release.schema.features
    owner = [feature.name for feature in features for _ in feature.columns]
    splits: dict[str, int] = {}
    for tree in booster.trees:
        for node in np.flatnonzero(~tree.is_leaf):
            name = owner[tree.split_indices[node]]
            splits[name] = splits.get(name, 0) + 1
    gains = feature_gains(given.release) if given.release.form == "full" else {}
    whole, largest = sum(gains.values()), max(gains.values(), default=0.0)
    constraints, none = _constraints(given), "none" if "monotone_constraints" in given.facts else NONE
    ranked = sorted(splits, key=lambda name: (-gains.get(name, 0.0), -splits[name], name))
    rows: list[tuple[Cell, ...]] = []
    for name in ranked:
        share = ratio(gains[name], whole) if name in gains else None
        bar = charts.cell_bar(gains.get(name, 0.0), largest)
        rows.append((name, percent(share), bar, count(splits[name]), constraints.get(name, none)))
    columns = (
        Column("Feature", number=False),
        Column("Share of gain"),
        Column("", number=False),
        Column("Splits"),
        Column("Must rise or fall", "PD with the value", number=False),
    )
    unused = sorted({feature.name for feature in features} - set(splits))
    note = f"Never used: {', '.join(unused)}." if unused else "Every feature is used."
    if not gains:
        note += " Gains were left out of this release."
    terms = Terms(
        (("gain", "how much the splits on a feature lower the training loss; one-hot columns count together"),)
    )
    if not rows:
        return [missing("The trees have no split: they give every applicant the same score.")]
    return [Table("Features by gain", columns, rows, note), terms]


def _constraints(given: ReportInput) -> dict[str, str]:
    """Feature -> direction, from the job's parameters where they are known."""
    try:
        stated = json.loads(given.facts.get("monotone_constraints", "{}"))
    except ValueError:
        return {}
    named = stated if isinstance(stated, dict) else {}
    words = {1: "rises", -1: "falls"}
    found: dict[str, list[str]] = {}
    for feature in given.release.schema.features:
        for column in feature.columns:
            if named.get(column) in words:
                text = words[named[column]]
                found.setdefault(feature.name, []).append(text if column == feature.name else f"{column} {text}")
    return {name: ", ".join(texts) for name, texts in found.items()}


def learning(given: ReportInput, booster: ParsedBooster) -> list[Block]:
    points = [(tree, entry["logloss"]) for tree, entry in enumerate(given.release.history, 1) if "logloss" in entry]
    if len(points) < 2:
        return [missing("There is no learning curve: the log-loss was not measured tree by tree.")]
    trees, losses = [float(tree) for tree, _ in points], [loss for _, loss in points]
    y = axis("log-loss, held out", losses, lambda loss: decimal(loss, 3), zero=False)
    drawn = charts.curve("Learning curve", Axis("trees", 1, trees[-1], "{:.0f}".format), y, trees, losses)
    picture = Pictures((Picture(drawn, "Learning curve: log-loss of the held-out loans after each tree."),))
    best = min(points, key=lambda point: point[1])
    figures = [*_size(booster), ("Least log-loss", f"{best[1]:.4f}, after tree {best[0]}")]
    return [Side(picture, Table("The trees", (Column("Figure", number=False), Column("Value")), figures, narrow=True))]


def _size(booster: ParsedBooster) -> list[tuple[str, str]]:
    leaves = sum(int(tree.is_leaf.sum()) for tree in booster.trees)
    splits = sum(int((~tree.is_leaf).sum()) for tree in booster.trees)
    return [
        ("Trees", count(len(booster.trees))),
        ("Splits", count(splits)),
        ("Leaves", count(leaves)),
        ("PD before the first tree", percent(float(booster.base_score), 2)),
    ]
