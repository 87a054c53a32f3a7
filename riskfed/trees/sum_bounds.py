"""How large the numbers of the next pooled histograms can be, given what is pooled already.

A sum costs as many bits as its bounds have, so what follows from earlier sums need not be sent. Everything here is computed from pooled
numbers, alike by all parties, in plain elementwise double arithmetic. Let g and h be a record's fixed-point gradients, w its weight in
the same unit, H and G a cell's sums of them.

1. h >= 0, so a child's H is at most its parent's in that cell, and at most the child's own total.
2. A record is *faint* if it has a weight, but h < 2^10 (`riskfed.trees.gradient.FAINT`). Whether any party has one is summed with the
   root of each tree. Without faint records, a cell with H = 0 holds no record with a weight, so the cells of its descendants are all 0
   and are not sent at all.
3. |g| <= w, and h <= w / 4. In the first tree all records have one probability p, so that a cell's weight is H / (p (1 - p)); it is the
   same in all later trees, whose deeper cells hold some of these records.
4. |g| / h is 1 / p or 1 / (1 - p), at most 1 + exp|margin|. No margin lies outside the base margin plus the sums of the least and of the
   greatest leaf of each tree, so |G| <= (1 + exp|margin|) H, where H may be the parent's.

Rounding: without faint records, h is within 2^-11 of what it was before rounding to whole units, relatively; so is w. Float32 adds up to
2^-11 where 3 and 4 are used, for probabilities from 2^-12 to 1 - 2^-12. `_SLACK` covers them together.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from riskfed.trees.histogram import sum_bound
from riskfed.trees.tree import Tree

PARTIES: Final = 1 << 16
"""More parties than any federation has: the bound of their number that have faint records."""

_SLACK: Final = 1 + 2**-8
_LEAST_PROBABILITY: Final = 2**-12
_FLOAT32_STEP: Final = 2**-20
"""More than what adding one leaf to a margin within +-8.4 rounds away."""

_Bounds = NDArray[np.int64]


class SumBounds:
    """What is known of the pooled sums, and the bounds that follow.

    Args:
        heaviest: no weight over all records is larger, ``scale_pos_weight`` included.
        bits: fractional bits of the histograms.
        base_score: prior PD, from which all margins start.
        n_cells: number of bins of all features together.

    Attributes:
        gradients, hessians: bounds of the sums over all records.
    """

    def __init__(self, heaviest: float, bits: int, base_score: float, n_cells: int) -> None:
        self.gradients, self.hessians = sum_bound(heaviest, bits), sum_bound(heaviest / 4, bits)
        prior = float(np.float32(base_score))
        self._variance, self._odds = prior * (1 - prior), prior / (1 - prior)
        self._moderate = _LEAST_PROBABILITY <= prior <= 1 - _LEAST_PROBABILITY
        # By cell: no sum of g of any of its records is above the first, of h the second.
        self._by_cell = np.full((2, n_cells), [[self.gradients], [self.hessians]], dtype=np.float64)
        self._lowest = self._highest = 0.0
        self._trees, self._faint = 0, True

    def at_root(self) -> _Bounds:
        """(2 b + 3,) int64 bounds of the root's histogram, of the sums of g and h over all records, and of the parties with faint ones."""
        rest = np.array([self.gradients, self.hessians, PARTIES], dtype=np.int64)
        return np.concatenate([np.ceil(self._by_cell.T).astype(np.int64).reshape(-1), rest])

    def below(self, parents: NDArray[np.int64], hessians: NDArray[np.int64]) -> _Bounds:
        """Bounds of the histograms of some children.

        Args:
            parents: (k, 2 b) int64 pooled histogram of the parent of each.
            hessians: (k,) int64 pooled sum of h of each child.

        Returns:
            (k, 2 b) int64.
        """
        bounds = np.empty_like(parents)
        bounds[:, 1::2] = np.minimum(parents[:, 1::2], hessians[:, None])
        gradients = np.broadcast_to(self._by_cell[0], (len(parents), self._by_cell.shape[1]))
        if not self._faint:
            gradients = np.minimum(gradients, np.ceil(bounds[:, 1::2] * self._gradient_per_hessian()))
        bounds[:, 0::2] = gradients.astype(np.int64)
        return bounds

    def learn_root(self, histogram: NDArray[np.int64], faint: bool) -> None:
        """Take in the pooled root of a tree.

        Args:
            histogram: (2 b,) int64.
            faint: whether any party has faint records under the margins of this tree.
        """
        self._faint = faint
        if self._trees == 0 and self._moderate and not faint:
            weights = np.ceil(histogram[1::2] * (_SLACK / self._variance))
            self._by_cell = np.minimum(self._by_cell, [weights, np.ceil(weights * (_SLACK / 4))])

    def learn_tree(self, tree: Tree) -> None:
        """Take in a tree that was added to the margins."""
        leaves = tree.split_conditions[tree.is_leaf]
        self._lowest += float(leaves.min()) - _FLOAT32_STEP
        self._highest += float(leaves.max()) + _FLOAT32_STEP
        self._trees += 1

    def _gradient_per_hessian(self) -> float:
        """The most that |g| / h can be, of a record that is not faint."""
        if not self._moderate:
            return 2.0**63
        odds = max(self._odds * _exp_bound(self._highest), _exp_bound(-self._lowest) / self._odds)
        # Probabilities nearer to 0 or 1 have too few digits in float32. The power of two is above all bounds of g, as h >= 1.
        return (1 + odds) * _SLACK if odds < 1 / _LEAST_PROBABILITY else 2.0**63


def _exp_bound(exponent: float) -> float:
    """A number no less than exp(exponent), and at most a sixteenth more; the same on every machine, which the C library's is not."""
    # Rounded upwards: log2(e) is 1.44269504...
    power = min(exponent * (1.4426951 if exponent > 0 else 1.442695), 1000.0)
    whole = math.floor(power)
    # 2^x is convex: between two whole powers it lies below the chord.
    return math.ldexp(1 + (power - whole), whole)
