"""Trees without the statistics that scoring does not need: what a reader of the model learns of the records shrinks.

A tree as XGBoost writes it states three things of the pooled records at each node besides where it splits and what its leaves add:
the sum of hessians (``sum_hessian``, the cover), the loss reduction (``loss_changes``, the gain) and the node's own weight. With them, the
sums of gradients and hessians at each node can be solved for; published attacks start there (TimberStrike, arXiv 2506.07605).

No prediction reads any of the three. TreeSHAP (Lundberg et al. 2020, Nature Machine Intelligence 2, algorithm 2) reads covers: it weighs
a split's two sides by them. So covers are rounded, at the leaves, and added up from there: the two sides of a split make up its whole, and
contributions still add up to the margin. What rounding costs is measured by ``benchmarks/release_forms.py``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from riskfed.trees.tree import Tree

COVER_BITS: Final = 5
"""Significant binary digits that a leaf's cover keeps: it is off by 3.1 % at most. What that costs: docs/policy.md."""


def reduced(tree: Tree, cover_bits: int = COVER_BITS) -> Tree:
    """A tree that predicts alike, to the last bit, and states less.

    Args:
        tree: a grown tree.
        cover_bits: significant binary digits of a leaf's cover, at least 1.

    Returns:
        The tree with rounded ``sum_hessian``, with ``loss_changes`` of 0, and ``base_weights`` of 0 wherever it splits. Every leaf's
        value and every split are the same objects as before.
    """
    return replace(
        tree,
        sum_hessian=_rounded_covers(tree, cover_bits),
        loss_changes=np.zeros_like(tree.loss_changes),
        base_weights=np.where(tree.is_leaf, tree.base_weights, np.float32(0)),
    )


def round_significant(values: NDArray[np.float32], bits: int) -> NDArray[np.float32]:
    """(n,) float32 `values`, each rounded to `bits` significant binary digits; halves go to the even neighbour, 0 stays 0."""
    mantissa, exponent = np.frexp(values)
    rounded: NDArray[np.float32] = np.ldexp(np.rint(np.ldexp(mantissa, bits)), exponent - bits).astype(np.float32)
    return rounded


def _rounded_covers(tree: Tree, bits: int) -> NDArray[np.float32]:
    covers = np.where(tree.is_leaf, round_significant(tree.sum_hessian, bits), np.float32(0)).astype(np.float64)
    parents = tree.parents
    # A child has a higher number than its parent, so each node is complete when its turn comes.
    for node in range(tree.n_nodes - 1, 0, -1):
        covers[parents[node]] += covers[node]
    return covers.astype(np.float32)
