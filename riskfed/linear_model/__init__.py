"""A linear model in parts: what each party of a vertical logistic regression keeps, and what it makes of a record.

The log-odds of default are a sum over the parties' terms and the label holder's intercept. So each party can add up its own terms, its
**partial score**, and the label holder needs one number of each feature holder to score a customer.
"""

from __future__ import annotations

from riskfed.linear_model.card import model_rows, score_table
from riskfed.linear_model.model import VerticalLogisticModel, is_vertical_logistic
from riskfed.linear_model.part import Part, ScorePart, read_part, read_partial_score
from riskfed.linear_model.terms import LinearScore, StandardTerm, Term, WoeTerm

__all__ = [
    "LinearScore",
    "Part",
    "ScorePart",
    "StandardTerm",
    "Term",
    "VerticalLogisticModel",
    "WoeTerm",
    "is_vertical_logistic",
    "model_rows",
    "read_part",
    "read_partial_score",
    "score_table",
]
