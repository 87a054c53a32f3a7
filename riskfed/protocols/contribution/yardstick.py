"""What a coalition's model is worth on the held-out loans of all banks, from sums as in `riskfed.protocols.measuring`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from riskfed.evaluation.utility import Lending, logloss_of_one_pd
from riskfed.jobs import BankContribution
from riskfed.protocols.measuring.score_cells import losses, score_cells
from riskfed.protocols.program import Program
from riskfed.protocols.records import Records
from riskfed.scoring import ScoringModel, pd_of


@dataclass(frozen=True, slots=True, eq=False)
class Yardstick:
    """Measures models.

    Attributes:
        held_out: this bank's loans to measure on, maybe none.
        goods, bads: of all banks; both above 0.
        job: says which utility.
    """

    held_out: Records
    goods: int
    bads: int
    job: BankContribution

    @property
    def base(self) -> float:
        """Utility of no model: all loans rank alike, and their PD is their own default rate."""
        match self.job.utility:
            case "auc":
                return 0.5
            case "logloss":
                return -logloss_of_one_pd(self.goods, self.bads)
            case "profit":
                return self._lending.profit([self.goods], [self.bads])

    def utility(self, model: ScoringModel) -> Program[float]:
        """Utility of a model; the same at every bank, to the last bit."""
        margins = np.concatenate([np.empty(0, np.float32), *map(model.margins, self.held_out.blocks())])
        labels = self.held_out.labels
        if self.job.utility == "logloss":
            figures = yield from losses(pd_of(margins), labels, self.goods + self.bads)
            return -figures["logloss"]
        cells = yield from score_cells(margins, labels)
        if self.job.utility == "auc":
            return cells.auc()
        return self._lending.profit(cells.goods.tolist(), cells.bads.tolist())

    @property
    def _lending(self) -> Lending:
        return Lending(self.job.approval_rate, self.job.profit_per_good, self.job.loss_per_bad)
