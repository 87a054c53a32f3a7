"""Where a job can go on after a bank, a courier or the server was lost.

Every bank keeps a journal of its own: a head (pooled totals and shared cuts) and an entry for each finished tree. Nothing of it leaves
the bank. Another attempt of the run starts by finding the last tree that all banks have (`agree_on_checkpoint`), and since every bank
grows the same trees from the same pooled sums, the model comes out as if nothing had happened.

Secret: nothing that the bank does not see anyway. The journal holds what a finished model holds, pooled totals, and a fingerprint of the
bank's own records, by which it notices that they have changed meanwhile. Who learns what: banks learn how many of them have
finished which tree; the server learns nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import numpy as np

from riskfed.errors import ConfigurationError, ContractError, LocalProtocolError, ProtectionError
from riskfed.protocols.program import Program, Sum
from riskfed.trees.cuts import Cuts
from riskfed.trees.tree import Tree

_COUNT_BOUND: Final = 1 << 20
_MARK_BOUND: Final = 1 << 40
_DTYPES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("left_children", "right_children", "parents", "split_indices"), "<i4"),
    **dict.fromkeys(("split_conditions", "base_weights", "loss_changes", "sum_hessian"), "<f4"),
    "default_left": "u1",
    "split_bins": "<i2",
}


@dataclass(frozen=True, slots=True)
class Progressed:
    """How far a job had come.

    Attributes:
        records: fingerprint of this bank's records.
        totals: (k,) pooled totals of the job's first sum.
        cuts: the shared cuts.
        trees: finished trees.
        history: pooled figures after each tree.
    """

    records: str
    totals: np.ndarray
    cuts: Cuts
    trees: tuple[Tree, ...] = ()
    history: tuple[Mapping[str, float], ...] = ()

    def head(self) -> bytes:
        """The journal's entry before the first tree."""
        return _json({"records": self.records, "shared": self._shared()})

    def mark(self, trees: int) -> bytes:
        """32 bytes that stand for totals, cuts and the first `trees` trees: equal at banks that went the same way."""
        mark = hashlib.sha256(b"riskfed checkpoint v1" + _json(self._shared())).digest()
        for number in range(trees):
            entry = tree_entry(number, self.trees[number], self.history[number])
            mark = hashlib.sha256(mark + entry).digest()
        return mark

    def _shared(self) -> dict[str, Any]:
        return {"totals": self.totals.tolist(), "cuts": self.cuts.to_dict()}


def tree_entry(number: int, tree: Tree, figures: Mapping[str, float]) -> bytes:
    """The journal's entry for tree `number`, counted from 0."""
    return _json({"number": number, "tree": tree_to_dict(tree), "figures": dict(figures)})


def tree_to_dict(tree: Tree) -> dict[str, list[Any]]:
    """The tree's arrays as lists that JSON keeps to the last bit."""
    return {name: getattr(tree, name).tolist() for name in _DTYPES}


def tree_from_dict(arrays: Mapping[str, list[Any]]) -> Tree:
    """Inverse of `tree_to_dict`.

    Raises:
        ValueError, KeyError, TypeError, OverflowError: it is none.
    """
    return Tree(**{name: np.array(arrays[name], dtype=dtype) for name, dtype in _DTYPES.items()})


def read_journal(entries: Sequence[bytes]) -> Progressed | None:
    """What a journal says; None for an empty one. A later head or a tree with a number that was there before takes its place.

    Raises:
        ConfigurationError: it is damaged.
    """
    progressed: Progressed | None = None
    try:
        for entry in entries:
            said: dict[str, Any] = json.loads(entry)
            if "shared" in said:
                shared = said["shared"]
                totals = np.array(shared["totals"], dtype=np.int64)
                progressed = Progressed(said["records"], totals, Cuts.from_dict(shared["cuts"]))
            else:
                progressed = _with_tree(progressed, said)
    except (ValueError, KeyError, TypeError, OverflowError):
        raise ConfigurationError(
            "the run's checkpoint is damaged; the bank must delete it to start the run anew"
        ) from None
    return progressed


def agree_on_checkpoint(own: Progressed | None, most: int, records: str) -> Program[Progressed | None]:
    """One bank's side of finding the last tree that all banks have.

    Args:
        own: what this bank's journal says.
        most: the job's `n_estimators`.
        records: fingerprint of this bank's records as they are now.

    Returns:
        The common state, the same at every bank but for `records`; None where some bank has nothing, so that all start anew.

    Raises:
        ContractError: this bank's records are no longer those that the run began with.
        ProtectionError: the banks' checkpoints are of different runs.
    """
    if own is not None and own.records != records:
        raise ContractError(
            "the records are no longer those that this run began with; bring them back and resume, or start a new run"
        )
    reached = np.zeros(most + 2, dtype=np.int64)  # counts banks; banks with a head; banks with at least 1, 2, ... trees
    reached[: 1 if own is None else len(own.trees) + 2] = 1
    pooled = yield Sum(reached, _COUNT_BOUND)
    common = int(np.flatnonzero(pooled == pooled[0])[-1]) - 1
    if common < 0 or own is None:
        return None
    mark = np.frombuffer(own.mark(common), dtype="<u4").astype(np.int64)
    marks = yield Sum(mark, _MARK_BOUND)
    if (marks != mark * pooled[0]).any():
        raise ProtectionError(
            "the banks' checkpoints of this run differ, though they were made from the same sums; the operator must start a new run"
        )
    return replace(own, trees=own.trees[:common], history=own.history[:common])


def _with_tree(progressed: Progressed | None, said: Mapping[str, Any]) -> Progressed:
    number = int(said["number"])
    if progressed is None or number > len(progressed.trees):
        raise ValueError("the head or a tree is missing")
    return replace(
        progressed,
        trees=(*progressed.trees[:number], tree_from_dict(said["tree"])),
        history=(*progressed.history[:number], said["figures"]),
    )


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


if {field.name for field in fields(Tree)} != set(_DTYPES):
    raise LocalProtocolError("a tree has arrays that its checkpoint would lose")
