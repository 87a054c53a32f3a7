"""What a bank could have done alone: a model of its own records, grown tree by tree beside the federation's.

It takes no part in the protocol, and nothing of it is summed. Both models' log-loss on the bank's own held-out rows become `OwnMetrics`,
which leave a bank only where its policy shows its own figures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from riskfed.protocols.early_stopping import Watch
from riskfed.protocols.measuring.score_cells import losses
from riskfed.protocols.program import run_alone
from riskfed.trees.grower import Grower
from riskfed.trees.logit import margin_of, sigmoid


@dataclass(slots=True)
class Alone:
    """One bank's own model.

    Attributes:
        grower: over the bank's own development rows alone, with the shared cuts and a prior PD of its own.
        base_score: that prior PD.
        codes: (f, n) uint8 bins of its held-out rows.
        labels: (n,) float32 of these.
    """

    grower: Grower
    base_score: float
    codes: np.ndarray
    labels: np.ndarray
    _margins: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self._margins = np.full(self.codes.shape[1], margin_of(self.base_score), dtype=np.float32)

    def after(self, trees: int, watch: Watch) -> dict[str, float]:
        """Grow up to `trees` trees; ``alone_logloss`` and ``federated_logloss`` on the bank's own held-out rows then."""
        while len(self.grower.trees) < trees:
            self._grow_tree()
        figures = {"alone_logloss": self._loss(self._margins), "federated_logloss": self._loss(watch.margins)}
        return figures if all(map(math.isfinite, figures.values())) else {}

    def _grow_tree(self) -> None:
        grower = self.grower
        grower.begin_tree()
        while grower.has_open_nodes():
            grower.split(grower.histograms())
        grower.end_tree().add_margins(self.codes, self._margins)

    def _loss(self, margins: np.ndarray) -> float:
        return run_alone(losses(sigmoid(margins), self.labels, len(self.labels)))["logloss"]


def can_learn_alone(labels: np.ndarray, held_out_labels: np.ndarray, least_cell: int) -> bool:
    """Whether a bank has goods and bads to learn from, and at least `least_cell` held-out rows to measure on."""
    return 0 < int((labels != 0).sum()) < len(labels) and len(held_out_labels) >= least_cell
