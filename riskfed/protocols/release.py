"""The result of a training job, as it leaves the banks: model, schema and pooled figures, nothing of a single bank.

A job's ``release`` says what of the model leaves. Whatever it says, each bank keeps the full model, and all forms name its sha256.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, get_args

from riskfed.errors import RemoteProtocolError, SchemaError
from riskfed.evaluation.contribution import ContributionRecord
from riskfed.evaluation.privacy import PrivacyRecord
from riskfed.evaluation.record import Evaluation
from riskfed.jobs import KINDS, ReleaseForm
from riskfed.schema import Schema
from riskfed.vertical_model import PartnerReference

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ModelRelease:
    """A finished model.

    Attributes:
        model: XGBoost's JSON or a `riskfed.scorecard.card.Scorecard`'s; empty where `form` is "withheld".
        schema: how applicants are encoded for it.
        metrics: pooled figures on the held-out rows (``auc``, ``ks``, ``logloss``, ``brier``, ``rows``, ``defaults``); empty where
            nothing was held out.
        history: pooled figures after each tree.
        score_cells: (upper edge of the PD, goods, bads) of held-out rows by rising PD, in cells of a minimum count; for pictures.
        fixed_point_bits: fractional bits of the gradient sums.
        form: what of the model `model` is.
        model_sha256: sha256 (hex) of the full model's JSON, which each bank keeps. Where `form` is "full", that of `model`.
        kind: of the job that made it.
        evaluation: how good the model is; None where nothing was held out, or only goods or only defaults.
        partners: of a vertical model, the parts that feature holders keep.
        fallback: of a vertical model, the JSON of the label holder's own one, for applicants whom a partner does not know.
        contribution: what each bank brought; None but of a contribution job, which releases nothing else.
        privacy: what is known of single records' privacy; None where the job asked for none.
    """

    model: bytes = field(repr=False)
    schema: Schema
    metrics: Mapping[str, float]
    history: Sequence[Mapping[str, float]]
    score_cells: Sequence[tuple[float, int, int]]
    fixed_point_bits: int
    form: ReleaseForm = "full"
    model_sha256: str = ""
    kind: str = "horizontal_xgboost"
    evaluation: Evaluation | None = field(default=None, repr=False)
    partners: tuple[PartnerReference, ...] = ()
    fallback: bytes = field(default=b"", repr=False)
    contribution: ContributionRecord | None = None
    privacy: PrivacyRecord | None = None

    def __post_init__(self) -> None:
        if self.form == "full" and self.model_sha256 == "":
            object.__setattr__(self, "model_sha256", hashlib.sha256(self.model).hexdigest())

    def reduced_to(self, model: bytes) -> ModelRelease:
        """This full release with the reduced `model` in place of the full one."""
        return replace(self, form="reduced", model=model)

    def withheld(self) -> ModelRelease:
        """This full release without the model."""
        return replace(self, form="withheld", model=b"")

    def to_bytes(self) -> bytes:
        """Canonical JSON: equal releases give equal bytes."""
        fields = {
            "model": self.model.decode(),
            "schema": self.schema.model_dump(mode="json"),
            "metrics": dict(self.metrics),
            "history": [dict(entry) for entry in self.history],
            "score_cells": [list(cell) for cell in self.score_cells],
            "fixed_point_bits": self.fixed_point_bits,
            "form": self.form,
            "model_sha256": self.model_sha256,
            "kind": self.kind,
            "evaluation": None if self.evaluation is None else self.evaluation.model_dump(mode="json"),
        }
        if self.partners:
            fields["partners"] = [partner.to_dict() for partner in self.partners]
            fields["fallback"] = self.fallback.decode()
        if self.contribution is not None:
            fields["contribution"] = self.contribution.model_dump(mode="json")
        if self.privacy is not None:
            fields["privacy"] = self.privacy.model_dump(mode="json")
        return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> ModelRelease:
        """Read a release.

        Raises:
            RemoteProtocolError: not a release.
        """
        try:
            fields: dict[str, Any] = json.loads(data)
            release = cls(
                model=fields["model"].encode(),
                schema=Schema(**fields["schema"]),
                metrics=_figures(fields["metrics"]),
                history=[_figures(entry) for entry in fields["history"]],
                score_cells=[(float(score), int(good), int(bad)) for score, good, bad in fields["score_cells"]],
                fixed_point_bits=int(fields["fixed_point_bits"]),
                form=fields["form"],
                model_sha256=fields["model_sha256"],
                kind=fields["kind"],
                evaluation=None if fields["evaluation"] is None else Evaluation.model_validate(fields["evaluation"]),
                partners=tuple(PartnerReference.from_dict(partner) for partner in fields.get("partners", ())),
                fallback=fields.get("fallback", "").encode(),
                contribution=_contribution(fields.get("contribution")),
                privacy=None if fields.get("privacy") is None else PrivacyRecord.model_validate(fields["privacy"]),
            )
            sound = release._is_sound()
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, SchemaError):
            sound = False
        if not sound:
            raise RemoteProtocolError("the released result is malformed")
        return release

    def _is_sound(self) -> bool:
        """Whether form, model and sha256 go together."""
        if self.form not in get_args(ReleaseForm) or self.kind not in KINDS or not _SHA256.fullmatch(self.model_sha256):
            return False
        if self.form == "full":
            return self.model_sha256 == hashlib.sha256(self.model).hexdigest()
        return bool(self.model) == (self.form == "reduced")


def _contribution(said: Any) -> ContributionRecord | None:
    return None if said is None else ContributionRecord.model_validate(said)


def _figures(said: Any) -> dict[str, float]:
    """Figures by name, as they are.

    Raises:
        TypeError: something else was said.
    """
    if not isinstance(said, dict) or not all(type(value) in (int, float) for value in said.values()):
        raise TypeError("not figures by name")
    return said
