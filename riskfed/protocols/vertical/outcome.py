"""What parties keep of a vertical run."""

from __future__ import annotations

from dataclasses import dataclass, field

from riskfed.protocols.release import ModelRelease
from riskfed.trees.cuts import Cuts
from riskfed.vertical_model import FeaturePart


@dataclass(frozen=True, slots=True)
class LabelHolderOutcome:
    """What the label holder keeps.

    Attributes:
        release: what was released.
        full: the release as it would be with the whole model.
        cuts: of its own columns.
        base_score: prior PD.
        common: number of common customers, held-out ones included.
    """

    release: ModelRelease
    full: ModelRelease
    cuts: Cuts
    base_score: float
    common: int


@dataclass(frozen=True, slots=True)
class FeatureHolderOutcome:
    """What a feature holder keeps.

    Attributes:
        part: its splits, by which it answers for customers later.
        cuts: of its own columns.
        release_sha256: of the label holder's release (hex).
        common: number of common customers, held-out ones included.
        left_out: columns that took no part, see `riskfed.protocols.vertical.hidden_columns.HiddenColumns.of`.
    """

    part: FeaturePart = field(repr=False)
    cuts: Cuts = field(repr=False)
    release_sha256: str
    common: int
    left_out: tuple[str, ...] = ()
