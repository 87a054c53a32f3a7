"""The id by which parties that hold different columns of the same customers recognise them, and how it is written alike.

Parties store one id in different ways: as a number here and as a text there, with spaces, in small letters. The schema says what is done
to it before it is compared, the same at every party. After that, two ids are one customer if and only if they are equal byte by byte.

An id never appears in an error, a log or a message to the server. What parties tell each other of ids: docs/alignment.md.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from decimal import Decimal
from numbers import Integral
from typing import TYPE_CHECKING, Any, Final, Literal
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from riskfed.errors import ContractError

if TYPE_CHECKING:
    import pandas as pd

Rule = Literal[
    "strip",
    "collapse_spaces",
    "upper",
    "lower",
    "alphanumeric",
    "digits",
    "nfkc",
    "casefold",
    "no_accents",
    "no_leading_zeros",
]

LONGEST_ID: Final = 128
"""Most bytes of a normalised id in UTF-8: one wild value must not decide about the memory of all."""

_MISSING: Final = "missing, or empty once it is normalised"
_NO_ID: Final = "neither a text nor a whole number"
_INEXACT: Final = "a floating-point number too large to be exact (read the column as text)"
_SHORT: Final = "shorter than least_length"
_LONG: Final = f"longer than {LONGEST_ID} bytes"
_CONTROL: Final = "holds control characters, or is no valid text"
_SHARED: Final = "the same id as another row"

_EXACT_FLOAT: Final = 2**53
_EXACT_FLOAT32: Final = 2**24
"""From here on, neighbouring whole numbers are the same floating-point number."""

_LARGEST: Final = 10**LONGEST_ID

_UNSUITABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters (numpy's bytes end at a NUL) and halves of surrogate pairs, which UTF-8 cannot write."""


class CustomerId(BaseModel):
    """Which column holds the customer's id, and how it is normalised.

    Attributes:
        column: the column's name; it is no feature.
        normalise: what is done to an id as text, in this order. "nfkc": Unicode's compatibility form (full-width digits become
            digits). "strip": no spaces at the ends. "collapse_spaces": runs of spaces become one. "upper", "lower", "casefold": letters.
            "no_accents": é becomes e. "alphanumeric": only letters and digits stay. "digits": only 0 to 9 stay. "no_leading_zeros":
            007 becomes 7.
        least_length: fewest characters of a normalised id; what is shorter is refused.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str = Field(default="customer_id", min_length=1)
    normalise: tuple[Rule, ...] = ("nfkc", "strip")
    least_length: int = Field(default=1, ge=1, le=LONGEST_ID)

    def normalised(self, values: pd.Series) -> NDArray[np.bytes_]:
        """Normalised ids of a column.

        Args:
            values: (n,) texts or whole numbers (UUIDs too); 123, "123" and 123.0 are the same id, "0123" is another.

        Returns:
            (n,) bytes, UTF-8.

        Raises:
            ContractError: ids are missing, unusable or given twice; says how many rows, never which.
        """
        findings = IdFindings(self)
        findings.add(values)
        return findings.check()

    def normalised_one(self, value: object) -> bytes:
        """One customer's normalised id, by the same rules; needs no pandas.

        Raises:
            ContractError: it is missing or unusable.
        """
        customer_id, problem = self._normalised(value)
        if problem:
            raise ContractError(f"customer id {self.column}: {problem}; whoever asks must send a usable one")
        return customer_id

    def _normalised(self, value: object) -> tuple[bytes, str]:
        """The normalised id and "", or b"" and what is wrong with it."""
        text, problem = (value, "") if isinstance(value, str) else _as_text(value)
        if problem:
            return b"", problem
        for rule in self.normalise:
            text = _RULES[rule](text)
        if not text:
            return b"", _MISSING
        if _UNSUITABLE.search(text):
            return b"", _CONTROL
        encoded = text.encode()
        if len(encoded) > LONGEST_ID:
            return b"", _LONG
        return (b"", _SHORT) if len(text) < self.least_length else (encoded, "")


class IdFindings:
    """The ids of a party's records, and what is wrong with them, added up over all batches.

    Args:
        customer_id: column and rules.
    """

    def __init__(self, customer_id: CustomerId) -> None:
        self._customer_id = customer_id
        self._batches: list[NDArray[np.bytes_]] = []
        self._rows: dict[str, int] = {}

    def add(self, values: pd.Series) -> bool:
        """Normalise a batch's ids; whether all are usable. One that another row has too is found by `check` only."""
        ids, usable = [], True
        for value in values.to_numpy():
            customer_id, problem = self._customer_id._normalised(value)
            ids.append(customer_id)
            if problem:
                self._rows[problem] = self._rows.get(problem, 0) + 1
                usable = False
        self._batches.append(np.array(ids, dtype=np.bytes_))
        return usable

    @property
    def problems(self) -> Mapping[str, int]:
        """What is wrong -> in how many rows; empty where nothing is."""
        ids = self._ids()
        counts = np.unique(ids[ids != b""], return_counts=True)[1]
        shared = int(counts[counts > 1].sum())
        return self._rows | ({_SHARED: shared} if shared else {})

    def check(self) -> NDArray[np.bytes_]:
        """All ids, if they are fit to be compared.

        Returns:
            (n,) bytes, in the order of the rows.

        Raises:
            ContractError: lists every problem with the number of rows.
        """
        if found := self.problems:
            listed = "; ".join(f"{problem}, {rows} rows" for problem, rows in found.items())
            raise ContractError(
                f"customer ids in column {self._customer_id.column} are not fit to be compared: {listed}. "
                "Each row needs an id of its own; the party's data engineer must mend the extract"
            )
        return self._ids()

    def _ids(self) -> NDArray[np.bytes_]:
        return np.concatenate(self._batches) if self._batches else np.empty(0, dtype="S1")


def _as_text(value: Any) -> tuple[str, str]:
    """A value that is no text, as text and ""; or "" and why it cannot be one."""
    match value:
        case UUID():
            return str(value), ""
        case bool() | np.bool_():
            return "", _NO_ID
        case Integral():
            return _whole(int(value))
        case Decimal():
            return _decimal(value)
        case float() | np.floating():
            return _floating(float(value), _EXACT_FLOAT32 if isinstance(value, np.float32) else _EXACT_FLOAT)
    # pandas' NA and NaT are told by their type's name, so that a scoring service needs no pandas.
    return "", _MISSING if value is None or type(value).__name__ in {"NAType", "NaTType"} else _NO_ID


def _whole(number: int) -> tuple[str, str]:
    return ("", _LONG) if abs(number) >= _LARGEST else (str(number), "")


def _decimal(number: Decimal) -> tuple[str, str]:
    if not number.is_finite():
        return "", _MISSING if number.is_nan() else _NO_ID
    if number.adjusted() > LONGEST_ID:
        return "", _LONG
    return _whole(int(number)) if number == int(number) else ("", _NO_ID)


def _floating(number: float, exact_below: int) -> tuple[str, str]:
    if math.isnan(number):
        return "", _MISSING
    if not number.is_integer():
        return "", _NO_ID
    return _whole(int(number)) if abs(number) < exact_below else ("", _INEXACT)


def _without_accents(text: str) -> str:
    apart = unicodedata.normalize("NFKD", text)
    return unicodedata.normalize("NFKC", "".join(letter for letter in apart if not unicodedata.combining(letter)))


def _without_leading_zeros(text: str) -> str:
    return text.lstrip("0") or text[-1:]


_RULES: Final[Mapping[Rule, Callable[[str], str]]] = {
    "strip": str.strip,
    "collapse_spaces": lambda text: re.sub(r"\s+", " ", text),
    "upper": str.upper,
    "lower": str.lower,
    "casefold": str.casefold,
    "alphanumeric": lambda text: re.sub(r"[\W_]+", "", text),
    "digits": lambda text: re.sub(r"[^0-9]+", "", text),
    "nfkc": lambda text: unicodedata.normalize("NFKC", text),
    "no_accents": _without_accents,
    "no_leading_zeros": _without_leading_zeros,
}
