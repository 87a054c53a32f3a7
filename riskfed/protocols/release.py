"""The result of a training job, as it leaves the banks: model, schema and pooled figures, nothing of a single bank."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from riskfed.errors import RemoteProtocolError, SchemaError
from riskfed.schema import Schema


@dataclass(frozen=True, slots=True)
class ModelRelease:
    """A finished model.

    Attributes:
        booster: XGBoost's JSON.
        schema: how applicants are encoded for it.
        metrics: pooled figures on the held-out rows (``auc``, ``ks``, ``logloss``, ``brier``, ``rows``, ``defaults``); empty where
            nothing was held out.
        history: pooled figures after each tree.
        score_cells: (upper edge of the PD, goods, bads) of held-out rows by rising PD, in cells of a minimum count; for pictures.
        fixed_point_bits: fractional bits of the gradient sums.
    """

    booster: bytes = field(repr=False)
    schema: Schema
    metrics: Mapping[str, float]
    history: Sequence[Mapping[str, float]]
    score_cells: Sequence[tuple[float, int, int]]
    fixed_point_bits: int

    def to_bytes(self) -> bytes:
        """Canonical JSON: equal releases give equal bytes."""
        fields = {
            "booster": self.booster.decode(),
            "schema": self.schema.model_dump(mode="json"),
            "metrics": dict(self.metrics),
            "history": [dict(entry) for entry in self.history],
            "score_cells": [list(cell) for cell in self.score_cells],
            "fixed_point_bits": self.fixed_point_bits,
        }
        return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> ModelRelease:
        """Read a release.

        Raises:
            RemoteProtocolError: not a release.
        """
        try:
            fields: dict[str, Any] = json.loads(data)
            return cls(
                booster=fields["booster"].encode(),
                schema=Schema(**fields["schema"]),
                metrics=fields["metrics"],
                history=fields["history"],
                score_cells=[(float(score), int(good), int(bad)) for score, good, bad in fields["score_cells"]],
                fixed_point_bits=int(fields["fixed_point_bits"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError, SchemaError):
            raise RemoteProtocolError("the released result is malformed") from None
