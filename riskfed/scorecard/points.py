"""Points: a probability of default on the scale that credit officers read.

    points = offset - (pdo / ln 2) logit(PD),   offset = base - (pdo / ln 2) ln(odds)

(Siddiqi, Credit Risk Scorecards, 2006, ch. 6). Higher is better; `pdo` points double the odds of goods to bads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from riskfed.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class ScoreScale:
    """One scale.

    Attributes:
        base: points at `odds`.
        odds: goods to bads at `base`.
        pdo: points that double the odds.
        minimum, maximum: ends of the scale; what lies beyond is set to them.

    Raises:
        ConfigurationError: odds or pdo are not positive, or the ends are not in order.
    """

    base: float = 600.0
    odds: float = 50.0
    pdo: float = 20.0
    minimum: int = 300
    maximum: int = 850

    def __post_init__(self) -> None:
        finite = math.isfinite(self.base) and math.isfinite(self.odds) and math.isfinite(self.pdo)
        if not (finite and self.odds > 0 and self.pdo > 0 and self.minimum < self.maximum):
            raise ConfigurationError(
                "a scale of points needs odds and pdo above 0, and a minimum below the maximum; correct the scale"
            )

    @property
    def factor(self) -> float:
        """Points for each unit of log-odds."""
        return self.pdo / math.log(2)

    @property
    def offset(self) -> float:
        """Points at a PD of one half."""
        return self.base - self.factor * math.log(self.odds)

    def points(self, pd: np.ndarray | float) -> np.ndarray:
        """Points of probabilities of default.

        Args:
            pd: any shape, in [0, 1]; 0 gives `maximum` and 1 gives `minimum`.

        Returns:
            int32 of the same shape, rounded half to even, within [minimum, maximum].

        Raises:
            ConfigurationError: a PD is missing or outside of [0, 1].
        """
        p = np.asarray(pd, dtype=np.float64)
        if not ((p >= 0) & (p <= 1)).all():
            raise ConfigurationError("a PD is missing or outside of [0, 1]; points need probabilities")
        with np.errstate(divide="ignore"):
            return self.points_of_log_odds(np.log(p) - np.log1p(-p))

    def points_of_log_odds(self, log_odds: np.ndarray | float) -> np.ndarray:
        """Points of log-odds of default (a model's margins): exact also where the PD would round to 0 or 1.

        Args:
            log_odds: any shape, not missing; infinite ones give the ends of the scale.

        Returns:
            int32 of the same shape, as `points`.
        """
        exact = self.offset - self.factor * np.asarray(log_odds, dtype=np.float64)
        return np.rint(np.clip(exact, self.minimum, self.maximum)).astype(np.int32)
