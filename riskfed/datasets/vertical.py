"""The Taiwan data as organisations hold it that know the same people by different things: a lender with the outcome, and partners.

They share most of their customers, not all, and each writes the customer's number in its own way, as real systems do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import pandas as pd

from riskfed.customer_id import CustomerId
from riskfed.datasets.consortium import vertical_blocks
from riskfed.datasets.taiwan import PAYMENT_AMOUNTS, PAYMENT_STATUS, load_taiwan, taiwan_schema
from riskfed.errors import ConfigurationError
from riskfed.schema import Schema

LENDER: Final = "lender"
"""Holds the outcome."""
KNOWN_SHARE: Final = 0.9
"""Share of all people who are customers of a party; of two parties, about 0.81 are customers of both."""

_ID: Final = "customer_id"
_WRITTEN: Final = ("  tw-{:05d}", "TW{:05d}", "tw {:05d} ")
"""How parties write the same number, in the order of their names."""


def taiwan_holders(partners: int = 1) -> dict[str, tuple[str, ...]]:
    """Party -> features that it holds.

    Args:
        partners: 1: ``payments`` holds delays and payments. 2: ``bureau`` holds the delays, ``payments`` the payments. The lender holds
            the application and the balances either way (`riskfed.datasets.vertical_blocks`).

    Raises:
        ConfigurationError: another number.
    """
    blocks = vertical_blocks()
    if partners == 1:
        return {LENDER: blocks.label_holder, "payments": blocks.feature_holder}
    if partners == 2:
        return {LENDER: blocks.label_holder, "bureau": PAYMENT_STATUS, "payments": PAYMENT_AMOUNTS}
    raise ConfigurationError(f"partners is {partners}; the Taiwan data is split for 1 or 2")


def taiwan_vertical_schema(partners: int = 1) -> Schema:
    """The joint schema that all parties hold: `taiwan_schema`, with who holds what and how customer ids are normalised."""
    return Schema.vertical(
        taiwan_schema(),
        taiwan_holders(partners),
        label_holder=LENDER,
        customer_id=CustomerId(column=_ID, normalise=("alphanumeric", "upper")),
    )


def taiwan_parties(
    partners: int = 1, *, seed: int = 0, rows: int | None = None, frame: pd.DataFrame | None = None
) -> dict[str, pd.DataFrame]:
    """Each party's own records: 90 % of the people, drawn for each party anew, in an order and with a way of writing ids of its own.

    Args:
        partners: see `taiwan_holders`.
        seed: of the draw (NumPy's PCG64).
        rows: take so many of the people only, drawn from all; None for all 30,000.
        frame: records with the columns of `load_taiwan`, by default all of them.

    Returns:
        Party -> records: ``customer_id`` (text), its features, and at the lender ``default``.

    Raises:
        ConfigurationError: `rows` or `partners` is impossible.
    """
    people = load_taiwan() if frame is None else frame
    draw = np.random.default_rng(seed)
    if rows is not None:
        if not 1 <= rows <= len(people):
            raise ConfigurationError(f"rows is {rows}; expected 1 to {len(people)}, the people in the data")
        people = people.iloc[draw.choice(len(people), rows, replace=False)]
    parties = {}
    for number, (party, features) in enumerate(sorted(taiwan_holders(partners).items())):
        known = people.iloc[draw.permutation(len(people))[: round(KNOWN_SHARE * len(people))]]
        own = [*features, *(("default",) if party == LENDER else ())]
        ids = [_WRITTEN[number].format(person) for person in known["id"]]
        parties[party] = known[own].assign(**{_ID: ids}).reset_index(drop=True)
    return parties


def joined(parties: Mapping[str, pd.DataFrame], schema: Schema) -> pd.DataFrame:
    """The table that nobody has: the people whom all parties know, one row each, all columns, in the order of their normalised ids.

    Args:
        parties: party -> its records.
        schema: the joint one.

    Returns:
        The parties' columns, and the normalised id as text in the schema's id column.

    Raises:
        ConfigurationError: the schema has no customer id.
    """
    customer_id = schema.customer_id
    if customer_id is None:
        raise ConfigurationError("the schema has no customer_id: there is nothing to join by")
    name, table = customer_id.column, pd.DataFrame()
    for records in parties.values():
        ids = [key.decode() for key in customer_id.normalised(records[name]).tolist()]
        own = records.drop(columns=name).set_axis(pd.Index(ids, name=name), axis=0)
        table = own if table.empty else table.join(own, how="inner")
    return table.sort_index().reset_index()
