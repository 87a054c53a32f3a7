"""The label holder's side of growing trees on records whose columns are spread over several parties.

    grower = JointGrower(codes, labels, weights, development, cuts, job, partners, total_weight=..., base_score=...)
    grower.begin_tree()
    gradients = grower.gradients()                    # to the partners, encrypted
    while grower.has_open_nodes():
        asked = grower.asked()                        # the partners sum the gradients of these nodes
        offers = grower.search(sums_of_partners)      # partner -> what it has to choose from
        grower.decide(partner, chosen, right)         # for each partner with offers
        grower.descend()
    grown = grower.finish_tree()

The search is `riskfed.trees.split.find_splits` over the label holder's columns and after them those of each partner, of which only bins
and constraints are known. So a tree is that of `Grower`, and of XGBoost, on the joined table.

Ties. XGBoost takes the first of equal gains in the order of the columns. Partners hide theirs behind a secret order, so the grower
cannot know which of a partner's columns is the first: it offers the partner the first split with the best gain on each of its columns
that reaches it, and the partner takes the one on its first column. Between parties the label holder's columns come first, then the
partners' in turn.

Records that are held out are sorted into the nodes as all others are, with a weight of 0: their margins are at hand after each tree, and
nothing else depends on them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from riskfed.errors import LocalProtocolError, RemoteProtocolError
from riskfed.jobs import XgboostParameters
from riskfed.storage import MEMORY, Storage
from riskfed.trees.cuts import Cuts
from riskfed.trees.histogram import fixed_point_bits, sum_bound
from riskfed.trees.joint_search import Found, Offer, PartnerColumns, check_plausible, checked_sums, sort_out
from riskfed.trees.joint_tree import OWN, JointTree
from riskfed.trees.levelwise import LevelwiseGrower
from riskfed.trees.logit import margin_of
from riskfed.trees.partition import RowRanges
from riskfed.trees.split import Evaluator
from riskfed.trees.training_rows import TrainingRows
from riskfed.trees.workers import Workers

NOWHERE = -1
"""Number of a node for records that are in none."""

_DECISION = np.array([0.5, 1.5], dtype=np.float32)
"""Cuts of a column of decisions: 0 left, 1 right."""


class JointGrower(LevelwiseGrower):
    """Grows the joint trees.

    Args:
        codes: (n_features, n) uint8 from `Cuts.bin`, the label holder's columns.
        labels: (n,) 0 or 1.
        weights: (n,) float32 sample weights, without ``scale_pos_weight``.
        development: (n,) bool, which records are learned from; the others are held out.
        cuts: of the label holder's columns.
        job: the parameters.
        constraints: monotone constraint of each of the label holder's columns.
        partners: the other parties' columns.
        total_weight: sum of the sample weights of the development records; it fixes `bits`.
        base_score: prior PD.
        storage: where arrays of about the records' size are made.
        threads: how many work on the records. Trees do not depend on it.

    Raises:
        ConfigurationError, ContractError, JobError: as `Grower`.

    Attributes:
        grown: the trees grown so far, with owners.
        gradient_bound, hessian_bound: no sum of g or h over any records is larger in size.
    """

    def __init__(
        self,
        codes: NDArray[np.uint8],
        labels: ArrayLike,
        weights: NDArray[np.float32],
        development: NDArray[np.bool_],
        cuts: Cuts,
        job: XgboostParameters,
        constraints: Sequence[int],
        partners: Sequence[PartnerColumns],
        *,
        total_weight: float,
        base_score: float,
        storage: Storage = MEMORY,
        threads: int = 1,
    ) -> None:
        heaviest = total_weight * max(1.0, job.scale_pos_weight)
        bits = fixed_point_bits(heaviest)
        self.grown: list[JointTree] = []
        self.gradient_bound, self.hessian_bound = sum_bound(heaviest, bits), sum_bound(heaviest / 4, bits)
        self._development, self._partners = np.flatnonzero(development), tuple(partners)
        workers = Workers(threads)
        rows = TrainingRows(
            codes,
            labels,
            np.where(development, weights, np.float32(0)),
            cuts,
            scale_pos_weight=job.scale_pos_weight,
            margin=margin_of(base_score),
            storage=storage,
            workers=workers,
            spare=job.max_depth,
        )
        n_bins = np.concatenate([cuts.n_bins, *(partner.n_bins for partner in partners)])
        limits = np.concatenate([np.array(constraints, dtype=np.int8), *(partner.constraints for partner in partners)])
        self._joint = Evaluator.over(job, n_bins, limits, bits)
        # The arithmetic depends on whether any column is constrained; it stays the same in all trees of a model.
        own = self._joint.constraints[: cuts.n_features]
        self._alone = self._joint._replace(offsets=cuts.offsets, constraints=own)
        self._own = cuts
        self._firsts = np.cumsum([cuts.n_features, *(len(partner.n_bins) for partner in partners)])
        self._rules_made = [0] * len(partners)
        self._found: Found | None = None
        self._depths: list[tuple[NDArray[np.int32], Found]] = []
        super().__init__(rows, _with_decisions(cuts, job.max_depth), self._joint, job, bits, workers)

    def begin_tree(self, *, alone: bool = False) -> None:
        """Compute the gradients of all records from their margins and open the root.

        Args:
            alone: whether the label holder grows the tree on its own columns, without asking anyone.

        Raises:
            LocalProtocolError: the tree before was not ended.
        """
        super().begin_tree()
        self._evaluator = self._alone if alone else self._joint
        self._found, self._depths = None, []

    def gradients(self) -> NDArray[np.int64]:
        """(m, 2) fixed-point g and h of the m development records, in order."""
        return self._rows.gradients()[self._development]

    def asked(self) -> NDArray[np.int16]:
        """(m,) which of the nodes whose sums are wanted each of the m development records is in, from 0; `NOWHERE` for none."""
        self._expect_open_nodes()
        return self._numbers(self._level.ranges.where(self._wanted()))[self._development]

    def search(self, sums: Sequence[NDArray[np.int64]]) -> list[list[Offer]]:
        """Find the best splits of the open nodes.

        Args:
            sums: of each partner, (cells, 2) int64 sums of g and h: by node that was asked for, column and bin. Empty for a tree that the
                label holder grows alone.

        Returns:
            For each partner the splits that it has to choose, by rising node.

        Raises:
            LocalProtocolError: no node is open, or the splits of this level are not made yet.
            RemoteProtocolError: a partner's sums are such as no records give.
        """
        self._expect_open_nodes()
        if self._found is not None:
            raise LocalProtocolError("search: the splits that were found are not made yet; call descend")
        wanted = self._wanted()
        partners = () if self._evaluator is self._alone else self._partners
        own = self._rows.histograms(self._level.ranges.where(wanted))
        theirs = checked_sums(sums, partners, len(wanted))
        histograms, _ = self._complete(np.concatenate([own, *theirs], axis=1), self._totals)
        nodes, firsts = self._level.sums, self._firsts[: len(partners) + 1]
        check_plausible(histograms, nodes, self._evaluator, partners, self._own.n_features)
        splits = self._search(histograms)
        chosen = self._close_leaves(histograms, splits)
        self._found = sort_out(histograms, nodes, self._evaluator, splits, chosen, firsts)
        # Records follow a partner's split by its decision, which lies in the spare column of the level.
        made, at = self._found.made, self._found.owners != OWN
        made.features[at], made.bins[at], made.default_left[at] = self._own.n_features + self._depth, 0, 0
        return self._found.offers

    def rows_to_decide(self, partner: int) -> NDArray[np.int16]:
        """(n,) by which of the partner's offers each record is to be sorted, held-out ones too; `NOWHERE` for none."""
        found = self._expect_found()
        nodes = np.array([offer.node for offer in found.offers[partner]], dtype=np.int64)
        return self._numbers(self._level.where(found.chosen).ranges.where(nodes))

    def decide(self, partner: int, chosen: Sequence[int], right: NDArray[np.bool_]) -> None:
        """Take over what a partner has decided.

        Args:
            partner: its number.
            chosen: for each of its offers the number of the option.
            right: for each record that `rows_to_decide` names, in order, whether it goes right.

        Raises:
            LocalProtocolError: nothing was found, or the partner has decided already.
            RemoteProtocolError: an option that was not offered, or another number of records.
        """
        found, places = self._expect_found(), np.flatnonzero(self.rows_to_decide(partner) != NOWHERE)
        offers, name = found.offers[partner], self._partners[partner].name
        if partner not in found.undecided:
            raise LocalProtocolError(f"decide: {name} has decided already")
        fits = len(chosen) == len(offers) and right.shape == places.shape
        if not fits or any(not 0 <= at < len(offer.options) for at, offer in zip(chosen, offers, strict=True)):
            raise RemoteProtocolError(f"{name} chose splits that it was not offered; its operator must act")
        for at, offer in zip(chosen, offers, strict=True):
            column = self._firsts[partner] + offer.options[at].column
            found.made.left[offer.node], found.constraints[offer.node] = offer.left[at], self._joint.constraints[column]
            found.rules[offer.node] = self._rules_made[partner]
            self._rules_made[partner] += 1
        self._rows.set_spare(self._depth, places, right.astype(np.uint8))
        found.undecided.discard(partner)

    def descend(self) -> None:
        """Make the splits that were found, and sort the records into the children.

        Raises:
            LocalProtocolError: nothing was found, or a partner has not decided yet.
        """
        found = self._expect_found()
        if found.undecided:
            raise LocalProtocolError(f"descend: {len(found.undecided)} partners have not decided yet")
        level = self._level.where(found.chosen)
        self._found = None
        self._depths.append((level.ids, found))
        self._descend(level, found.made, found.constraints)

    def finish_tree(self) -> JointTree:
        """End the tree; it, with the owners of its splits and the leaf of each record.

        Raises:
            LocalProtocolError: no tree was begun, or nodes are still open.
        """
        tree = super().end_tree()
        owners = np.full(tree.n_nodes, OWN, dtype=np.int16)
        rules = np.full(tree.n_nodes, -1, dtype=np.int32)
        for nodes, found in self._depths:
            owners[nodes], rules[nodes] = found.owners, found.rules
        self.grown.append(JointTree(tree, owners, rules, self._rows.leaves_of(tree).astype(np.uint16)))
        return self.grown[-1]

    def resume(self, grown: Sequence[JointTree]) -> None:
        """Take over trees that were grown before on the same records. Margins become what they were then, to the last bit.

        Raises:
            LocalProtocolError: this grower has trees already.
        """
        if self.trees or self._draft is not None:
            raise LocalProtocolError("resume: only a grower without trees can take over others")
        for one in grown:
            self._rows.margins += one.tree.split_conditions[one.leaves]
            self.trees.append(one.tree)
            self.grown.append(one)
            for partner in range(len(self._partners)):
                self._rules_made[partner] += one.splits_of(partner)

    def _expect_found(self) -> Found:
        if self._found is None:
            raise LocalProtocolError("no splits were found yet; call search")
        return self._found

    def _numbers(self, ranges: RowRanges) -> NDArray[np.int16]:
        """(n,) which of k nodes each record is in."""
        numbers = np.full(len(ranges.rows), NOWHERE, dtype=np.int16)
        for node, spans in enumerate(zip(ranges.begins.tolist(), ranges.ends.tolist(), strict=True)):
            for begin, end in zip(*spans, strict=True):
                numbers[ranges.rows[begin:end]] = node
        return numbers


def _with_decisions(cuts: Cuts, columns: int) -> Cuts:
    """The columns by which records are sorted: the label holder's, and after them columns of decisions."""
    low = np.full(columns, -1, dtype=np.float32)
    return Cuts((*cuts.values, *[_DECISION] * columns), np.concatenate([cuts.min_values, low]))
