"""A model's files, and the name that they go by."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from riskfed.errors import RegistryError
from riskfed.schema import Schema
from riskfed.vertical_model import PartnerReference


@dataclass(frozen=True, slots=True)
class ModelReference:
    """Which model it is. Two references are equal exactly when they mean the same files.

    Attributes:
        name: registered name.
        version: registered version.
        alias: what it was resolved from; None for a fixed version and for a folder.
        source: the registry's id of the files, which a re-created version of the same number does not share.
        model_sha256: sha256 (hex) that the registry states for ``model.json``.
        schema_fingerprint: that the registry states for the schema; "" where nothing is stated, as in a folder.
    """

    name: str
    version: str
    alias: str | None
    source: str
    model_sha256: str
    schema_fingerprint: str = ""

    def __str__(self) -> str:
        return f"{self.name} version {self.version}"


@dataclass(frozen=True)
class ModelFiles:
    """A model's files, found to be those that its reference means.

    Attributes:
        reference: which model.
        model: XGBoost's JSON, or a scorecard's.
        schema: that its rows are encoded by.
        facts: what the source tells readers of it: in a registry its tags (``auc``, ``ks``, ``headline``, ``verdict``, ...) and its
            ``description``. Nothing is computed from them.
        partners: of a vertical model, the parts that feature holders keep, in the order of their columns.
        fallback: of a vertical model, the JSON of the label holder's own one.

    Raises:
        RegistryError: model or schema are others than those that the reference states.
    """

    reference: ModelReference
    model: bytes = field(repr=False)
    schema: Schema
    facts: Mapping[str, str] = field(default_factory=dict, repr=False)
    partners: tuple[PartnerReference, ...] = ()
    fallback: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        if self.sha256 != self.reference.model_sha256:
            raise RegistryError(
                f"model {self.reference}: the sha256 of model.json is {self.sha256[:12]}..., the registry's tag says "
                f"{self.reference.model_sha256[:12] or 'nothing'}...; register the model again"
            )
        stated = self.reference.schema_fingerprint
        if stated and stated != self.schema.fingerprint:
            raise RegistryError(
                f"model {self.reference}: the schema's fingerprint is {self.schema.fingerprint[:12]}..., the registry's tag says "
                f"{stated[:12]}...; register the model again"
            )

    @cached_property
    def sha256(self) -> str:
        """sha256 (hex) of the model's bytes; equals that of the model which the banks released."""
        return hashlib.sha256(self.model).hexdigest()
