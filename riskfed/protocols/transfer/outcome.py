"""What the parties of a transfer job keep."""

from __future__ import annotations

from dataclasses import dataclass, field

from riskfed.protocols.release import ModelRelease


@dataclass(frozen=True, slots=True)
class LabelHolderOutcome:
    """What the label holder keeps.

    Attributes:
        release: what was released: figures, and the model's sha256.
        full: the same; it has no model.
        common: number of common customers, held-out ones included.
    """

    release: ModelRelease
    full: ModelRelease
    common: int


@dataclass(frozen=True, slots=True)
class TargetOutcome:
    """What the target keeps.

    Attributes:
        full: the release with the model; nobody else has it.
        release_sha256: of the release's bytes (hex).
        common: number of common customers, held-out ones included.
    """

    full: ModelRelease = field(repr=False)
    release_sha256: str
    common: int
