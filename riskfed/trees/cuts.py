"""Cut points of features, and the binning of records by them, in XGBoost's convention.

A feature with the cuts ``c_0 < c_1 < ... < c_k`` has ``k + 1`` bins. A value ``x`` falls in bin ``b`` where
``c_(b-1) <= x < c_b``; values below ``c_0`` fall in bin 0, values at or above ``c_k`` in the last one. A split "at bin b" sends
``x < c_b`` to the left. Splits that send only missing values to the left carry the feature's `min_values` as threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from riskfed.errors import ConfigurationError, ContractError, JobError
from riskfed.schema import Schema
from riskfed.storage import MEMORY, Storage
from riskfed.trees.pages import release
from riskfed.trees.workers import Workers

MISSING = 255
"""Code of a missing value. A feature with 256 bins uses the code for its last bin and cannot have missing values."""

MAX_BINS = 256

# A float32 constant in XGBoost, which then computes with it in double.
_MARGIN = float(np.float32(1e-5))


@dataclass(frozen=True, eq=False)
class Cuts:
    """Cut points of every feature.

    Attributes:
        values: for each feature its (n_bins,) float32 cut points, strictly ascending; the last one lies above every value.
        min_values: (n_features,) float32, each below every value of its feature.
        schema: the schema whose encoded columns the features are, if there is one.

    Raises:
        ConfigurationError: wrong type, order or number of the cut points, or a schema with other columns.
    """

    values: tuple[NDArray[np.float32], ...]
    min_values: NDArray[np.float32]
    schema: Schema | None = None

    def __post_init__(self) -> None:
        if self.min_values.dtype != np.float32 or self.min_values.shape != (len(self.values),):
            raise ConfigurationError(f"cuts: min_values must be float32 of shape ({len(self.values)},)")
        if self.schema is not None and len(self.schema.columns) != len(self.values):
            raise ConfigurationError(
                f"cuts: {len(self.values)} features, but the schema has {len(self.schema.columns)} encoded columns"
            )
        for name, cuts, low in zip(self.feature_names, self.values, self.min_values, strict=True):
            if cuts.dtype != np.float32 or cuts.ndim != 1 or not 1 <= len(cuts) <= MAX_BINS:
                raise ConfigurationError(f"cuts of {name}: expected 1 to {MAX_BINS} float32 values in one dimension")
            if not np.isfinite(cuts).all() or not np.isfinite(low) or low >= cuts[0] or (np.diff(cuts) <= 0).any():
                raise ConfigurationError(
                    f"cuts of {name}: expected finite, strictly ascending values above the minimum"
                )

    @property
    def n_features(self) -> int:
        """Number of features."""
        return len(self.values)

    @cached_property
    def n_bins(self) -> NDArray[np.int64]:
        """(n_features,) number of bins of each feature."""
        return np.array([len(cuts) for cuts in self.values], dtype=np.int64)

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """(n_features + 1,) position of each feature's first bin among all bins."""
        return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(self.n_bins)])

    @property
    def total_bins(self) -> int:
        """Number of bins of all features together."""
        return int(self.offsets[-1])

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The schema's encoded columns, or f0, f1, ... without a schema."""
        if self.schema is not None:
            return self.schema.columns
        return tuple(f"f{index}" for index in range(len(self.values)))

    def joined(self, *others: Cuts) -> Cuts:
        """The cuts of several parties' columns side by side, in the order given; the schema lists their features so, if all have one."""
        parts = (self, *others)
        schemas = [part.schema for part in parts if part.schema is not None]
        schema = None
        if len(schemas) == len(parts):
            features = tuple(feature for one in schemas for feature in one.features)
            fields = {name: getattr(schemas[0], name) for name in Schema.model_fields}
            schema = Schema(**{**fields, "features": features})
        values = tuple(points for part in parts for points in part.values)
        return Cuts(values, np.concatenate([part.min_values for part in parts]), schema)

    def bin(
        self, column: Callable[[int], ArrayLike], n_rows: int, storage: Storage = MEMORY, threads: int = 1
    ) -> NDArray[np.uint8]:
        """Replace every value by the code of its bin, one column at a time.

        Args:
            column: gives the (n,) values of a feature by its number, NaN where missing; rounded to float32 as XGBoost does.
                For a matrix, ``matrix.T.__getitem__``. Called by several threads at once if there are several.
            n_rows: n.
            storage: where the codes are to be.
            threads: how many columns are worked on at once.

        Returns:
            (n_features, n) uint8 in C order, `MISSING` for NaN.

        Raises:
            ConfigurationError: a column has another number of values.
            ContractError: a value is infinite.
            JobError: a value is missing in a feature that has 256 bins, all codes being taken.
        """
        codes: NDArray[np.uint8] = storage.empty((self.n_features, n_rows), np.uint8)

        def fill(feature: int) -> None:
            values = np.asarray(column(feature), dtype=np.float32)
            if values.shape != (n_rows,):
                raise ConfigurationError(f"got a column of shape {values.shape}, expected ({n_rows},)")
            self._fill_codes(feature, values, codes[feature])
            release(values)

        Workers(threads).each(fill, self.n_features)
        return codes

    def _fill_codes(self, feature: int, values: NDArray[np.float32], codes: NDArray[np.uint8]) -> None:
        # Compiled code is loaded here and not above: cuts are read and written without numba.
        from riskfed.trees.binning import fill_codes

        cuts, name = self.values[feature], self.feature_names[feature]
        points = np.full(MAX_BINS, np.inf, dtype=np.float32)
        points[: len(cuts)] = cuts
        infinite, missing = fill_codes(values, points, len(cuts), codes)
        if infinite:
            raise ContractError(f"{name}: {infinite} values are infinite; expected finite or missing")
        if missing and len(cuts) == MAX_BINS:
            raise JobError(
                f"{name}: has missing values and {MAX_BINS} bins; "
                f"the job needs max_bin={MAX_BINS - 1} or less where values can be missing"
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, numbers and texts that JSON keeps to the last bit; see `from_dict`."""
        return {
            "values": [cuts.tolist() for cuts in self.values],
            "min_values": self.min_values.tolist(),
            "schema": None if self.schema is None else self.schema.model_dump(mode="json"),
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Inverse of `to_dict`.

        Raises:
            ConfigurationError: a field is absent or has another type, or see `Cuts`.
        """
        try:
            return cls(
                values=tuple(np.array(cuts, dtype=np.float32) for cuts in fields["values"]),
                min_values=np.array(fields["min_values"], dtype=np.float32),
                schema=None if fields["schema"] is None else Schema(**fields["schema"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigurationError(f"cuts: not what Cuts.to_dict writes ({type(error).__name__})") from None


def cuts_from_order_statistics(
    minimum: float, inner: Sequence[float] | NDArray[np.float32], maximum: float
) -> tuple[NDArray[np.float32], np.float32]:
    """Cut points of one feature from its smallest, some inner and its largest value, by the rule of XGBoost 3.2.

    The cuts are the distinct values above the minimum, the maximum included, and one further point above the maximum:
    with all distinct values given, these are exactly XGBoost's own. There are at most ``len(inner) + 2`` bins.

    Args:
        minimum, maximum: smallest and largest value; NaN for a feature that no record has.
        inner: any number of values between them, in any order, repeated or not.

    Returns:
        (n_bins,) float32 strictly ascending cuts, and the float32 below every value.

    Raises:
        ContractError: a value is infinite, or so large that no float32 lies far enough above it.
    """
    if np.isnan(minimum):
        # What XGBoost gives a column without any value: one bin, in which nothing ever falls.
        return np.array([3 * _MARGIN], dtype=np.float32), np.float32(_MARGIN)
    low, high = np.float32(minimum), np.float32(maximum)
    points = np.unique(np.append(np.asarray(inner, dtype=np.float32), high))
    points = points[(points > low) & (points <= high)]
    with np.errstate(over="ignore"):
        last = np.float32(float(high) + (abs(float(high)) + _MARGIN))
        below = np.float32(float(low) - abs(float(low)) - _MARGIN)
    if not (np.isfinite(last) and np.isfinite(below)):
        raise ContractError("a feature's smallest or largest value is too large: expected less than 1.7e38 in size")
    return np.append(points, last).astype(np.float32), below
