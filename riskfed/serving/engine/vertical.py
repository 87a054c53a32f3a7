"""The engine of a model's files: a `ScoringEngine`, or for a vertical model a `JointEngine` that asks its partners."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from riskfed.errors import ConfigurationError, ProtocolError, RegistryError, SchemaError
from riskfed.schema import Schema
from riskfed.scorecard.points import ScoreScale
from riskfed.serving.engine.engine import ScoringEngine
from riskfed.serving.engine.interface import Engine
from riskfed.serving.engine.joint import JointEngine, Partner
from riskfed.serving.engine.model_files import ModelFiles
from riskfed.serving.engine.reason_texts import ReasonOverlay
from riskfed.trees.booster_json import parse_booster
from riskfed.vertical_model import Answers, LeafMask, PartnerReference, joined_schema, leaf_masks_of

FindPartner = Callable[[PartnerReference, Sequence[LeafMask]], Partner]
"""The partner that keeps a part. The masks are those of the part's splits where it answers with leaf sets, else there are none. Raises
ConfigurationError where the service is told nothing of that partner."""


def build_engine(
    files: ModelFiles,
    scale: ScoreScale | None = None,
    texts: ReasonOverlay | None = None,
    *,
    partner: FindPartner | None = None,
) -> Engine:
    """Make the engine of a model's files.

    Args:
        files: model and schema, and of a vertical model its partners and the fallback.
        scale, texts: as for `ScoringEngine`.
        partner: finds the feature holders' endpoints; None: this service has none.

    Raises:
        RegistryError: the files are not sound or do not belong together, or a partner that they need is not configured.
    """
    joint = ScoringEngine(files, scale, texts)
    own = own_schema(files)
    theirs = [part for part in files.partners if part.splits]
    if files.schema.columns == own.columns and not theirs:
        return joint
    try:
        form: Answers = "partial_score" if all(part.answers == "partial_score" for part in theirs) else "decisions"
        expected = joined_schema(own, [(part.party, part.splits) for part in theirs], form).columns
        if expected != files.schema.columns or not files.fallback:
            raise RegistryError(
                f"model {files.reference} needs partners' columns, and partners.json or fallback.json are not those that belong to it; "
                "register the model again"
            )
        partners = JoinedPartners([_find(partner, part, mask) for part, mask in _masks(files, own, theirs)])
    except (ConfigurationError, ProtocolError, SchemaError) as error:
        raise RegistryError(f"model {files.reference}: {error}") from None
    digest = hashlib.sha256(files.fallback).hexdigest()
    reference = replace(files.reference, model_sha256=digest, schema_fingerprint="")
    # Reasons are told in the joint model's texts, of which the overlay may name a partner: none is laid over the fallback's.
    return JointEngine(joint, ScoringEngine(ModelFiles(reference, files.fallback, own), scale or joint.scale), partners)


def own_schema(files: ModelFiles) -> Schema:
    """Of a vertical model the label holder's part of the schema, by which an applicant is encoded; of others the schema."""
    return files.schema.part_of(files.schema.label_holder) if files.schema.is_vertical else files.schema


class JoinedPartners(Partner):
    """Several feature holders, asked at the same time; their columns stand behind each other.

    Args:
        partners: in the order of their columns.
    """

    def __init__(self, partners: Sequence[Partner]) -> None:
        self._partners = tuple(partners)

    async def columns(self, model_sha256: str, customer_id: str) -> NDArray[np.float32]:
        """See `Partner.columns`. Where one fails, the others are not waited for."""
        if len(self._partners) == 1:
            return await self._partners[0].columns(model_sha256, customer_id)
        asked = [asyncio.ensure_future(partner.columns(model_sha256, customer_id)) for partner in self._partners]
        try:
            return np.concatenate(await asyncio.gather(*asked))
        finally:
            for one in asked:
                one.cancel()


def _masks(
    files: ModelFiles, own: Schema, theirs: Sequence[PartnerReference]
) -> list[tuple[PartnerReference, tuple[LeafMask, ...]]]:
    """Each part with the leaf masks that it needs."""
    ends = np.cumsum([len(own.columns), *(part.splits for part in theirs)]).tolist()
    trees = parse_booster(files.model).trees if any(part.answers == "leaf_sets" for part in theirs) else []
    return [
        (part, leaf_masks_of(trees, range(start, end)) if part.answers == "leaf_sets" else ())
        for part, (start, end) in zip(theirs, pairwise(ends), strict=True)
    ]


def _find(partner: FindPartner | None, part: PartnerReference, masks: Sequence[LeafMask]) -> Partner:
    if partner is None:
        raise ConfigurationError(
            f"{part.party} has a part in it, and this service has no partners; add [[partners]] to the service file"
        )
    return partner(part, masks)
