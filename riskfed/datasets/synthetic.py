"""Synthetic loans for tests at scale: any number of banks and rows, the true PD of every row known.

    loans = SyntheticLoans(n_banks=5, seed=0)
    frame = loans.bank(2).shard(7, 100_000)      # always these records, whatever else was drawn before
    ceiling = bayes_auc(frame["true_pd"])        # no model ranks this bank's loans better

Banks differ in their mix of customers and products (covariate shift); what makes a loan default is the same everywhere.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from riskfed.datasets.portfolio import CATEGORIES, DTYPES, Profile, draw_profile, portfolio_schema
from riskfed.datasets.records import BLOCK_ROWS, draw_block
from riskfed.errors import ConfigurationError
from riskfed.schema import Schema

# First element of a bank's spawn keys: what the stream is for. A profile and a block never share a stream.
_PROFILE_STREAM, _RECORD_STREAM = 0, 1

_CATEGORY_DTYPES = {name: pd.CategoricalDtype(list(levels)) for name, levels in CATEGORIES.items()}


class SyntheticLoans:
    """A consortium of banks with invented loans.

    Args:
        n_banks: number of banks, at least 1.
        seed: 0 or above. Every bank, shard and block has its own PCG64 stream, spawned from the seed by its numbers, so
            bank 3 has the same records in a consortium of 5 and of 50.

    Raises:
        ConfigurationError: an argument is out of range.
    """

    def __init__(self, n_banks: int = 5, seed: int = 0) -> None:
        _at_least("n_banks", n_banks, 1)
        _at_least("seed", seed, 0)
        self.n_banks = n_banks
        self.seed = seed

    def bank(self, number: int) -> SyntheticBank:
        """Bank ``number``, counted from 0.

        Raises:
            ConfigurationError: there is no such bank.
        """
        if not 0 <= number < self.n_banks:
            raise ConfigurationError(f"bank {number} does not exist; expected 0 to {self.n_banks - 1}")
        return SyntheticBank(number, self.seed)

    def schema(self) -> Schema:
        """The schema that all banks share; see `riskfed.datasets.portfolio.portfolio_schema`."""
        return portfolio_schema()

    def write_parquet(self, folder: Path | str, rows: int, *, shard_rows: int = 1_048_576) -> list[Path]:
        """Write ``bank_0.parquet``, ``bank_1.parquet`` ... of ``rows`` records each into an existing folder.

        Returns:
            The files, in the order of the banks.

        Raises:
            ConfigurationError: as in `SyntheticBank.write_parquet`.
        """
        banks = [self.bank(number) for number in range(self.n_banks)]
        return [
            bank.write_parquet(Path(folder) / f"{bank.name}.parquet", rows, shard_rows=shard_rows) for bank in banks
        ]


class SyntheticBank:
    """One bank of a `SyntheticLoans` consortium, which makes it."""

    def __init__(self, number: int, seed: int) -> None:
        self.number = number
        self.name = f"bank_{number}"
        self._seed = seed

    @cached_property
    def profile(self) -> Profile:
        """How this bank differs from the others."""
        return draw_profile(self._stream(_PROFILE_STREAM))

    def shard(self, number: int, rows: int) -> pd.DataFrame:
        """Draw a shard of the bank's records.

        Args:
            number: the shard, 0 or above; different shards hold independent records.
            rows: how many, 1 or above. A shorter draw of the same shard is the beginning of a longer one.

        Returns:
            (rows, 30) frame: the 27 features of the schema (categories as ``category``, NaN or no category where
            missing), ``vintage`` (int32 yyyymm), ``true_pd`` (float32, in (0, 1)) and ``default`` (int8). Equal calls
            give equal frames on one machine; another processor or NumPy may round exp and log otherwise and differ in a
            last digit.

        Raises:
            ConfigurationError: an argument is out of range.
        """
        _at_least("shard number", number, 0)
        _at_least("rows", rows, 1)
        columns = {name: np.empty(rows, dtype=dtype) for name, dtype in DTYPES.items()}
        for start in range(0, rows, BLOCK_ROWS):
            stop = min(start + BLOCK_ROWS, rows)
            block = draw_block(self.profile, self._stream(_RECORD_STREAM, number, start // BLOCK_ROWS))
            for name, column in columns.items():
                # Values are whole and in range wherever the column's dtype is narrower than the block's.
                column[start:stop] = block[name][: stop - start]
        return _frame(columns)

    def write_parquet(self, path: Path | str, rows: int, *, shard_rows: int = 1_048_576) -> Path:
        """Write the shards 0, 1, 2 ... one after the other, one row group each, holding one shard in memory at a time.

        Args:
            path: file to write, replaced if it exists, and only once all records are written.
            rows: records in all; the last shard is cut short.
            shard_rows: records to a shard.

        Returns:
            The path.

        Raises:
            ConfigurationError: an argument is out of range, pyarrow is not installed, or the file cannot be written.
        """
        _at_least("rows", rows, 1)
        _at_least("shard_rows", shard_rows, 1)
        pa, pq = _pyarrow()
        target = Path(path)
        partial = target.with_name(target.name + ".partial")
        try:
            with pq.ParquetWriter(partial, _arrow_schema(pa), compression="zstd") as writer:
                for number, start in enumerate(range(0, rows, shard_rows)):
                    frame = self.shard(number, min(shard_rows, rows - start))
                    table = pa.Table.from_pandas(frame, schema=writer.schema, preserve_index=False)
                    writer.write_table(table, row_group_size=shard_rows)
            partial.replace(target)
        except OSError as error:
            raise ConfigurationError(f"cannot write {target}: {error.strerror or error}") from None
        finally:
            partial.unlink(missing_ok=True)
        return target

    def _stream(self, *key: int) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(self._seed, spawn_key=(self.number, *key))))


def bayes_auc(pd_true: pd.Series | np.ndarray) -> float:
    """The AUC that ranking by the true PD has on average over all outcomes of these records: the ceiling for any model.

    With independent outcomes y_i ~ Bernoulli(p_i), sum over i != j of p_i (1 - p_j) [p_i > p_j] + 1/2 [p_i = p_j], over
    the sum of p_i (1 - p_j): the expected number of pairs of a default and a repaid loan in the right order (ties count
    half), over the expected number of pairs. This ratio of expectations differs from the expected ratio by O(1/n).

    Args:
        pd_true: (n,) probabilities in [0, 1], n of 2 or more, not missing.

    Returns:
        A number in [0.5, 1].

    Raises:
        ConfigurationError: fewer than 2 records, something that is not a probability, or no pair that could differ.
    """
    p = np.sort(np.asarray(pd_true, dtype=np.float64), axis=None)
    if np.ndim(pd_true) != 1 or len(p) < 2 or not (p[0] >= 0 and p[-1] <= 1):  # NaN sorts last and fails the comparison
        raise ConfigurationError(
            f"expected at least 2 probabilities in [0, 1], got an array of shape {np.shape(pd_true)}"
        )
    _, first, counts = np.unique(p, return_index=True, return_counts=True)
    good_below = np.concatenate([[0.0], np.cumsum(1 - p)])
    below, through = np.repeat(good_below[first], counts), np.repeat(good_below[first + counts], counts)
    itself = p * (1 - p)
    right = np.sum(p * (below + through) / 2 - itself / 2)
    pairs = p.sum() * (1 - p).sum() - itself.sum()
    if pairs <= 0:
        raise ConfigurationError("every record has the same certain outcome: no pair of a default and a repaid loan")
    return float(right / pairs)


def _frame(columns: dict[str, np.ndarray]) -> pd.DataFrame:
    data: dict[str, Any] = dict(columns)
    for name, dtype in _CATEGORY_DTYPES.items():
        data[name] = pd.Categorical.from_codes(columns[name], dtype=dtype, validate=False)
    return pd.DataFrame(data, copy=False)


def _arrow_schema(pa: Any) -> Any:
    """Schema of the Parquet file, with pandas' metadata, so that categories come back as categories."""
    return pa.Schema.from_pandas(
        _frame({name: np.zeros(0, dtype) for name, dtype in DTYPES.items()}), preserve_index=False
    )


def _at_least(what: str, value: int, least: int) -> None:
    if value < least:
        raise ConfigurationError(f"{what} is {value}; expected {least} or more")


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise ConfigurationError("write_parquet needs pyarrow: install riskfed[simulate] or riskfed[node]") from None
    return pa, pq
