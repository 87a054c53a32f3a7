"""Polynomials that stand for the sigmoid under encryption, where sums and products are all there is.

With u the log-odds of default and y in {0, 1}, the residual of logistic regression is ``sigmoid(u) - y``. Here it is

    d(u, y) = 1/2 + a u + b u^3 - y,     and the loss whose slope in u it is: ln 2 + u/2 + a u^2/2 + b u^4/4 - y u

taylor  a = 1/4, b = 0: the second-order expansion of the loss at 0 (Yang, Liu, Chen, Tong 2019; Hardy et al. 2017, eq. 5, where
        y is -1 or 1). The loss is then ln 2 - 1/2 + 2 d^2: least squares on the labels. Scores are drawn towards 0.
cubic   the least-squares fit to the sigmoid on [-8, 8] (Kim, Song, Wang, Xia, Jiang 2018, JMIR Med Inform 6(2)e19, table of g_3), with
        coefficients rounded to multiples of 2^-24, so that whole numbers hold them exactly. It turns at |u| = 5.6: a score beyond is
        pulled back less, and beyond 8 it is worthless; parties bound their scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

COEFFICIENT_BITS: Final = 24
"""Polynomial coefficients are multiples of 2 to minus this power."""

_NEWTON_STEPS: Final = 20


@dataclass(frozen=True, slots=True)
class ResidualPolynomial:
    """One of them.

    Attributes:
        name: as `riskfed.jobs.VerticalLogistic.sigmoid`.
        linear, cubic: a and b, multiples of 2^-`COEFFICIENT_BITS`.
        reach: most size of one party's share of a score: what lies beyond is set to it.
    """

    name: str
    linear: float
    cubic: float
    reach: float

    @property
    def degree(self) -> int:
        """1 or 3."""
        return 3 if self.cubic else 1

    def residuals(self, scores: NDArray[np.float64], labels: NDArray[np.floating]) -> NDArray[np.float64]:
        """(n,) d of (n,) log-odds of default and (n,) labels, 1 for default."""
        return np.asarray(0.5 + scores * (self.linear + self.cubic * scores * scores) - labels, dtype=np.float64)

    def losses(self, scores: NDArray[np.float64], labels: NDArray[np.floating]) -> NDArray[np.float64]:
        """(n,) loss whose derivative in the score `residuals` is; ln 2 at a score of 0."""
        squares = scores * scores
        curved = squares * (self.linear / 2 + self.cubic / 4 * squares)
        return np.asarray(np.log(2.0) + scores * (0.5 - labels) + curved, dtype=np.float64)

    def score_of(self, rate: float) -> float:
        """The one score at which residuals add up to 0, where a share `rate` of 0 to 1 defaults: where an intercept begins."""
        score = (rate - 0.5) / self.linear
        for _ in range(_NEWTON_STEPS if self.cubic else 0):
            slope = self.linear + 3 * self.cubic * score * score
            score -= (0.5 + score * (self.linear + self.cubic * score * score) - rate) / slope
        return score

    @property
    def most_residual(self) -> float:
        """No residual of a score within two parties' reach is larger in size."""
        most = 2 * self.reach
        return 1.5 + most * (abs(self.linear) + abs(self.cubic) * most * most)


TAYLOR: Final = ResidualPolynomial("taylor", 0.25, 0.0, 16.0)
CUBIC: Final = ResidualPolynomial("cubic", 2_518_603 / 2**24, -26_726 / 2**24, 8.0)


def polynomial_of(sigmoid: str) -> ResidualPolynomial:
    """The polynomial of a job's ``sigmoid``, "taylor" or "cubic"."""
    return {"taylor": TAYLOR, "cubic": CUBIC}[sigmoid]


def exact_residuals(scores: NDArray[np.float64], labels: NDArray[np.floating]) -> NDArray[np.float64]:
    """(n,) residuals by the sigmoid itself, to compare with."""
    return np.asarray(1 / (1 + np.exp(-scores)) - labels, dtype=np.float64)


def exact_losses(scores: NDArray[np.float64], labels: NDArray[np.floating]) -> NDArray[np.float64]:
    """(n,) negative log-likelihoods, to compare with."""
    return np.asarray(np.logaddexp(0.0, scores) - scores * labels, dtype=np.float64)
