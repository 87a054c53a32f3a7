"""What a model is worth, from counts of goods and bads by rising risk; and what it is worth to have none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from riskfed.evaluation.special_functions import log


@dataclass(frozen=True, slots=True)
class Lending:
    """What loans bring to a lender who approves the share `approval_rate` of lowest PDs.

    Attributes:
        approval_rate: in (0, 1).
        profit_per_good, loss_per_bad: of an approved loan, in one unit of money.
    """

    approval_rate: float
    profit_per_good: float
    loss_per_bad: float

    def profit(self, goods: Sequence[int], bads: Sequence[int]) -> float:
        """Profit per applicant; of loans with the same score at the cut-off, a share is approved.

        Args:
            goods, bads: by rising risk; loans of one cell are not told apart. One loan at least.
        """
        room = self.approval_rate * (sum(goods) + sum(bads))
        profit = 0.0
        left = room
        for good, bad in zip(goods, bads, strict=True):
            taken = min(left, float(good + bad))
            if good + bad:
                profit += taken / (good + bad) * (good * self.profit_per_good - bad * self.loss_per_bad)
            left -= taken
        return profit / (sum(goods) + sum(bads))


def logloss_of_one_pd(goods: int, bads: int) -> float:
    """Mean log-loss where every loan gets the one PD that suits all best, their default rate; both occur."""
    rows = goods + bads
    return -(goods * log(goods / rows) + bads * log(bads / rows)) / rows
