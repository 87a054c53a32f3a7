"""Split one portfolio into the portfolios of several banks, without looking at the label.

A benchmark that hands out rows by label makes some banks' prior wrong by construction. Here a bank attracts customers
by what they are (age, limit, education ...), so that banks differ in their mix and, through it, in their default rate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from riskfed.datasets.taiwan import BILL_AMOUNTS, PAYMENT_AMOUNTS, PAYMENT_STATUS, load_taiwan
from riskfed.errors import ConfigurationError

TAIWAN_SHARES: dict[str, float] = {
    "universal": 0.50,
    "premier": 0.25,
    "digital": 0.12,
    "community": 0.08,
    "specialty": 0.05,
}


class VerticalBlocks(NamedTuple):
    """Column names of the two parties of a vertical job on the Taiwan data; both also hold ``id``."""

    label_holder: tuple[str, ...]
    feature_holder: tuple[str, ...]


def taiwan_consortium(seed: int = 0, frame: pd.DataFrame | None = None) -> dict[str, pd.DataFrame]:
    """Five unlike banks out of the Taiwan data, of 50, 25, 12, 8 and 5 % of its rows.

    ``universal`` takes whoever is left; ``premier`` attracts high limits and graduates; ``digital`` the young and
    single; ``community`` the older, married and less educated; ``specialty`` customers in arrears with little room on
    their limit.

    Args:
        seed: seed of the draw.
        frame: records with the columns of `load_taiwan`, by default all of them.

    Returns:
        Bank name -> its records, largest bank first; see `split_by_affinity`.
    """
    records = load_taiwan() if frame is None else frame
    return split_by_affinity(records, taiwan_affinities(records), TAIWAN_SHARES, seed)


def taiwan_affinities(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """How much each bank but ``universal`` attracts each customer.

    Args:
        frame: (n, any) records with the feature columns of `load_taiwan`; ``default`` and ``id`` are not read.

    Returns:
        Bank name -> (n,) float64 log-odds-like affinity.
    """
    age, limit = _z(frame["age"]), _z(frame["limit_bal"])
    utilisation = _z(frame["bill_amt1"] / frame["limit_bal"])
    late = _is(frame["pay_0"] > 0)
    graduate, high_school = _is(frame["education"] == 1), _is(frame["education"] == 3)
    married, single = _is(frame["marriage"] == 1), _is(frame["marriage"] == 2)
    return {
        "specialty": 1.6 * late + 0.8 * utilisation - 0.8 * limit,
        "community": 1.6 * high_school + 0.8 * married + 0.7 * age - 0.5 * limit,
        "digital": -1.6 * age + 0.7 * single - 0.4 * limit,
        "premier": 1.5 * limit + 1.0 * graduate - 0.5 * utilisation + 0.2 * age,
    }


def split_by_affinity(
    frame: pd.DataFrame, affinities: Mapping[str, np.ndarray], shares: Mapping[str, float], seed: int
) -> dict[str, pd.DataFrame]:
    """Give every row to exactly one bank, by what attracts it.

    The smallest bank draws first, then the next; the largest keeps what is left and needs no affinity. A bank of share
    s draws round(s n) of the rows left, those with the highest affinity plus standard Gumbel noise: that is sampling
    without replacement in which a row is drawn next with probability proportional to exp(affinity) (Efraimidis and
    Spirakis 2006; Kool, van Hoof and Welling 2019, section 3).

    Args:
        frame: (n, any) records.
        affinities: bank -> (n,) finite numbers, for every bank but the largest (whose own, if given, is not used).
        shares: bank -> share of the rows, each above 0, together 1. The order of banks of equal share is that of the
            mapping.
        seed: seed of the draw (NumPy's PCG64).

    Returns:
        Bank -> its rows, in the order of ``shares``; rows keep their order and index.

    Raises:
        ConfigurationError: the shares do not add up to 1, leave a bank without a row, or an affinity is missing, of the
            wrong length or not finite.
    """
    sizes = _sizes(shares, len(frame))
    *draw_order, largest = sorted(shares, key=lambda bank: shares[bank])
    _check_affinities(affinities, draw_order, len(frame))
    rng = np.random.default_rng(seed)
    owner = np.full(len(frame), -1)
    names = list(shares)
    for bank in draw_order:
        left = np.flatnonzero(owner < 0)
        # Noise for all rows, taken or not: a row's draw then does not depend on how the banks before chose.
        attraction = np.asarray(affinities[bank], dtype=np.float64) + rng.gumbel(size=len(frame))
        drawn = left[np.argsort(-attraction[left], kind="stable")[: sizes[bank]]]
        owner[drawn] = names.index(bank)
    owner[owner < 0] = names.index(largest)
    return {bank: frame.iloc[np.flatnonzero(owner == position)] for position, bank in enumerate(names)}


def iid_split(frame: pd.DataFrame, n_banks: int, seed: int) -> dict[str, pd.DataFrame]:
    """Deal the rows to banks at random: the control for a split by affinity.

    Args:
        frame: (n, any) records.
        n_banks: number of banks, 1 to n.
        seed: seed of the draw (NumPy's PCG64).

    Returns:
        ``bank_0``, ``bank_1`` ... -> its rows, of sizes that differ by one at most; rows keep their order and index.

    Raises:
        ConfigurationError: ``n_banks`` is below 1 or above the number of rows.
    """
    if not 1 <= n_banks <= len(frame):
        raise ConfigurationError(f"n_banks is {n_banks}; expected 1 to {len(frame)}, the number of rows")
    hands = np.array_split(np.random.default_rng(seed).permutation(len(frame)), n_banks)
    return {f"bank_{number}": frame.iloc[np.sort(rows)] for number, rows in enumerate(hands)}


def vertical_blocks() -> VerticalBlocks:
    """Which columns of the Taiwan data a lender and a payments partner would hold of the same customers.

    Returns:
        ``label_holder``: the lender's application and balance columns (it also holds ``default``); ``feature_holder``:
        the partner's delays and payments. Neither block has ``id``, ``default`` or a column of the other.
    """
    application = ("limit_bal", "sex", "education", "marriage", "age")
    return VerticalBlocks((*application, *BILL_AMOUNTS), (*PAYMENT_STATUS, *PAYMENT_AMOUNTS))


def _sizes(shares: Mapping[str, float], n_rows: int) -> dict[str, int]:
    """Rows of each bank: round(share * n), and the rest for the largest."""
    if not shares or min(shares.values()) <= 0 or abs(sum(shares.values()) - 1) > 1e-9:
        raise ConfigurationError(f"shares must each be above 0 and add up to 1, got {dict(shares)}")
    *others, largest = sorted(shares, key=lambda bank: shares[bank])
    sizes = {bank: round(shares[bank] * n_rows) for bank in others}
    sizes[largest] = n_rows - sum(sizes.values())
    if min(sizes.values()) < 1:
        raise ConfigurationError(
            f"{n_rows} rows are too few for {len(shares)} banks of these shares: a bank would have none"
        )
    return sizes


def _check_affinities(affinities: Mapping[str, np.ndarray], banks: list[str], n_rows: int) -> None:
    for bank in banks:
        if bank not in affinities:
            raise ConfigurationError(f"no affinity for bank {bank}; every bank but the largest needs one")
        values = np.asarray(affinities[bank])
        if values.shape != (n_rows,) or not np.isfinite(values).all():
            raise ConfigurationError(
                f"affinity of bank {bank} has shape {values.shape}; expected ({n_rows},), every number finite"
            )


def _z(values: pd.Series) -> np.ndarray:
    """Rank scaled to -1..1, ties at their mean rank: (n,) float64."""
    ranks = values.rank(method="average").to_numpy(dtype=np.float64)
    return 2 * (ranks - 1) / max(len(ranks) - 1, 1) - 1


def _is(condition: pd.Series) -> np.ndarray:
    return condition.to_numpy(dtype=np.float64)
