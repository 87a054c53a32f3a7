"""The contract between a bank's records and the consortium's schema. Findings name rule, column and count, never a value."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from riskfed.errors import ContractError
from riskfed.schema import Feature, Schema

_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True)
class Violation:
    """One rule that one column breaks in `rows` rows (0: the column as a whole)."""

    rule: str
    column: str
    rows: int

    def __str__(self) -> str:
        return f"{self.rule}: column {self.column}" + (f", {self.rows} rows" if self.rows else "")


def violations(frame: pd.DataFrame, schema: Schema) -> list[Violation]:
    """Every rule of `schema` that `frame` breaks; empty where the records may be used."""
    found: list[Violation] = []
    for feature in schema.features:
        if feature.name not in frame.columns:
            found.append(Violation("missing column", feature.name, 0))
        else:
            found += _feature_violations(frame[feature.name], feature)
    found += _label_violations(frame, schema.target)
    if schema.weight is not None:
        found += _weight_violations(frame, schema.weight)
    return found


def check_contract(frame: pd.DataFrame, schema: Schema) -> None:
    """Refuse records that do not meet the schema.

    Raises:
        ContractError: lists every broken rule with its column and the number of rows.
    """
    if found := violations(frame, schema):
        listed = "; ".join(str(violation) for violation in found)
        raise ContractError(
            f"records do not meet schema {schema.name} version {schema.version}: {listed}. "
            "The bank's data engineer must mend the extract, or the consortium its schema"
        )


def _feature_violations(values: pd.Series, feature: Feature) -> list[Violation]:
    missing = values.isna()
    found = []
    if not feature.nullable and missing.any():
        found.append(Violation("missing value where the schema allows none", feature.name, int(missing.sum())))
    present = values[~missing]
    if feature.encoding != "numeric":
        unknown = int((pd.Index(feature.levels).get_indexer(pd.Index(present)) < 0).sum())
        if unknown:
            found.append(Violation("level that the schema does not list", feature.name, unknown))
        return found
    if not _is_number(values):
        found.append(Violation(f"wrong type, expected a number, got {values.dtype}", feature.name, 0))
        return found
    return found + _range_violations(present.to_numpy(dtype=np.float64), feature)


def _range_violations(numbers: np.ndarray, feature: Feature) -> list[Violation]:
    found = []
    if too_large := int((~(np.abs(numbers) <= _LARGEST)).sum()):
        found.append(Violation("infinite, or too large for float32", feature.name, too_large))
    if feature.minimum is not None and (below := int((numbers < feature.minimum).sum())):
        found.append(Violation(f"below the schema's minimum {feature.minimum:g}", feature.name, below))
    if feature.maximum is not None and (above := int((numbers > feature.maximum).sum())):
        found.append(Violation(f"above the schema's maximum {feature.maximum:g}", feature.name, above))
    return found


def _label_violations(frame: pd.DataFrame, target: str) -> list[Violation]:
    if target not in frame.columns:
        return [Violation("missing column", target, 0)]
    labels = frame[target]
    if not _is_number(labels):
        return [Violation(f"wrong type, expected a number, got {labels.dtype}", target, 0)]
    other = int((~labels.isin([0, 1])).sum())
    return [Violation("label other than 0 and 1", target, other)] if other else []


def _weight_violations(frame: pd.DataFrame, weight: str) -> list[Violation]:
    if weight not in frame.columns:
        return [Violation("missing column", weight, 0)]
    if not _is_number(frame[weight]):
        return [Violation(f"wrong type, expected a number, got {frame[weight].dtype}", weight, 0)]
    numbers = frame[weight].to_numpy(dtype=np.float64, na_value=np.nan)
    wrong = int((~((numbers > 0) & (numbers <= MAXIMUM_WEIGHT))).sum())
    return [Violation(f"weight outside of (0, {MAXIMUM_WEIGHT:g}]", weight, wrong)] if wrong else []


MAXIMUM_WEIGHT = float(2**20)
"""Largest sample weight: keeps every pooled sum within its public bound."""


def _is_number(values: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values)
