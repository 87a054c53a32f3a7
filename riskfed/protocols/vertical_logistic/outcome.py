"""What parties keep of a run."""

from __future__ import annotations

from dataclasses import dataclass, field

from riskfed.linear_model import ScorePart
from riskfed.protocols.release import ModelRelease


@dataclass(frozen=True, slots=True)
class LabelHolderOutcome:
    """What the label holder keeps.

    Attributes:
        release: what was released.
        full: the release as it would be with the whole model.
        losses: mean loss of each epoch, by the job's polynomial.
        common: number of common customers, held-out ones included.
        left_out: features that took no part: constants, or bins that all say the same.
    """

    release: ModelRelease
    full: ModelRelease
    losses: tuple[float, ...]
    common: int
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FeatureHolderOutcome:
    """What a feature holder keeps.

    Attributes:
        part: its terms, by which it answers for customers later.
        release_sha256: of the label holder's release (hex).
        common: number of common customers, held-out ones included.
        left_out: as the label holder's.
    """

    part: ScorePart = field(repr=False)
    release_sha256: str
    common: int
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CoordinatorOutcome:
    """What the coordinator keeps: the sha256 (hex) of the label holder's release. Its key is gone."""

    release_sha256: str
