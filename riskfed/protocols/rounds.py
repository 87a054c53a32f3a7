"""How often a job may ask: the most sums over the records, or in a vertical job exchanges, that one attempt of a run can take.

A bank's policy holds this against what it lets out in a day (`bank_nodes.policy`).
"""

from __future__ import annotations

from typing import Final

from riskfed.errors import JobError
from riskfed.jobs import (
    BankContribution,
    FederatedTransfer,
    HorizontalScorecard,
    HorizontalXgboost,
    Job,
    ModelMonitoring,
    VerticalLogistic,
    VerticalXgboost,
)
from riskfed.protocols.alignment import MOST_EXCHANGES
from riskfed.protocols.contribution.copied_rows import MOST_ROUNDS as _COPIES
from riskfed.protocols.contribution.measure import most_batches
from riskfed.protocols.measuring.calibration_fit import MOST_ROUNDS as _CALIBRATION
from riskfed.protocols.measuring.score_cells import FIRST_BITS
from riskfed.protocols.order_search import FAN_OUT_BITS, KEY_BITS
from riskfed.protocols.regression.variable_selection import most_selection_rounds
from riskfed.protocols.transfer.encrypted_descent import EXCHANGES as _STEP_OF_TRANSFER

_CANARY: Final = 1
_CHECKPOINT: Final = 2
"""A later attempt first looks for the last tree that all banks have."""
_TOTALS: Final = 1
_SCORE_CELLS: Final = 1 + (KEY_BITS - FIRST_BITS) // FAN_OUT_BITS
_LOSSES: Final = 1
_BINNING: Final = 2
_DEVELOPED: Final = 1
_TABLES: Final = 2
_MEASURING: Final = _SCORE_CELLS + _LOSSES + _CALIBRATION + _TABLES
_SWAP_SET: Final = _SCORE_CELLS + 3
_SEALED_OPENING: Final = 3
_TOGETHER: Final = 6
"""Where to go on from, columns and key, the parts, and the release: at most."""
_LEVEL: Final = 4
"""Sums of its nodes, then their splits: asked for, and answered."""
_DEFAULTS_BY_BIN: Final = 2
_END_OF_EPOCH: Final = 2
_FEATURES: Final = 100
"""Features of a schema, where neither job nor caller says how many may enter a scorecard."""
_ROWS: Final = 100_000
"""Common customers, where the caller does not know how many there can be."""
_PARTIES: Final = 5
"""Banks that take part, where the caller does not say."""


def most_rounds(job: Job, n_features: int | None = None, *, parties: int = _PARTIES, rows: int | None = None) -> int:
    """Most protected sums of one attempt, the canary's included; of a vertical job, most exchanges of sealed messages, with the opening.

    Args:
        job: any.
        n_features: features of the schema; None if not known, which for a scorecard that names none counts as 100. Only the choice of
            variables depends on it.
        parties: of the roster. Contributions and vertical logistic regressions depend on it.
        rows: records of a party, hence most common customers; None if not known, which counts as 100,000. Only vertical logistic
            regressions depend on it.

    Raises:
        JobError: a kind of job that is not known here.
    """
    if job.releaser is not None:
        return _SEALED_OPENING + MOST_EXCHANGES + _TOGETHER + _of_exchanges(job, parties, rows)
    match job:
        case HorizontalXgboost():
            return _CANARY + _CHECKPOINT + _of_trees(job) + (job.validation_fraction > 0) * _of_validation(job)
        case HorizontalScorecard():
            fitted = _TOTALS + _BINNING + _of_selection(job, n_features)
            return _CANARY + fitted + (job.validation_fraction > 0) * _of_validation(job)
        case ModelMonitoring():
            return _CANARY + _MEASURING
        case BankContribution():
            return _CANARY + _CHECKPOINT + _COPIES + 1 + _of_coalitions(job, parties, n_features)
    raise JobError(f"no bound on the rounds of job {job.kind} in this release")


def _of_exchanges(job: Job, parties: int, rows: int | None) -> int:
    """Of a job in which parties have different columns, once they have found their common customers."""
    match job:
        case VerticalXgboost():
            return (job.n_estimators - job.label_holder_trees) * job.max_depth * _LEVEL
        case VerticalLogistic():
            batches = max((_ROWS if rows is None else rows) // job.batch_size, 1)
            return _DEFAULTS_BY_BIN + job.epochs * (batches * (parties + 1) + _END_OF_EPOCH)
        case FederatedTransfer():
            return job.iterations * _STEP_OF_TRANSFER
    raise JobError(f"no bound on the exchanges of job {job.kind} in this release")


def _of_trees(job: HorizontalXgboost) -> int:
    watched = job.validation_fraction > 0
    if job.privacy is not None:
        # Held-out totals, noised totals, and of each tree its leaves or its levels.
        levels = job.max_depth if job.privacy.splits == "histogram" else 1
        return 2 * _TOTALS + job.n_estimators * (levels + watched * _LOSSES)
    by_auc = job.early_stopping_rounds is not None and job.eval_metric == "auc"
    tree = job.max_depth + watched * (_LOSSES + by_auc * _SCORE_CELLS)
    return _TOTALS + 1 + job.cut_rounds + job.n_estimators * tree


def _of_coalitions(job: BankContribution, banks: int, n_features: int | None) -> int:
    measuring = max(_SCORE_CELLS, _LOSSES)
    model = job.model
    if isinstance(model, HorizontalXgboost):
        batch, cuts = _TOTALS + model.n_estimators * model.max_depth + measuring, 1 + model.cut_rounds
    else:
        batch, cuts = _TOTALS + _BINNING + _of_selection(model, n_features) + measuring, 0
    return cuts + most_batches(job, banks) * batch


def _of_selection(job: HorizontalScorecard, n_features: int | None) -> int:
    known = _FEATURES if n_features is None else n_features
    columns = known if job.features is None else len(job.features)
    # Without selection, variables of the wrong sign still leave one by one.
    method = "backward" if job.selection == "none" and job.sign_check else job.selection
    return most_selection_rounds(method, columns, firth=job.firth)


def _of_validation(job: Job) -> int:
    return _DEVELOPED + _MEASURING + (job.champion_sha256 is not None) * _SWAP_SET
