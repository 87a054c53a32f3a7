"""A linear model's points card, as each side prints it: its own terms bin by bin; of the others' no more than their sum."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from riskfed.linear_model.terms import LinearScore, StandardTerm, WoeTerm
from riskfed.schema import Schema
from riskfed.scorecard.tables import markdown

if TYPE_CHECKING:
    import pandas as pd

    from riskfed.linear_model.model import VerticalLogisticModel

_HEAD = ("variable", "bin", "WoE", "log-odds", "points")
Row = tuple[str, str, float | None, float | None, int | None]
"""Variable, bin, WoE, what it adds to the log-odds of default (of a standardised column for each standard deviation), points."""


def score_table(score: LinearScore, schema: Schema) -> pd.DataFrame:
    """One party's terms.

    Args:
        score: the terms.
        schema: of the party's own columns.

    Returns:
        A row for each bin, and one for each standardised column. Columns: ``variable``, ``bin``, ``woe``, ``log_odds`` (float64; what it
        adds to the log-odds of default, of a standardised column for each standard deviation), ``points`` (Int64; missing there).
    """
    import pandas as pd

    rows = list(score_rows(score, schema))
    table = pd.DataFrame(rows, columns=["variable", "bin", "woe", "log_odds", "points"])
    return table.astype({"woe": "float64", "log_odds": "float64", "points": "Int64"})


def part_text(party: str, score: LinearScore, schema: Schema) -> str:
    """A feature holder's own card in Markdown."""
    head = f"{party}: {len(score.terms)} terms of a joint scorecard. The label holder gets their sum for a customer, and no row.\n"
    return f"{head}\n{_markdown(score_rows(score, schema))}"


def model_text(model: VerticalLogisticModel, schema: Schema) -> str:
    """The label holder's card in Markdown: scale, own terms, and one row for each partner."""
    head = (
        f"Scorecard of {len(model.own.terms)} own terms"
        f"{' and the partial score of ' + ', '.join(model.partners) if model.partners else ''}, "
        f"developed on {model.rows:,} loans ({model.defaults:,} defaults)\n\n"
        f"{model.base_score:g} points are odds of {model.base_odds:g} to 1; {model.pdo:g} points double the odds. "
        f"Everyone begins with {model.base_points} points.\n"
    )
    rounding = f"\nThe sum of whole points is within {model.rounding:.1f} points of the exact score.\n"
    return f"{head}\n{_markdown(model_rows(model, schema))}{rounding}"


def model_rows(model: VerticalLogisticModel, schema: Schema) -> Iterator[Row]:
    """Rows of the label holder's card: the own ones, and for each partner one that says what its score weighs in points."""
    yield from score_rows(model.own, schema)
    for partner in model.partners:
        yield partner, f"partial score, times {-model.scale.factor:.4f} points", None, None, None


def score_rows(score: LinearScore, schema: Schema) -> Iterator[Row]:
    """Rows of one party's card."""
    features = {feature.name: feature for feature in schema.features}
    for term in score.terms:
        match term:
            case WoeTerm():
                labels = term.bins.labels(features[term.feature])
                for label, woe, share, points in zip(labels, term.woes, term.shares, term.points, strict=True):
                    yield term.feature, label, woe, share, points
            case StandardTerm():
                each = f"each {term.scale:.6g} above {term.mean:.6g}"
                yield score.columns[term.column], each, None, term.coefficient, None


def _markdown(rows: Iterator[Row]) -> str:
    printed, before = [list(_HEAD)], ""
    for variable, label, woe, share, points in rows:
        name, before = ("" if variable == before else variable), variable
        printed.append([name, label, *("" if figure is None else f"{figure:.3f}" for figure in (woe, share)), ""])
        printed[-1][-1] = "" if points is None else str(points)
    return markdown(printed)
