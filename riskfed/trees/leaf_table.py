"""The leaves of a forest as rows of arrays, and the Shapley values of a leaf's margin in closed form.

Path-dependent TreeSHAP (Lundberg et al. 2020, Nature Machine Intelligence 2, algorithm 2) asks what a tree predicts when only some features
are known: at a split on an unknown one, both sides count, by their share of the parent's cover. Seen from one leaf with value v that is a
product over the distinct features on its path. Where feature j is known it gives o_j, which is 1 if the record meets all of the path's
conditions on j and 0 if not; where it is unknown, z_j, the product of the cover shares at the path's splits on j. The Shapley value of
feature i is then

    phi_i = v (o_i - z_i) integral over u from 0 to 1 of prod_{j != i} (z_j + (o_j - z_j) u) du,

by the multilinear extension of a game (Owen 1972, "Multilinear extensions of games", Management Science 18). The integrand is a polynomial
in u of degree d - 1 for d distinct features, which Gauss-Legendre quadrature with ceil(d / 2) nodes integrates exactly.

Two leaves below the same split have the same conditions on their paths. They are held together, as a `Fork`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from riskfed.errors import RegistryError
from riskfed.trees.tree import Tree

_NONE = -1


class Forks(NamedTuple):
    """Splits with a leaf at their left, their right or both, all at the same depth: d splits on the path, their own the last.

    Attributes:
        splits: (d, n) intp numbers of the path's splits (see `Forest`), from the root down.
        columns: (d, n) intp columns of these splits.
        goes_right: (d, n) whether the path goes right there; not used in the last row, where both sides are ends.
        shares: (d, n) float64 share of the cover on the side to which the path goes; on the left side in the last row.
        values: (2, n) float64 margin of the left leaf and the right one; 0 where that side is no leaf.
        first: (d, n) intp position on the path of the first split on the same column.
    """

    splits: NDArray[np.intp]
    columns: NDArray[np.intp]
    goes_right: NDArray[np.bool_]
    shares: NDArray[np.float64]
    values: NDArray[np.float64]
    first: NDArray[np.intp]

    @property
    def leads(self) -> NDArray[np.bool_]:
        """(d, n) whether a position is the first on its column: the distinct features of the path."""
        return np.asarray(self.first == np.arange(len(self.first))[:, None])

    def part(self, which: slice) -> Forks:
        """Some of the forks."""
        return Forks(
            self.splits[:, which],
            self.columns[:, which],
            self.goes_right[:, which],
            self.shares[:, which],
            self.values[:, which],
            self.first[:, which],
        )

    def expected(self) -> float:
        """The leaves' values, weighted by the share of the cover that reaches them."""
        left = self.shares[-1]
        ends = left * self.values[0] + (1 - left) * self.values[1]
        return float(np.sum(np.prod(self.shares[:-1], axis=0) * ends))

    def contributions(self, right: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Shapley values of the margin that the leaves of each fork give a record.

        Args:
            right: (d, r, n), or a shape that broadcasts to it: whether each of r records would go right at each split of the path.

        Returns:
            (d, r, n) float64. The value of a column stands at its first split on the path; at others there are zeros. For each
            record and fork they add up to what the leaf gives if the record reaches it, less what is expected.
        """
        return self._side(right, 0) + self._side(right, 1)

    def _side(self, right: NDArray[np.bool_], side: int) -> NDArray[np.float64]:
        taken = self.goes_right.copy()
        taken[-1] = bool(side)
        unknown = self.shares.copy()
        if side:
            unknown[-1] = 1 - unknown[-1]
        known = right == taken[:, None, :]
        # Splits on a column that came before are counted with the first: there they leave o = z = 1, which changes no product.
        for position in range(1, len(self.first)):
            again = np.flatnonzero(self.first[position] != position)
            at = self.first[position, again]
            known[at, :, again] &= known[position, :, again]
            known[position][:, again] = True
            unknown[at, again] *= unknown[position, again]
            unknown[position, again] = 1.0
        n_features = int(self.leads.sum(axis=0).max(initial=1))
        unknown = unknown[:, None, :]
        return np.asarray((known - unknown) * self.values[side] * _integrals(known, unknown, n_features))


def _integrals(known: NDArray[np.bool_], unknown: NDArray[np.float64], n_features: int) -> NDArray[np.float64]:
    """(d, r, n) float64: for each position, the integral over u of the product over all others."""
    nodes, weights = np.polynomial.legendre.leggauss((n_features + 1) // 2)
    total = np.zeros(known.shape)
    others = np.empty(known.shape)
    # The rule is for the interval from -1 to 1, which is twice as long.
    for u, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
        factors = np.where(known, unknown + (1 - unknown) * u, unknown * (1 - u))
        # Products of those before and those behind, not the whole divided by one: a factor is 0 where no cover went.
        before = np.full(known.shape[1:], weight)
        for position in range(len(factors)):
            others[position] = before
            before = before * factors[position]
        behind = factors[-1]
        for position in range(len(factors) - 2, -1, -1):
            others[position] *= behind
            behind = behind * factors[position]
        total += others
    return total


class Forest(NamedTuple):
    """All splits of the trees, numbered through, and their forks by depth.

    Attributes:
        columns: (n_splits,) intp column of each split.
        thresholds: (n_splits,) float32; smaller values go left.
        missing_right: (n_splits,) whether a missing value goes right.
        forks: by the number of splits on the path, rising.
        expected: expected margin, without the prior.
    """

    columns: NDArray[np.intp]
    thresholds: NDArray[np.float32]
    missing_right: NDArray[np.bool_]
    forks: tuple[Forks, ...]
    expected: float


class _Splits(NamedTuple):
    """The splits of trees as arrays; a child that is a leaf is -1 in `left` and `right`, and its value is in `values`."""

    columns: NDArray[np.intp]
    thresholds: NDArray[np.float32]
    missing_right: NDArray[np.bool_]
    parents: NDArray[np.intp]
    is_right: NDArray[np.bool_]
    left: NDArray[np.intp]
    right: NDArray[np.intp]
    values: NDArray[np.float64]
    left_shares: NDArray[np.float64]


def forest_of(trees: Sequence[Tree]) -> Forest:
    """The forest of some trees. Their arrays are copied.

    A side's share is its cover over the sum of both sides' covers. Where neither side has any cover, each has a half.

    Raises:
        RegistryError: the covers are not known, as in trees of a compact model.
    """
    if any(np.isnan(tree.sum_hessian).any() for tree in trees):
        raise RegistryError("these trees come without covers, which reasons need; explain with the full model")
    expected = float(sum(float(tree.split_conditions[0]) for tree in trees if tree.n_nodes == 1))
    sizes = [int(np.count_nonzero(~tree.is_leaf)) for tree in trees]
    starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.intp)])
    parts = [_splits_of(tree, int(start)) for tree, start in zip(trees, starts[:-1], strict=True)]
    if not starts[-1]:
        nothing = np.zeros(0, dtype=np.intp)
        return Forest(nothing, nothing.astype(np.float32), nothing.astype(np.bool_), (), expected)
    splits = _Splits(*(np.concatenate(arrays, axis=-1) for arrays in zip(*parts, strict=True)))
    depths = _depths(splits.parents)
    ends = (splits.left == _NONE) | (splits.right == _NONE)
    forks = tuple(
        _forks(splits, np.flatnonzero(ends & (depths == depth)), int(depth)) for depth in np.unique(depths[ends])
    )
    expected += sum(some.expected() for some in forks)
    return Forest(splits.columns, splits.thresholds, splits.missing_right, forks, expected)


def _splits_of(tree: Tree, start: int) -> _Splits:
    """The splits of one tree, numbered from ``start``, in the order of their nodes."""
    leaf = tree.is_leaf
    inner = np.flatnonzero(~leaf)
    numbers = np.where(leaf, _NONE, start - 1 + np.cumsum(~leaf))
    left, right = tree.left_children[inner], tree.right_children[inner]
    parents = np.full(tree.n_nodes, _NONE, dtype=np.intp)
    parents[left] = parents[right] = numbers[inner]
    is_right = np.zeros(tree.n_nodes, dtype=np.bool_)
    is_right[right] = True
    covers = tree.sum_hessian.astype(np.float64)
    both = covers[left] + covers[right]
    return _Splits(
        columns=tree.split_indices[inner].astype(np.intp),
        thresholds=tree.split_conditions[inner],
        missing_right=tree.default_left[inner] == 0,
        parents=parents[inner],
        is_right=is_right[inner],
        left=numbers[left],
        right=numbers[right],
        values=np.where(leaf, tree.split_conditions, 0).astype(np.float64)[np.stack([left, right])],
        left_shares=np.divide(covers[left], both, out=np.full(len(inner), 0.5), where=both > 0),
    )


def _depths(parents: NDArray[np.intp]) -> NDArray[np.intp]:
    """(n,) intp number of splits on the path to each split, itself included."""
    depths = np.ones(len(parents), dtype=np.intp)
    above = parents.copy()
    while (inside := above != _NONE).any():
        depths += inside
        above = np.where(inside, parents[above], _NONE)
    return depths


def _forks(splits: _Splits, ends: NDArray[np.intp], depth: int) -> Forks:
    """The forks whose splits are ``ends``, all at one depth."""
    path = np.empty((depth, len(ends)), dtype=np.intp)
    path[-1] = ends
    for position in range(depth - 1, 0, -1):
        path[position - 1] = splits.parents[path[position]]
    columns = splits.columns[path]
    # The path goes right at a split if the next one on it is a right child.
    goes_right = np.zeros(path.shape, dtype=np.bool_)
    goes_right[:-1] = splits.is_right[path[1:]]
    left_shares = splits.left_shares[path]
    first = np.array([np.argmax(columns == column, axis=0) for column in columns], dtype=np.intp)
    shares = np.where(goes_right, 1 - left_shares, left_shares)
    return Forks(path, columns, goes_right, shares, splits.values[:, ends], first)
