"""The contract between a bank's records and the consortium's schema. Findings name rule, column and count, never a value."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from riskfed.errors import ContractError
from riskfed.schema import UNKNOWN_LEVEL, Feature, Schema

_LARGEST = float(np.finfo(np.float32).max)
MAXIMUM_WEIGHT = float(2**20)
"""Largest sample weight: keeps every pooled sum within its public bound."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One rule that one column breaks in `rows` rows (0: the column as a whole)."""

    rule: str
    column: str
    rows: int

    def __str__(self) -> str:
        return f"{self.rule}: column {self.column}" + (f", {self.rows} rows" if self.rows else "")


@dataclass(frozen=True, slots=True)
class Batch:
    """Some of a bank's records, as a connector hands them on.

    Attributes:
        frame: (k, any) columns that the schema names, and maybe others; a column that is absent breaks the contract.
        found: what the connector itself found broken; the contract's own rules say nothing more about these columns.
    """

    frame: pd.DataFrame
    found: tuple[Violation, ...] = ()


class Findings:
    """What a bank's records break, added up over all batches.

    Args:
        schema: the consortium's schema.
        labelled: whether target, weight, attributes and customer ids are part of the contract; applicants have none.
    """

    def __init__(self, schema: Schema, *, labelled: bool = True) -> None:
        self._schema = schema
        self._labelled = labelled
        self._rows: dict[tuple[str, str], int] = {}

    def look_at(self, batch: Batch) -> bool:
        """Add a batch's violations; whether it has none."""
        told = {violation.column for violation in batch.found}
        others = violations(batch.frame, self._schema, labelled=self._labelled)
        found = [*batch.found, *(violation for violation in others if violation.column not in told)]
        for violation in found:
            key = violation.rule, violation.column
            self._rows[key] = self._rows.get(key, 0) + violation.rows
        return not found

    @property
    def violations(self) -> list[Violation]:
        """Every broken rule, in the order of the schema's columns."""
        names = [*(feature.name for feature in self._schema.inputs), self._schema.target, self._schema.weight]
        place = {name: number for number, name in enumerate(names)}
        found = [Violation(rule, column, rows) for (rule, column), rows in self._rows.items()]
        return sorted(found, key=lambda violation: place.get(violation.column, len(place)))

    def check(self) -> None:
        """Refuse records that do not meet the schema.

        Raises:
            ContractError: lists every broken rule with its column and the number of rows.
        """
        if self._rows:
            listed = "; ".join(str(violation) for violation in self.violations)
            raise ContractError(
                f"records do not meet schema {self._schema.name} version {self._schema.version}: {listed}. "
                "The bank's data engineer must mend the extract, or the consortium its schema"
            )


def violations(frame: pd.DataFrame, schema: Schema, *, labelled: bool = True) -> list[Violation]:
    """Every rule of `schema` that `frame` breaks, those on target, weight and attributes only if `labelled`; empty where it may be used.

    Of customer ids it says whether the column is there; `riskfed.customer_id.IdFindings` looks at the ids, of all batches together.
    """
    found: list[Violation] = []
    for feature in schema.inputs if labelled else schema.features:
        if feature.name not in frame.columns:
            found.append(Violation("missing column", feature.name, 0))
        elif feature.encoding == "numeric":
            found += _number_violations(frame[feature.name], feature)
        else:
            found += _level_violations(frame[feature.name], feature)
    if labelled:
        if schema.customer_id is not None and schema.customer_id.column not in frame.columns:
            found.append(Violation("missing column", schema.customer_id.column, 0))
        if schema.target:  # a feature holder's part has none
            found += _label_violations(frame, schema.target)
        if schema.weight is not None:
            found += _weight_violations(frame, schema.weight)
    return found


def check_contract(frame: pd.DataFrame, schema: Schema) -> None:
    """Refuse records that do not meet the schema.

    Raises:
        ContractError: as `Findings.check`.
    """
    findings = Findings(schema)
    findings.look_at(Batch(frame))
    findings.check()


def _level_violations(values: pd.Series, feature: Feature) -> list[Violation]:
    codes = feature.level_codes(values)
    if not len(codes) or codes.min() >= 0:
        return []
    unknown = int((codes == UNKNOWN_LEVEL).sum())
    found = _missing_violations(int((codes < 0).sum()) - unknown, feature)
    return [*found, Violation("level that the schema does not list", feature.name, unknown)] if unknown else found


def _missing_violations(missing: int, feature: Feature) -> list[Violation]:
    if missing and not feature.nullable:
        return [Violation("missing value where the schema allows none", feature.name, missing)]
    return []


def _number_violations(values: pd.Series, feature: Feature) -> list[Violation]:
    if not _is_number(values):
        wrong = Violation(f"wrong type, expected a number, got {values.dtype}", feature.name, 0)
        return [*_missing_violations(int(values.isna().sum()), feature), wrong]
    numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    found = [] if feature.nullable else _missing_violations(int(np.isnan(numbers).sum()), feature)
    return found + _range_violations(numbers, feature)


def _range_violations(numbers: np.ndarray, feature: Feature) -> list[Violation]:
    """Rules on (k,) float64 numbers, NaN where missing."""
    # Usually nothing is out of range, and the extremes tell; fmin and fmax pass over NaN.
    least, most = np.fmin.reduce(numbers, initial=np.inf), np.fmax.reduce(numbers, initial=-np.inf)
    found = []
    if (least < -_LARGEST or most > _LARGEST) and (too_large := int((np.abs(numbers) > _LARGEST).sum())):
        found.append(Violation("infinite, or too large for float32", feature.name, too_large))
    if feature.minimum is not None and least < feature.minimum:
        below = int((numbers < feature.minimum).sum())
        found.append(Violation(f"below the schema's minimum {feature.minimum:g}", feature.name, below))
    if feature.maximum is not None and most > feature.maximum:
        above = int((numbers > feature.maximum).sum())
        found.append(Violation(f"above the schema's maximum {feature.maximum:g}", feature.name, above))
    return found


def _label_violations(frame: pd.DataFrame, target: str) -> list[Violation]:
    if target not in frame.columns:
        return [Violation("missing column", target, 0)]
    labels = frame[target]
    if not _is_number(labels):
        return [Violation(f"wrong type, expected a number, got {labels.dtype}", target, 0)]
    numbers = labels.to_numpy(dtype=np.float64, na_value=np.nan)
    other = int(((numbers != 0) & (numbers != 1)).sum())
    return [Violation("label other than 0 and 1", target, other)] if other else []


def _weight_violations(frame: pd.DataFrame, weight: str) -> list[Violation]:
    if weight not in frame.columns:
        return [Violation("missing column", weight, 0)]
    if not _is_number(frame[weight]):
        return [Violation(f"wrong type, expected a number, got {frame[weight].dtype}", weight, 0)]
    numbers = frame[weight].to_numpy(dtype=np.float64, na_value=np.nan)
    wrong = int((~((numbers > 0) & (numbers <= MAXIMUM_WEIGHT))).sum())
    return [Violation(f"weight outside of (0, {MAXIMUM_WEIGHT:g}]", weight, wrong)] if wrong else []


def _is_number(values: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values)
