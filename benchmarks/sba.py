"""Loans guaranteed by the US Small Business Administration, with the real lenders as the banks.

The table is not part of this repository: the environment variable RISKFED_SBA names its Parquet file. One row is a loan; ``bank`` is its
lender, ``default`` is 1 where it was charged off. What is known only after the loan was granted leaks the label and is no feature:
``term_months`` (a loan that defaults ends early) and ``amount_disbursed``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import pandas as pd

from riskfed.schema import Feature, Level, Schema

VARIABLE = "RISKFED_SBA"
OTHERS = "all smaller lenders"
# fmt: off
_STATES = (
    "AK", "AL", "AR", "AZ", "CA", "CO", "CT", "DC", "DE", "FL", "GA", "HI", "IA", "ID", "IL", "IN", "KS",
    "KY", "LA", "MA", "MD", "ME", "MI", "MN", "MO", "MS", "MT", "NC", "ND", "NE", "NH", "NJ", "NM", "NV",
    "NY", "OH", "OK", "OR", "PA", "RI", "SC", "SD", "TN", "TX", "UT", "VA", "VT", "WA", "WI", "WV", "WY",
)
_SECTORS = (
    "00", "11", "21", "22", "23", "31", "32", "33", "42", "44", "45", "48", "49",
    "51", "52", "53", "54", "55", "56", "61", "62", "71", "72", "81", "92",
)
# fmt: on
_AMOUNT_LIMIT = 10_000_000.0


def load_sba() -> pd.DataFrame | None:
    """The whole table with the guaranteed share of each loan, or None where RISKFED_SBA is not set."""
    path = os.environ.get(VARIABLE)
    if not path:
        return None
    loans = pd.read_parquet(path)
    return loans.assign(guaranteed_share=loans["amount_sba_guaranteed"] / loans["amount_approved"])


def sba_schema() -> Schema:
    """What was known when the loan was approved, 92 encoded columns; target ``default``. Levels and ranges are public."""
    return Schema(
        name="sba_loans",
        version="1",
        target="default",
        features=(
            _levels("state", _STATES),
            _levels("naics2", _SECTORS),
            Feature(
                name="approval_fy", minimum=1953, maximum=2030, nullable=False, description="fiscal year of approval"
            ),
            _number("n_employees", "employees", 100_000),
            Feature(name="new_business", minimum=0, maximum=1, description="1: two years old or younger"),
            _number("jobs_created", "jobs created", 100_000),
            _number("jobs_retained", "jobs retained", 100_000),
            Feature(name="is_franchise", minimum=0, maximum=1, nullable=False, description="1: a franchise"),
            _levels("urban_rural", ("urban", "rural", "undefined")),
            _levels("revolving_line", ("N", "Y")),
            _levels("low_doc", ("N", "Y")),
            _number("amount_approved", "amount approved (US$)", _AMOUNT_LIMIT),
            _number("amount_sba_guaranteed", "part of it that is guaranteed (US$)", _AMOUNT_LIMIT),
            Feature(
                name="guaranteed_share",
                minimum=0,
                maximum=1,
                nullable=False,
                description="guaranteed share of the loan",
            ),
        ),
    )


def sba_banks(frame: pd.DataFrame, banks: int = 6) -> dict[str, pd.DataFrame]:
    """The lenders as banks.

    Args:
        frame: table with the columns of `load_sba`.
        banks: how many banks to make, 2 at least.

    Returns:
        Name -> its loans: the ``banks - 1`` lenders with most loans (ties by name), most first, then all smaller ones together
        as one bank; every loan is at exactly one.
    """
    lender = frame["bank"].astype(str)
    largest = lender.value_counts().sort_index().sort_values(ascending=False, kind="stable").index[: banks - 1]
    own = {str(name).title(): frame[lender == name] for name in largest}
    return own | {OTHERS: frame[~lender.isin(largest)]}


def _levels(name: str, levels: Sequence[Level]) -> Feature:
    return Feature(name=name, encoding="onehot", levels=tuple(levels))


def _number(name: str, description: str, maximum: float) -> Feature:
    return Feature(name=name, minimum=0, maximum=maximum, nullable=False, description=description)
