"""What a model is to the scoring service, and where it may come from."""

from __future__ import annotations

import json
from typing import Final, Protocol

from riskfed.errors import RegistryError, SchemaError
from riskfed.schema import Schema
from riskfed.serving.engine.model_files import ModelFiles, ModelReference
from riskfed.vertical_model import PartnerReference

__all__ = [
    "FALLBACK",
    "PARTNERS",
    "ModelFiles",
    "ModelReference",
    "ModelSource",
    "NoModelError",
    "SourceUnreachableError",
    "read_partners",
    "read_schema",
]

PARTNERS: Final = "partners.json"
FALLBACK: Final = "fallback.json"
"""Files beside the ``model.json`` of a vertical model."""


class SourceUnreachableError(RegistryError):
    """The source did not say which model is current, or broke off: nothing is known against any model. It may pass by itself."""


class NoModelError(RegistryError):
    """The source answers, and says that it has no such model: an alias that was removed, for one."""


class ModelSource(Protocol):
    """A place that a model comes from. Calls block; each ends within the source's time-out, and raises RegistryError."""

    @property
    def identity(self) -> str:
        """What is followed, in one line: equal for two sources exactly when they follow the same place, name and alias."""
        ...

    def resolve(self) -> ModelReference:
        """Say which model is current; cheap, called at every poll.

        Raises:
            SourceUnreachableError: it does not say.
            NoModelError: it says that there is none.
        """
        ...

    def download(self, reference: ModelReference) -> ModelFiles:
        """Fetch its files and check them.

        Raises:
            SourceUnreachableError: they could not be fetched just now.
            RegistryError: they are not sound, and will not be by themselves.
        """
        ...


def read_schema(content: bytes, where: object) -> Schema:
    """Read ``schema.json``.

    Raises:
        RegistryError: it is no schema.
    """
    try:
        return Schema(**json.loads(content))
    except (ValueError, TypeError, RecursionError, SchemaError):
        raise RegistryError(f"model {where}: schema.json is no schema; register the model again") from None


def read_partners(content: bytes, where: object) -> tuple[PartnerReference, ...]:
    """Read ``partners.json``, a list of references.

    Raises:
        RegistryError: it is none.
    """
    try:
        return tuple(PartnerReference.from_dict(fields) for fields in json.loads(content))
    except (ValueError, TypeError, RecursionError):
        raise RegistryError(f"model {where}: partners.json is no list of parts; register the model again") from None
