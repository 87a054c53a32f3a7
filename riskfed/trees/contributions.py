"""How much each column adds to a record's margin: TreeSHAP for the trees of a Booster, in numpy alone.

What a fork (`riskfed.trees.leaf_table.Forks`) gives to the columns of its path depends on nothing but the side to which the record goes at
each of the path's d splits. So it is worked out beforehand for all 2^d ways, as in Fast TreeSHAP v2 (Yang 2021, arXiv 2109.09847),
and a record is explained by looking up and adding. Forks too deep for a table are worked out record by record.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from riskfed.errors import ConfigurationError
from riskfed.trees.leaf_table import Forks, forest_of
from riskfed.trees.logit import margin_of
from riskfed.trees.tree import Tree

_DEEPEST_TABLE: Final = 8
"""Splits on a path whose ways can be told by one byte."""

_TABLE_ENTRIES: Final = 4_194_304
"""Entries of all tables together, 8 bytes each. Enough for 300 trees of depth 6."""

_CELLS_PER_CHUNK: Final = 131_072
"""Table entries that are looked up at once: what is held of so many fits the processor's second-level cache."""

_CELLS_OF_DEEP: Final = 262_144
"""Positions on paths that are worked out at once, where there is no table."""


class Contributions:
    """SHAP values of the margin. Immutable after construction, so threads can share one.

    Attributes:
        expected_margin: the margin that is expected of a record of which nothing is known, the prior included (log-odds).
    """

    def __init__(self, trees: Sequence[Tree], base_score: float, n_columns: int) -> None:
        """Work out the tables of a model.

        Args:
            trees: in any order; their arrays are copied. Covers (``sum_hessian``) may be rounded, as in a reduced release: the
                values then weigh the unknown a little differently, and still add up.
            base_score: prior PD.
            n_columns: number of encoded columns.

        Raises:
            ConfigurationError: a tree splits on a column beyond them.
        """
        forest = forest_of(trees)
        if forest.columns.max(initial=-1) >= n_columns:
            raise ConfigurationError(
                f"the trees split on column {forest.columns.max()}, got n_columns {n_columns}: pass the number of columns of "
                "the schema that the model was trained with"
            )
        self._n_columns = n_columns
        self.expected_margin = float(margin_of(base_score)) + forest.expected
        # Twice the column, plus one where missing values go right: as in Predictor.
        self._columns = 2 * forest.columns + forest.missing_right
        self._thresholds = forest.thresholds[:, None]
        # The splits among all nodes of all trees, as Predictor numbers these.
        self._nodes = np.flatnonzero(np.concatenate([~tree.is_leaf for tree in trees])) if trees else forest.columns
        tabled = _fitting(forest.forks)
        self._table = _Table(forest.forks[:tabled], len(forest.columns)) if tabled else None
        self._deep = tuple(_Deep(forks) for forks in forest.forks[tabled:])

    def of(self, matrix: ArrayLike) -> NDArray[np.float64]:
        """SHAP values as xgboost's ``predict(pred_contribs=True)`` gives them, path-dependent, but in double precision.

        A record gets the same values, to the last bit, alone and among others.

        Args:
            matrix: (n, n_columns) numbers, rounded to float32; NaN where missing.

        Returns:
            (n, n_columns + 1) float64, log-odds of default: what each column adds to the margin (higher is riskier), and in the last
            column the expected margin. Each row adds up to the record's margin, up to rounding. A column on which no tree splits
            has 0.

        Raises:
            ConfigurationError: not a matrix of that width.
        """
        matrix = np.asarray(matrix, dtype=np.float32)
        if matrix.ndim != 2 or matrix.shape[1] != self._n_columns:
            raise ConfigurationError(
                f"got records of shape {matrix.shape}, expected (n, {self._n_columns}): encode them by the schema"
            )
        out = np.zeros((len(matrix), self._n_columns + 1))
        out[:, -1] = self.expected_margin
        widest = max([self._table.n_cells if self._table else 1, len(self._columns)])
        rows_at_once = max(1, _CELLS_PER_CHUNK // widest)
        for start in range(0, len(matrix), rows_at_once):
            rows = slice(start, start + rows_at_once)
            self._explain(matrix[rows], out[rows])
        return out

    def of_way(self, right: NDArray[np.bool_]) -> NDArray[np.float64]:
        """The values of one record whose way is known already, to the last bit as `of` gives them, without the expected margin.

        Args:
            right: (n_nodes,) from `Predictor.goes_right` of the same trees, in the same order.

        Returns:
            (n_columns,) float64.
        """
        out = np.zeros((1, self._n_columns))
        self._add(right.take(self._nodes)[:, None], out)
        return out.reshape(-1)

    def _explain(self, matrix: NDArray[np.float32], out: NDArray[np.float64]) -> None:
        missing = np.isnan(matrix.T)
        both = np.empty((self._n_columns, 2, len(matrix)), dtype=np.float32)
        both[:, 0] = np.where(missing, np.float32(-np.inf), matrix.T)
        both[:, 1] = np.where(missing, np.float32(np.inf), matrix.T)
        # (n_splits, n) whether each record would go right, also at splits that it does not come to.
        self._add(both.reshape(2 * self._n_columns, len(matrix)).take(self._columns, axis=0) >= self._thresholds, out)

    def _add(self, right: NDArray[np.bool_], out: NDArray[np.float64]) -> None:
        if self._table:
            self._table.add(right, out)
        for deep in self._deep:
            deep.add(right, out)


class _ByColumn:
    """Slots (a column of a path, at its first split there) in the order of their columns, and how to add them up."""

    def __init__(self, columns: NDArray[np.intp]) -> None:
        self.order = np.argsort(columns, kind="stable")
        self._columns, self._starts = np.unique(columns[self.order], return_index=True)

    def add(self, values: NDArray[np.float64], out: NDArray[np.float64]) -> None:
        """Add (n_slots, n) ``values``, in that order, to the (n, at least n_columns) ``out``, in place."""
        out[:, self._columns] += np.add.reduceat(values, self._starts, axis=0).T


class _Table:
    """What forks give to columns, looked up by the way of a record through the splits of the path."""

    def __init__(self, forks: Sequence[Forks], n_splits: int) -> None:
        depth = max(len(some.splits) for some in forks)
        tables, columns, owners, n_forks = [], [], [], 0
        self._paths = np.full((depth, sum(some.splits.shape[1] for some in forks)), n_splits, dtype=np.intp)
        for some in forks:
            own_depth, n_own = some.splits.shape
            self._paths[depth - own_depth :, n_forks : n_forks + n_own] = some.splits
            leads = some.leads
            tables.append(_tabulated(some)[leads])
            columns.append(some.columns[leads])
            owners.append(n_forks + np.nonzero(leads)[1])
            n_forks += n_own
        self._by_column = _ByColumn(np.concatenate(columns))
        order = self._by_column.order
        ends = np.cumsum([table.shape[1] for table in tables for _ in range(len(table))], dtype=np.intp)
        self._offsets = np.concatenate([np.zeros(1, dtype=np.intp), ends[:-1]])[order][:, None]
        self._owners = np.concatenate(owners)[order]
        self._values = np.concatenate([table.reshape(-1) for table in tables])
        self.n_cells = len(order)

    def add(self, right: NDArray[np.bool_], out: NDArray[np.float64]) -> None:
        """Add the contributions of (n_splits, n) records to the (n, at least n_columns) ``out``, in place."""
        # A path shorter than the longest begins with splits that nobody goes right at: leading zeros of its number.
        bits = np.concatenate([right, np.zeros((1, right.shape[1]), dtype=np.bool_)]).view(np.uint8)
        ways = bits.take(self._paths[0], axis=0)
        for splits in self._paths[1:]:
            ways = 2 * ways + bits.take(splits, axis=0)
        self._by_column.add(self._values.take(ways.take(self._owners, axis=0) + self._offsets), out)


class _Deep:
    """Forks without a table."""

    def __init__(self, forks: Forks) -> None:
        self._forks = forks
        self._leads = forks.leads
        self._by_column = _ByColumn(forks.columns[self._leads])

    def add(self, right: NDArray[np.bool_], out: NDArray[np.float64]) -> None:
        """As `_Table.add`."""
        rows_at_once = max(1, _CELLS_OF_DEEP // self._forks.splits.size)
        for start in range(0, right.shape[1], rows_at_once):
            rows = slice(start, start + rows_at_once)
            values = self._forks.contributions(right[:, rows][self._forks.splits].swapaxes(1, 2))
            slots = np.ascontiguousarray(values.swapaxes(1, 2)[self._leads][self._by_column.order])
            self._by_column.add(slots, out[rows])


def _fitting(forks: Sequence[Forks]) -> int:
    """How many of the forks, by rising depth, get tables."""
    sizes = [some.splits.size << len(some.splits) for some in forks if len(some.splits) <= _DEEPEST_TABLE]
    return int(np.count_nonzero(np.cumsum(sizes) <= _TABLE_ENTRIES))


def _tabulated(forks: Forks) -> NDArray[np.float64]:
    """(d, n, 2^d) float64 contributions for all ways through d splits. Bits of a way's number: 1 is right, the root's is the highest."""
    depth, n_forks = forks.splits.shape
    ways = np.arange(1 << depth)
    right = (ways[None, :] >> np.arange(depth)[::-1, None] & 1).astype(np.bool_)[:, :, None]
    values = np.empty((depth, n_forks, len(ways)))
    forks_at_once = max(1, _CELLS_OF_DEEP // (depth << depth))
    for start in range(0, n_forks, forks_at_once):
        some = slice(start, start + forks_at_once)
        values[:, some] = forks.part(some).contributions(right).swapaxes(1, 2)
    return values
