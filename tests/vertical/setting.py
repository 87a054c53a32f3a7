"""Vertical runs in one process, and the joined table that they are held against."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from riskfed.customer_id import CustomerId
from riskfed.datasets import load_taiwan, taiwan_schema
from riskfed.datasets.consortium import vertical_blocks
from riskfed.jobs import VerticalXgboost
from riskfed.protocols.alignment import Alignment
from riskfed.protocols.program import Program
from riskfed.protocols.records import Records
from riskfed.protocols.vertical import feature_holder, label_holder
from riskfed.protocols.vertical.holdout import is_held_out
from riskfed.protocols.vertical.joined import joined_booster
from riskfed.protocols.vertical.place import Place
from riskfed.schema import Feature, Schema
from riskfed.secure.gradient_cipher import CipherLayout
from riskfed.trees.cuts import Cuts
from riskfed.trees.reference import train_pooled
from tests.helpers import exchange_all

ID = CustomerId(column="id", normalise=("strip",))
LENDER = "lender"


class PlainOwner:
    """The label holder's side of a cipher that hides nothing, for speed."""

    def __init__(self, key: Any, layout: CipherLayout) -> None:
        self.public = b"plain"

    def encrypt(self, g: np.ndarray, h: np.ndarray) -> bytes:
        return np.stack([g, h], axis=1).astype("<i8").tobytes()

    def decrypt(self, answer: bytes, n_cells: int) -> np.ndarray:
        return np.frombuffer(answer, dtype="<i8").astype(np.int64).reshape(n_cells, 2)


class PlainSummer:
    """The feature holder's side of the same."""

    def __init__(self, public: bytes, *, least_key_bits: int = 2048) -> None:
        assert public == b"plain"

    def take(self, ciphertexts: bytes, n_rows: int) -> None:
        self._gradients = np.frombuffer(ciphertexts, dtype="<i8").reshape(n_rows, 2)

    def answer(self, nodes: Sequence[np.ndarray], codes: np.ndarray, n_bins: Sequence[int]) -> bytes:
        sums = []
        for rows in nodes:
            for column, bins in zip(codes, n_bins, strict=True):
                cells = np.zeros((256, 2), dtype=np.int64)
                np.add.at(cells, column[rows], self._gradients[rows])
                sums.append(cells[:bins])
        return np.concatenate(sums).astype("<i8").tobytes()


def without_cryptography(monkeypatch: Any) -> None:
    """Replace the cipher."""
    monkeypatch.setattr(label_holder, "GradientOwner", PlainOwner)
    monkeypatch.setattr(label_holder, "generate_paillier_key", lambda bits: None)
    monkeypatch.setattr(feature_holder, "GradientSummer", PlainSummer)


class Setting:
    """A joined table and who holds what of it.

    Args:
        table: with a column ``id``.
        joint: schema of the joined table, without holders.
        holders: party -> its features; the lender's first.
        job: what is trained.
    """

    def __init__(self, table: pd.DataFrame, joint: Schema, holders: Mapping[str, Sequence[str]], job: VerticalXgboost):
        self.table, self.job, self.roster = table, job, tuple(sorted(holders))
        self.schema = Schema.vertical(joint, holders, LENDER, ID)
        ids = ID.normalised(table["id"])
        order = np.argsort([hashlib.sha256(one).digest() for one in ids.tolist()])
        self.kept = Alignment(ids[order], "ab" * 32).to_bytes()
        self.records = {name: self._records(name, place) for place, name in enumerate(self.roster)}

    def _records(self, party: str, seed: int) -> Records:
        part = self.schema.part_of(party)
        names = ["id", *(f.name for f in part.inputs), *filter(None, (part.target, part.weight))]
        return Records.from_frame(self.table[names].sample(frac=1, random_state=seed), part)

    def program(self, party: str, journal: Sequence[bytes] | None = None, **options: Any) -> Program[Any]:
        """A party's program."""
        module = label_holder if party == LENDER else feature_holder
        place = Place(**{"me": party, "roster": self.roster, "kept": self.kept, "journal": journal, **options})
        return module.train(self.records[party], self.schema, self.job, place)

    def run(self, heard: Callable[[str, Any], None] = lambda *_: None, **options: Any) -> dict[str, Any]:
        """All programs to the end."""
        return exchange_all({name: self.program(name, **options) for name in self.roster}, heard)

    def cuts(self, outcomes: Mapping[str, Any]) -> Cuts:
        """Of the joined table, the label holder's first."""
        partners = [name for name in self.roster if name != LENDER]
        return outcomes[LENDER].cuts.joined(*(outcomes[name].cuts for name in partners))

    def joined(self, outcomes: Mapping[str, Any]) -> bytes:
        """Both sides' parts put together."""
        parts = {name: outcomes[name].part for name in self.roster if name != LENDER}
        return joined_booster(outcomes[LENDER].full.model, parts, self.cuts(outcomes), self.job)

    def joined_records(self) -> tuple[Records, Records]:
        """Development and held-out rows of the joined table, columns in the joined order."""
        fields = {name: getattr(self.schema, name) for name in Schema.model_fields}
        whole = Records.from_frame(self.table, Schema(**{**fields, "features": self.schema.joined_features}))
        held_out = is_held_out(ID.normalised(self.table["id"]), self.job.validation_fraction, self.job.validation_seed)
        return whole.where(~held_out), whole.where(held_out)

    def reference(self, outcomes: Mapping[str, Any]) -> Any:
        """XGBoost's own booster on the joined table."""
        learned, watched = self.joined_records()
        weights = None if self.schema.weight is None else learned.weights
        pair = (watched.matrix, watched.labels) if len(watched) else None
        cuts = self.cuts(outcomes)
        given = None if self.schema.weight is None or self.job.scale_pos_weight == 1 else outcomes[LENDER].base_score
        return train_pooled(learned.matrix, learned.labels, weights, cuts, self.job, watched=pair, base_score=given)

    def assert_identical(self, outcomes: Mapping[str, Any]) -> None:
        """The parts together are XGBoost's booster, byte for byte."""
        assert self.joined(outcomes) == bytes(self.reference(outcomes).save_raw("json"))


def taiwan(job: VerticalXgboost, rows: int = 3000, parties: int = 2) -> Setting:
    """The blocks of a lender and one or two partners."""
    blocks = vertical_blocks()
    partners = {"partner": blocks.feature_holder}
    if parties == 3:
        partners = {"bureau": blocks.feature_holder[:6], "shop": blocks.feature_holder[6:]}
    holders = {LENDER: blocks.label_holder, **partners}
    return Setting(load_taiwan().iloc[:rows], taiwan_schema(), holders, job)


def numbers(
    matrix: np.ndarray,
    labels: np.ndarray,
    widths: Sequence[int],
    job: VerticalXgboost,
    weights: np.ndarray | None = None,
) -> Setting:
    """A table of numbers, dealt to parties by widths; the first is the lender."""
    table = pd.DataFrame(matrix, columns=[f"f{i}" for i in range(matrix.shape[1])])
    features = tuple(Feature(name=name) for name in table.columns)
    table["default"], table["id"] = labels.astype(np.int8), np.arange(len(table))
    if weights is not None:
        table["w"] = weights
    ends = np.cumsum([0, *widths]).tolist()
    names = [LENDER, *(f"p{i}" for i in range(1, len(widths)))]
    columns = [feature.name for feature in features]
    holders = {name: columns[a:b] for name, a, b in zip(names, ends[:-1], ends[1:], strict=True)}
    joint = Schema(target="default", features=features, weight=None if weights is None else "w")
    return Setting(table, joint, holders, job)
