"""How often a job may ask: the most sums over the records that one attempt of a run can take, before it is begun.

A bank's policy holds this against what it lets out in a day (`bank_nodes.policy`).
"""

from __future__ import annotations

from typing import Final

from riskfed.jobs import HorizontalXgboost
from riskfed.protocols.evaluation import FIRST_BITS
from riskfed.protocols.order_search import FAN_OUT_BITS, KEY_BITS

_CANARY: Final = 1
_CHECKPOINT: Final = 2
"""A later attempt first looks for the last tree that all banks have."""
_TOTALS: Final = 1
_SCORE_CELLS: Final = 1 + (KEY_BITS - FIRST_BITS) // FAN_OUT_BITS
_LOSSES: Final = 1


def most_rounds(job: HorizontalXgboost) -> int:
    """Most protected sums of one attempt, the canary's included."""
    watched = job.validation_fraction > 0
    by_auc = job.early_stopping_rounds is not None and job.eval_metric == "auc"
    opening = _CANARY + _CHECKPOINT + _TOTALS + 1 + job.cut_rounds
    tree = job.max_depth + watched * (_LOSSES + by_auc * _SCORE_CELLS)
    return opening + job.n_estimators * tree + watched * (_SCORE_CELLS + _LOSSES)
