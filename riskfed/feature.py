"""One column of a loan record: how its values become numbers, and by which groups figures are broken down."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from riskfed.errors import SchemaError

if TYPE_CHECKING:
    import pandas as pd

Level = str | int
Encoding = Literal["numeric", "ordinal", "onehot"]

UNKNOWN_LEVEL = -2
"""Code of a value that is no level of the schema."""

_PERIODS = {"year": "Y", "quarter": "Q", "month": "M"}
_REASON_CODE = re.compile(r"[A-Za-z0-9_-]{1,16}")
_LANGUAGE_TAG = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*")
"""The shape of RFC 5646 tags such as en, de-AT or zh-Hant; whether a language exists is not looked up."""

_LONGEST_REASON = 500
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""What does not belong into one line of text: control characters and ends of lines."""

_XGBOOST_SAFE = str.maketrans({"[": "(", "]": ")", "<": "under "})


class Feature(BaseModel):
    """One column of a loan record that the model may use.

    Attributes:
        name: the column's name.
        encoding: see the module.
        levels: values of an ordinal or one-hot column, in order.
        minimum, maximum: agreed range of a numeric column; None where there is no bound.
        nullable: whether a value may be missing.
        description: for readers.
        special_values: codes in a numeric column that are no amounts (-1: never); a scorecard gives each a bin of its own.
        grid: rising inner edges of the public grid on which a scorecard's bins are searched; empty: made from the range
            (`riskfed.scorecard.grid`).
        reason_code: what an adverse reason on this feature is called, up to 16 of A-Z, a-z, 0-9, "_" and "-"; empty: R and the feature's
            place in the schema (`Schema.reason_codes`).
        reasons: language tag (RFC 5646) -> what an applicant reads where this feature speaks against them; empty: the description.
        immutable: nobody can change it, or is to be asked to (age, for one): no other value of it is ever tried out for an applicant.
        holder: the party that has this column, in a vertical schema; empty in others, where every bank has all columns.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    encoding: Encoding = "numeric"
    levels: tuple[Level, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    nullable: bool = True
    description: str = ""
    special_values: tuple[float, ...] = ()
    grid: tuple[float, ...] = ()
    reason_code: str = ""
    reasons: dict[str, str] = Field(default_factory=dict)
    immutable: bool = False
    holder: str = ""

    def __hash__(self) -> int:
        # A dict has no hash. Equal features have equal names, which is all that a hash must keep.
        return hash((type(self), self.name))

    @model_validator(mode="after")
    def _explicable(self) -> Self:
        if self.reason_code and not _REASON_CODE.fullmatch(self.reason_code):
            raise ValueError(f"feature {self.name}: reason_code is up to 16 letters, digits, _ and -")
        check_reasons(self.name, self.reasons)
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.encoding != "numeric" and (self.special_values or self.grid):
            raise ValueError(f"feature {self.name}: special_values and grid are for numeric features")
        if list(self.grid) != sorted(set(self.grid)):
            raise ValueError(f"feature {self.name}: grid must rise")
        if (self.encoding == "numeric") == bool(self.levels):
            raise ValueError(f"feature {self.name}: levels are needed for ordinal and onehot, and only there")
        if len(set(self.levels)) != len(self.levels):
            raise ValueError(f"feature {self.name}: a level is listed twice")
        if self.minimum is not None and self.maximum is not None and not self.minimum <= self.maximum:
            raise ValueError(f"feature {self.name}: minimum is above maximum")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the encoded columns; the characters [, ] and <, which XGBoost refuses in names, are replaced."""
        names = [f"{self.name}={level}" for level in self.levels] if self.encoding == "onehot" else [self.name]
        return tuple(name.translate(_XGBOOST_SAFE) for name in names)

    def encode(self, values: pd.Series) -> np.ndarray:
        """Encode one column.

        Args:
            values: (n,) column that meets the contract (see `riskfed.contract`).

        Returns:
            (n, len(self.columns)) float32; NaN where missing. A level outside of ``levels`` becomes NaN too, so check the
            contract first.
        """
        if self.encoding == "numeric":
            import pandas as pd

            return pd.to_numeric(values).to_numpy(dtype=np.float32, na_value=np.nan).reshape(-1, 1)
        # One row for each level, and a last one, which every negative code picks, for a missing value.
        rows = np.arange(len(self.levels), dtype=np.float32)[:, None]
        if self.encoding == "onehot":
            rows = np.eye(len(self.levels), dtype=np.float32)
        rows = np.concatenate([rows, np.full((1, rows.shape[1]), np.nan, dtype=np.float32)])
        return np.asarray(np.take(rows, np.maximum(self.level_codes(values), -1), axis=0, mode="wrap"))

    def level_codes(self, values: pd.Series) -> np.ndarray:
        """Positions of a column's values in ``levels``.

        Args:
            values: (n,) column of an ordinal or one-hot feature; a categorical one is looked up category by category.

        Returns:
            (n,) integers: the position, -1 where the value is missing, `UNKNOWN_LEVEL` where it is no level.
        """
        import pandas as pd

        if isinstance(values.dtype, pd.CategoricalDtype):
            positions = pd.Index(self.levels).get_indexer(pd.Index(values.cat.categories))
            positions[positions < 0] = UNKNOWN_LEVEL
            # The code -1 of a missing value picks the last entry.
            return np.append(positions, -1)[values.cat.codes.to_numpy()]
        codes = pd.Index(self.levels).get_indexer(pd.Index(values))
        codes[(codes < 0) & values.notna().to_numpy()] = UNKNOWN_LEVEL
        return codes


class Attribute(Feature):
    """A column by which figures are broken down, and that the model does not look at. The same column may be a feature besides.

    Attributes:
        role: "segment": figures by part of the portfolio. "protected": how groups of people are treated, against `reference`.
            "cohort": when a loan was made, for vintages and for what is recent; one at most.
        edges: rising inner edges of the bands of a numeric attribute.
        reference: number of the band or level that others are compared with; for "protected".
        recent: levels of a cohort that are recent; empty: none is.
        period: the column holds dates, each of which falls into a level: "2024" for "year", "2024Q1" for "quarter", "2024-01" for "month".
            None: its values are levels themselves.
    """

    role: Literal["segment", "protected", "cohort"] = "segment"
    edges: tuple[float, ...] = ()
    reference: int = Field(default=0, ge=0)
    recent: tuple[Level, ...] = ()
    period: Literal["year", "quarter", "month"] | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.encoding == "onehot" or (self.encoding == "numeric") != bool(self.edges):
            raise ValueError(f"attribute {self.name} needs levels (ordinal), or edges of its bands (numeric)")
        if list(self.edges) != sorted(set(self.edges)):
            raise ValueError(f"attribute {self.name}: edges must rise")
        if self.period is not None and (not self.levels or not all(isinstance(level, str) for level in self.levels)):
            raise ValueError(f"attribute {self.name}: periods need levels that are texts, such as 2024Q1")
        if self.role == "protected" and self.reference >= len(self.groups):
            raise ValueError(f"attribute {self.name}: reference {self.reference} is no band or level")
        if unknown := [level for level in self.recent if level not in self.levels]:
            raise ValueError(f"attribute {self.name}: recent names {len(unknown)} levels that it does not have")
        return self

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of its levels, or of its bands, in order."""
        if self.levels:
            return tuple(str(level) for level in self.levels)
        inner = [f"{low:g} to under {high:g}" for low, high in itertools.pairwise(self.edges)]
        return (f"under {self.edges[0]:g}", *inner, f"{self.edges[-1]:g} and over")

    def level_codes(self, values: pd.Series) -> np.ndarray:
        """As `Feature.level_codes`; of dates (datetimes, or texts in ISO 8601), the positions of their periods."""
        if self.period is None:
            return super().level_codes(values)
        import pandas as pd

        dates = pd.to_datetime(values, errors="coerce", format=None if is_date(values) else "ISO8601")
        names = dates.dt.to_period(_PERIODS[self.period]).astype(str)
        codes = pd.Index(self.levels).get_indexer(pd.Index(names))
        codes[codes < 0] = UNKNOWN_LEVEL
        codes[values.isna().to_numpy()] = -1
        return codes

    def codes(self, values: np.ndarray) -> np.ndarray:
        """(n,) int16 group of each of (n,) float32 encoded values, -1 where missing."""
        if self.levels:
            return np.where(np.isnan(values), -1, np.nan_to_num(values)).astype(np.int16)
        bands = np.searchsorted(np.array(self.edges, dtype=np.float32), values, side="right")
        return np.where(np.isnan(values), -1, bands).astype(np.int16)


def encoding_of(
    values: pd.Series, ordinal: Sequence[Level] | None, onehot: Sequence[Level] | None
) -> tuple[Encoding, tuple[Level, ...]]:
    """Encoding and levels for a frame's column: those that are given, or what suits its type.

    Raises:
        SchemaError: both are given, or the type has no encoding.
    """
    if ordinal is not None and onehot is not None:
        raise SchemaError(f"column {values.name}: both ordinal and onehot levels are given; name one")
    if ordinal is not None:
        return "ordinal", tuple(ordinal)
    if onehot is not None:
        return "onehot", tuple(onehot)
    import pandas as pd

    if pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        return "numeric", ()
    if isinstance(values.dtype, pd.CategoricalDtype):
        return "onehot", tuple(values.cat.categories)
    if pd.api.types.is_string_dtype(values) or values.dtype == object:
        return "onehot", tuple(sorted(str(v) for v in values.dropna().unique()))
    raise SchemaError(
        f"column {values.name} has type {values.dtype}, which has no encoding: exclude it, or turn it into a number or a text"
    )


def is_date(values: pd.Series) -> bool:
    """Whether a column holds dates by its type."""
    import pandas as pd

    return bool(pd.api.types.is_datetime64_any_dtype(values))


def check_reasons(feature: str, texts: Mapping[str, str]) -> None:
    """Refuse texts of adverse reasons (language tag -> text) that cannot be shown.

    Raises:
        ValueError: what is no language tag, one tag twice in other letters (en, EN), or an empty or too long text.
    """
    if odd := [tag for tag in texts if not _LANGUAGE_TAG.fullmatch(tag)]:
        raise ValueError(
            f"feature {feature}: reasons are named by language tags such as en or zh-Hant, got {odd[0][:40]!r}"
        )
    if len({tag.lower() for tag in texts}) != len(texts):
        raise ValueError(f"feature {feature}: reasons name a language twice")
    for tag, text in texts.items():
        if not text.strip() or len(text) > _LONGEST_REASON or _CONTROL.search(text):
            raise ValueError(
                f"feature {feature}: the reason in {tag} must be one line of 1 to {_LONGEST_REASON} characters"
            )
