"""Pooled totals: the first thing that banks which train together learn of each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from riskfed.errors import ContractError, JobError
from riskfed.jobs import Job, XgboostParameters
from riskfed.protocols.records import Records
from riskfed.trees.logit import estimate_base_score

WEIGHT_BITS = 32
"""Fractional bits of summed sample weights: a float32 weight of 2^-9 or more is exact."""
_ROWS_AT_ONCE = 1 << 20
MOST_WEIGHT = 2.0**29
"""Most that one bank's sample weights may sum to."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Pooled totals of the development rows, and the number of held-out ones."""

    rows: int
    defaults: int
    weight: float
    weight_of_defaults: float
    held_out_rows: int
    held_out_defaults: int

    @classmethod
    def local(cls, development: Records, held_out: Records) -> np.ndarray:
        """This bank's share, (6,) int64.

        Raises:
            ContractError: the sample weights are too large to be summed.
        """
        if (weight := float(development.weights.sum(dtype=np.float64))) > MOST_WEIGHT:
            raise ContractError(
                f"the sample weights sum to {weight:.3g}, at most {MOST_WEIGHT:.3g} is possible; scale them down"
            )
        defaults = summed = summed_bads = 0
        for start in range(0, len(development), _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            bads = development.labels[rows] != 0
            weights = np.rint(development.weights[rows].astype(np.float64) * 2.0**WEIGHT_BITS).astype(np.int64)
            defaults += int(bads.sum())
            summed += int(weights.sum())
            summed_bads += int(weights[bads].sum())
        held_out_bads = int((held_out.labels != 0).sum())
        counts = [len(development), defaults, summed, summed_bads, len(held_out), held_out_bads]
        return np.array(counts, dtype=np.int64)

    @classmethod
    def from_pooled(cls, pooled: np.ndarray, job: Job) -> Totals:
        """Read the pooled sum.

        Raises:
            JobError: there is nothing to learn from, or too little to measure on.
        """
        rows, defaults, weight, weight_of_defaults, held_out_rows, held_out_defaults = (int(value) for value in pooled)
        if not 0 < defaults < rows:
            raise JobError(
                "the pooled development rows hold no default, or nothing else; the consortium must widen its window"
            )
        if 0 < held_out_rows < job.least_cell:
            # Figures on a few rows, for another few at each seed, would tell the server of single ones.
            raise JobError(
                f"the banks hold out {held_out_rows} rows, figures need {job.least_cell} (least_cell); raise validation_fraction"
            )
        scale = 2.0**WEIGHT_BITS
        return cls(rows, defaults, weight / scale, weight_of_defaults / scale, held_out_rows, held_out_defaults)

    @classmethod
    def for_trees(cls, pooled: np.ndarray, job: XgboostParameters) -> Totals:
        """Read the pooled sum, for a job that grows trees.

        Raises:
            JobError: as `from_pooled`, or early stopping has too little to look at.
        """
        totals = cls.from_pooled(pooled, job)
        if job.early_stopping_rounds is not None and not 0 < totals.held_out_defaults < totals.held_out_rows:
            raise JobError("early stopping needs held-out rows of both classes; raise validation_fraction")
        return totals

    def base_score(self, job: XgboostParameters) -> float:
        """The prior PD: the job's, or what XGBoost itself would estimate, a float32 value."""
        if job.base_score is not None:
            return float(np.float32(job.base_score))
        repaid = self.weight - self.weight_of_defaults
        return float(estimate_base_score(self.weight_of_defaults, repaid, job.scale_pos_weight))
