"""Best splits over the columns of several parties: whose they are, and what a party is offered where its columns tie."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from riskfed.errors import RemoteProtocolError
from riskfed.trees.joint_tree import OWN
from riskfed.trees.split import Evaluator, NodeSums, Splits, first_with_gain


class PartnerColumns(NamedTuple):
    """What is known of a partner's columns.

    Attributes:
        name: the partner's.
        n_bins: (f,) int64.
        constraints: (f,) int8, monotone constraint of each.
    """

    name: str
    n_bins: NDArray[np.int64]
    constraints: NDArray[np.int8]


class Option(NamedTuple):
    """A split by a partner's column.

    Attributes:
        column: number of the column among the partner's.
        bin: last bin that goes left, -1 if only missing values do.
        default_left: whether missing values go left.
    """

    column: int
    bin: int
    default_left: bool


class Offer(NamedTuple):
    """Equally good splits of one node by one partner's columns, at most one for each column, by rising column.

    Attributes:
        node: position among the nodes that are split.
        options: what the partner sees.
        left: (len(options), 2) int64 sums of g and h on the left of each.
    """

    node: int
    options: tuple[Option, ...]
    left: NDArray[np.int64]


class Found(NamedTuple):
    """The splits of a level. What partners choose is filled in later.

    Attributes:
        chosen: (open nodes,) bool, which of k nodes are split.
        made: their splits, on the columns by which records are sorted.
        constraints: (k,) int8 monotone constraint on each.
        owners: (k,) int16 number of the partner whose column it is, or `OWN`.
        rules: (k,) int32 number of the split among its owner's.
        offers: for each partner, by rising node.
        undecided: numbers of the partners that have not chosen yet.
    """

    chosen: NDArray[np.bool_]
    made: Splits
    constraints: NDArray[np.int8]
    owners: NDArray[np.int16]
    rules: NDArray[np.int32]
    offers: list[list[Offer]]
    undecided: set[int]


def checked_sums(
    sums: Sequence[NDArray[np.int64]], partners: Sequence[PartnerColumns], n_nodes: int
) -> list[NDArray[np.int64]]:
    """Partners' (cells, 2) sums as (n_nodes, 2 * bins) histograms.

    Raises:
        RemoteProtocolError: a partner's have another shape or type.
    """
    for partner, cells in zip(partners, sums, strict=True):
        expected = (n_nodes * int(partner.n_bins.sum()), 2)
        if cells.dtype != np.int64 or cells.shape != expected:
            raise RemoteProtocolError(
                f"{partner.name} answered {cells.dtype} sums of shape {cells.shape}, expected int64 {expected}; its operator must act"
            )
    return [cells.reshape(n_nodes, -1) for cells in sums]


def check_plausible(
    histograms: NDArray[np.int64], nodes: NodeSums, evaluator: Evaluator, partners: Sequence[PartnerColumns], first: int
) -> None:
    """Look whether (k, 2 * bins) histograms can be sums over the records of k nodes.

    Args:
        first: number of the first partner's first column.

    Raises:
        RemoteProtocolError: a partner's cannot.
    """
    hessians = histograms[:, 1::2]
    for partner in partners:
        end = first + len(partner.n_bins)
        begins, last = evaluator.offsets[first:end], evaluator.offsets[end]
        theirs = np.add.reduceat(hessians[:, :last], begins, axis=1) if len(begins) else hessians[:, :0]
        if (hessians[:, evaluator.offsets[first] : last] < 0).any() or (theirs > nodes.sums[:, 1:]).any():
            raise RemoteProtocolError(f"{partner.name} answered sums that no records give; its operator must act")
        first = end


def sort_out(
    histograms: NDArray[np.int64],
    nodes: NodeSums,
    evaluator: Evaluator,
    splits: Splits,
    chosen: NDArray[np.bool_],
    firsts: NDArray[np.int64],
) -> Found:
    """Say whose the best splits are, and what partners are offered.

    Args:
        histograms, nodes, evaluator, splits: of all open nodes.
        chosen: which are split.
        firsts: (partners + 1,) number of each partner's first column, and of columns in all.
    """
    made = splits.where(chosen)
    owners = np.searchsorted(firsts, made.features, side="right").astype(np.int16) - np.int16(1)
    offers: list[list[Offer]] = [[] for _ in firsts[1:]]
    places = np.flatnonzero(chosen)
    for node in np.flatnonzero(owners != OWN).tolist():
        partner = int(owners[node])
        columns = range(int(firsts[partner]), int(firsts[partner + 1]))
        place, gain = int(places[node]), made.gains[node]
        equal = [first_with_gain(histograms, nodes, evaluator, (place, column), gain) for column in columns]
        tied = [split for split in equal if split is not None]
        offers[partner].append(
            Offer(
                node,
                tuple(_option(split, place, columns.start) for split in tied),
                np.array([s.left[place] for s in tied]),
            )
        )
    return Found(
        chosen=chosen,
        made=made,
        constraints=evaluator.constraints[made.features],
        owners=owners,
        rules=np.full(len(owners), -1, dtype=np.int32),
        offers=offers,
        undecided={partner for partner, some in enumerate(offers) if some},
    )


def _option(splits: Splits, place: int, first: int) -> Option:
    return Option(int(splits.features[place]) - first, int(splits.bins[place]), bool(splits.default_left[place]))
