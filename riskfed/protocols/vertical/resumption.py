"""Where a vertical job goes on after a party, a courier or the server was lost.

Each party keeps a journal of its own, of which nothing leaves it: the label holder its finished trees with the leaf of each record, a
feature holder the order of its columns and the splits that it has made. At the start of a later attempt feature holders tell the label
holder which trees they have, and it tells each the last one that all have complete. All go on from there, and the model is the same
bytes as without the loss.

A tree is named by 16 random bytes: one that was grown again is another. What feature holders learn: how many trees are complete.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import takewhile
from typing import Any, TypeVar

import numpy as np

from riskfed.errors import ConfigurationError, ContractError, RemoteProtocolError
from riskfed.protocols.checkpoint import tree_from_dict, tree_to_dict
from riskfed.protocols.program import Exchange, Program
from riskfed.protocols.vertical.exchange import only, received_of
from riskfed.trees.joint_search import Option
from riskfed.trees.joint_tree import JointTree

LABEL = "vertical, trees so far"
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Head:
    """What a journal begins with.

    Attributes:
        records: fingerprint of the party's records.
        alignment: digest of the alignment.
        order: a feature holder's order of columns; empty at the label holder.
        salt: of a feature holder's part, hexadecimal; empty at the label holder.
    """

    records: str
    alignment: str
    order: tuple[int, ...] = ()
    salt: str = ""

    def to_bytes(self) -> bytes:
        """The journal's first entry."""
        return _json(asdict(self))

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Head:
        """Undo `to_bytes`."""
        return cls(fields["records"], fields["alignment"], tuple(map(int, fields["order"])), fields["salt"])


@dataclass(frozen=True, slots=True)
class GrownTree:
    """The label holder's entry for a tree.

    Attributes:
        mark: of the tree, hexadecimal; empty where it was grown alone.
        joint: the tree.
        figures: on the held-out rows after it.
    """

    mark: str
    joint: JointTree
    figures: Mapping[str, float]

    def to_bytes(self, number: int) -> bytes:
        """The entry of tree ``number``, from 0."""
        leaves = base64.b85encode(zlib.compress(self.joint.leaves.astype("<u2").tobytes(), 1)).decode()
        joint = {"owners": self.joint.owners.tolist(), "rules": self.joint.rules.tolist(), "leaves": leaves}
        fields = {"number": number, "mark": self.mark, "tree": tree_to_dict(self.joint.tree), "figures": self.figures}
        return _json({**fields, **joint})

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> GrownTree:
        """Undo `to_bytes`."""
        leaves = np.frombuffer(zlib.decompress(base64.b85decode(fields["leaves"])), dtype="<u2").astype(np.uint16)
        owners, rules = np.array(fields["owners"], dtype=np.int16), np.array(fields["rules"], dtype=np.int32)
        return cls(fields["mark"], JointTree(tree_from_dict(fields["tree"]), owners, rules, leaves), fields["figures"])


@dataclass(frozen=True, slots=True)
class MadeSplits:
    """A feature holder's entry for a tree; written again at each level.

    Attributes:
        mark: of the tree, hexadecimal.
        options: the splits made so far, by numbered column.
    """

    mark: str
    options: tuple[Option, ...]

    def to_bytes(self, number: int) -> bytes:
        """The entry of joint tree ``number``, from 0."""
        return _json({"number": number, "mark": self.mark, "options": self.options})

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> MadeSplits:
        """Undo `to_bytes`."""
        return cls(fields["mark"], tuple(Option(*option) for option in fields["options"]))


def read_journal(
    journal: Sequence[bytes], entry_of: Callable[[Mapping[str, Any]], _T], records: str, alignment: str
) -> tuple[Head | None, list[_T]]:
    """What a journal says: its head and its trees; nothing where it is of another alignment.

    Raises:
        ConfigurationError: it is damaged.
        ContractError: the records are no longer those that the run began with.
    """
    try:
        head, trees = _read(journal, entry_of)
    except (ValueError, KeyError, TypeError, OverflowError, zlib.error):
        raise ConfigurationError(
            "the run's checkpoint is damaged; the party must delete it to start the run anew"
        ) from None
    if head is None or head.alignment != alignment:
        return None, []
    if head.records != records:
        raise ContractError(
            "the records are no longer those that this run began with; bring them back and resume, or start a new run"
        )
    return head, trees


def _read(journal: Sequence[bytes], entry_of: Callable[[Mapping[str, Any]], _T]) -> tuple[Head | None, list[_T]]:
    head, trees = None, list[_T]()
    for entry in journal:
        fields: dict[str, Any] = json.loads(entry)
        if "alignment" in fields:
            head, trees = Head.from_dict(fields), []
            continue
        number = int(fields["number"])
        if head is None or number > len(trees):
            raise ValueError("the head or a tree is missing")
        trees[number:] = [entry_of(fields)]  # a tree with a number that was there before takes its place
    return head, trees


def lead_back(trees: Sequence[GrownTree], partners: Sequence[str]) -> Program[int]:
    """The label holder's side: how many of its ``trees`` all parties have complete, those grown alone included; 0 to start anew.

    Raises:
        RemoteProtocolError: a feature holder's statement is malformed.
    """
    joint = [tree for tree in trees if tree.mark]
    made_by = [[0] * len(partners), *([tree.joint.splits_of(p) for p in range(len(partners))] for tree in joint)]
    splits: list[list[int]] = np.cumsum(made_by, axis=0).tolist()  # after each tree
    received = yield Exchange({}, LABEL)
    common = len(joint)
    for number, partner in enumerate(partners):
        marks, made = _stated(received_of(received, partner), partner)
        same = len(list(takewhile(lambda pair: pair[0] == pair[1].mark, zip(marks, joint, strict=False))))
        # The last tree that a feature holder has may lack the splits of its last levels.
        common = min(common, same - (same == len(marks) and made < splits[same][number]))
    orders = {p: _json([common, splits[common][number]]) for number, p in enumerate(partners)}
    yield Exchange(orders, LABEL)
    return len(trees) - len(joint) + common if common else 0


def follow_back(trees: Sequence[MadeSplits], label_holder: str) -> Program[list[MadeSplits]]:
    """A feature holder's side: the trees that it goes on from; none to start anew.

    Raises:
        RemoteProtocolError: the label holder's statement is malformed, or names trees that this party does not have.
    """
    made = sum(len(tree.options) for tree in trees)
    yield Exchange({label_holder: _json([[tree.mark for tree in trees], made])}, LABEL)
    received = yield Exchange({}, LABEL)
    try:
        common, splits = json.loads(only(received, label_holder))
        kept = list(trees[: int(common)])
    except (ValueError, TypeError, RecursionError):
        raise RemoteProtocolError(f"{label_holder} did not say where to go on; its operator must act") from None
    if len(kept) != common or sum(len(tree.options) for tree in kept) != splits:
        raise RemoteProtocolError(
            f"{label_holder} goes on from trees that this party does not have; its operator must act"
        )
    return kept


def _stated(data: bytes, sender: str) -> tuple[list[str], int]:
    """The marks of a feature holder's trees, and how many splits it has made."""
    try:
        marks, made = json.loads(data)
        if isinstance(marks, list) and all(isinstance(mark, str) for mark in marks) and type(made) is int:
            return marks, made
    except (ValueError, TypeError, RecursionError):
        pass
    raise RemoteProtocolError(f"{sender} did not say which trees it has; its operator must act")


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
