"""Label inference by a feature holder that follows the protocol: what the nodes of the trees tell it of other people's defaults.

    python -m benchmarks.label_inference

The feature holder sees, for every tree that it takes part in, which customers stand in the same node: the split that put them there was
chosen for what it tells of their labels. The attack is a simple form of ID2Graph (Takahashi et al., arXiv 2307.10318): customers are alike
who share nodes over many trees. With a few known labels (customers of which the feature holder knows that they defaulted) it fits a
logistic regression on the cells of all trees; without any it makes two clusters. Either is held against what the feature holder could do
with its own columns alone, from the same known labels: only the difference is the protocol's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.cluster import KMeans
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from benchmarks import vertical_decisions, vertical_setups, vertical_views
from riskfed.jobs import VerticalXgboost
from riskfed.protocols.records import Records
from riskfed.protocols.vertical.aligned import ids_of
from riskfed.protocols.vertical.holdout import is_held_out
from riskfed.trees.booster_json import parse_booster
from riskfed.trees.leaf_sets import LeafMask, leaf_masks_of

KNOWN_LABELS = 200
DRAWS = 10
"""Different sets of known labels, over which figures are averaged."""
RISKIEST = 100
ROWS = 4000
JOB: Final[Mapping[str, Any]] = {
    "label_holder": vertical_setups.LENDER,
    "n_estimators": 10,
    "max_depth": 6,
    "max_bin": 32,
    "learning_rate": 0.3,
    "validation_fraction": 0.25,
}
SETTINGS: Final[Mapping[str, Mapping[str, Any]]] = {
    "defences off": {},
    "5 of 10 trees alone": {"label_holder_trees": 5},
    "nodes of 20 rows": {"min_child_weight": 5, "least_node": 20, "least_bin": 20},
    "nodes of 80 rows": {"min_child_weight": 20, "least_node": 80, "least_bin": 20},
    "5 trees alone, nodes of 80 rows": {
        "label_holder_trees": 5,
        "min_child_weight": 20,
        "least_node": 80,
        "least_bin": 20,
    },
}


@dataclass(frozen=True, slots=True)
class View:
    """What a feature holder has at the end of a run.

    Attributes:
        features: (n, f) float32, its own columns of the development rows.
        cells: for each tree that it took part in, (n,) int: rows with the same number are those that it cannot tell apart by this tree.
    """

    features: NDArray[np.float32] = field(repr=False)
    cells: Sequence[NDArray[np.int64]] = field(repr=False)

    @property
    def smallest_cell(self) -> int:
        """Fewest rows in a cell of any tree."""
        return min((int(np.bincount(cells).min()) for cells in self.cells), default=len(self.features))

    def indicators(self) -> NDArray[np.float32]:
        """(n, cells of all trees) 0 or 1: two rows' product is in how many trees they share a cell, the weight of ID2Graph's edge."""
        parts = [np.eye(int(cells.max()) + 1, dtype=np.float32)[cells] for cells in self.cells]
        return np.concatenate(parts or [np.zeros((len(self.features), 1), dtype=np.float32)], axis=1)


@dataclass(frozen=True, slots=True)
class Inferred:
    """How well labels are inferred: AUC on the development rows whose labels are not known; 0.5 is a guess.

    Attributes:
        auc: with the known labels.
        riskiest: share of defaults among the `RISKIEST` rows that are guessed first, with the known labels.
        clusters: of two clusters made without any label, the right way round.
    """

    auc: float
    riskiest: float
    clusters: float


def infer_from_columns(features: NDArray[np.float32], labels: NDArray[np.float32], draws: int = DRAWS) -> Inferred:
    """What the feature holder can do without the job: (n, f) columns of its own, and `KNOWN_LABELS` of the (n,) labels.

    The better of a random forest and a logistic regression counts.
    """
    columns = _standardised(features)
    forest = RandomForestClassifier(200, min_samples_leaf=5, random_state=0)
    regression = LogisticRegression(C=0.1, max_iter=2000)
    better = max(_guess(forest, features, labels, draws), _guess(regression, columns, labels, draws))
    return Inferred(*better, _clusters(columns, labels))


def infer_from_view(view: View, labels: NDArray[np.float32], draws: int = DRAWS) -> Inferred:
    """What it can do with its view, and the same known labels."""
    cells = view.indicators()
    guessed = _guess(LogisticRegression(C=0.3, max_iter=2000), cells, labels, draws)
    return Inferred(*guessed, _clusters(cells, labels))


def _guess(
    classifier: ClassifierMixin, inputs: NDArray[np.float32], labels: NDArray[np.float32], draws: int
) -> tuple[float, float]:
    """AUC, and share of defaults among the rows guessed first, the mean of some draws of known labels."""
    rng, found = np.random.default_rng(0), []
    for _ in range(draws):
        order = rng.permutation(len(labels))
        told, rest = order[:KNOWN_LABELS], order[KNOWN_LABELS:]
        guesses = classifier.fit(inputs[told], labels[told]).predict_proba(inputs[rest])[:, 1]
        first = rest[np.argsort(-guesses, kind="stable")[:RISKIEST]]
        found.append((roc_auc_score(labels[rest], guesses), labels[first].mean()))
    auc, riskiest = np.mean(found, axis=0).tolist()
    return auc, riskiest


def _clusters(inputs: NDArray[np.float32], labels: NDArray[np.float32]) -> float:
    """AUC of two clusters; which of them is the worse one, an attacker may know from the world."""
    if len(np.unique(inputs, axis=0)) < 2:
        return 0.5
    found = KMeans(2, n_init=10, random_state=0).fit_predict(inputs)
    auc = float(roc_auc_score(labels, found))
    return max(auc, 1 - auc)


def _standardised(features: NDArray[np.float32]) -> NDArray[np.float32]:
    spread = features.std(axis=0)
    return np.asarray((features - features.mean(axis=0)) / np.where(spread > 0, spread, 1))


@dataclass(frozen=True, slots=True)
class Attacked:
    """A run, and what its feature holder got.

    Attributes:
        view: the feature holder's.
        labels: (n,) of its development rows; the label holder's.
        outcomes: party -> what its program returned.
    """

    view: View
    labels: NDArray[np.float32] = field(repr=False)
    outcomes: Mapping[str, Any] = field(repr=False)

    @property
    def leaf_masks(self) -> tuple[LeafMask, ...]:
        """With which the feature holder would answer with leaf sets."""
        release, part = self.outcomes[vertical_setups.LENDER].full, self.outcomes[vertical_setups.PARTNER].part
        columns = len(release.schema.columns)
        return leaf_masks_of(parse_booster(release.model).trees, range(columns - len(part.rules), columns))

    @property
    def auc(self) -> float:
        """Of the joint model on the held-out rows: what a defence costs."""
        return float(self.outcomes[vertical_setups.LENDER].full.metrics["auc"])


def run_and_watch(**defences: Any) -> Attacked:
    """Run a job on a sample of the Taiwan data, of which a quarter is held out, and take down what its feature holder gets to see.

    Args:
        defences: parameters of the job, over those of `JOB`.
    """
    setup = vertical_setups.payments_block(VerticalXgboost(**{**JOB, **defences}), ROWS)
    started = setup.processes()
    records = {name: Records.from_frame(frame, setup.schema.part_of(name)) for name, frame in started.frames.items()}
    learned = ~is_held_out(setup.alignment.ids, setup.job.validation_fraction, setup.job.validation_seed)
    orders = vertical_views.Orders(vertical_setups.LENDER, vertical_setups.PARTNER, learned)
    outcomes = vertical_views.run_overheard(records, setup.schema, setup.job, started.kept, orders)
    common = {name: own.take(setup.alignment.positions(ids_of(own))).where(learned) for name, own in records.items()}
    view = View(common[vertical_setups.PARTNER].matrix, orders.cells)
    return Attacked(view, common[vertical_setups.LENDER].labels, outcomes)


def main() -> None:
    """Print tables."""
    print(
        f"{ROWS:,} customers, a quarter held out; {KNOWN_LABELS} labels known, mean of {DRAWS} draws; "
        f"on the development rows whose labels are not: AUC, defaults among the {RISKIEST} guessed first, AUC of two clusters"
    )
    names = ("AUC", "advantage", "riskiest", "clusters", "least cell", "joint AUC")
    print(f"{'':<34}" + "".join(f"{name:>12}" for name in names))
    attacked = {title: run_and_watch(**defences) for title, defences in SETTINGS.items()}
    off = attacked["defences off"]
    own = infer_from_columns(off.view.features, off.labels)
    print(f"{'own columns, without the job':<34}{own.auc:>12.3f}{0:>12.3f}{own.riskiest:>12.1%}{own.clusters:>12.3f}")
    for title, run in attacked.items():
        seen = infer_from_view(run.view, run.labels)
        guessed = f"{seen.auc:>12.3f}{seen.auc - own.auc:>12.3f}{seen.riskiest:>12.1%}{seen.clusters:>12.3f}"
        print(f"{title:<34}{guessed}{run.view.smallest_cell:>12,}{run.auc:>12.3f}")
    print()
    _print_decisions(off)


def _print_decisions(run: Attacked) -> None:
    """What the answers of the run's feature holder on its development rows tell the label holder."""
    part, rows = run.outcomes[vertical_setups.PARTNER].part, run.view.features
    names = ("answer", "bits", "different", "alone")
    print(f"{len(rows):,} customers, {len(part.rules)} splits: what answers tell the label holder")
    print(f"{names[0]:<34}" + "".join(f"{name:>12}" for name in names[1:]))
    for answer, masks in (("decisions", ()), ("leaf sets", run.leaf_masks)):
        told = vertical_decisions.told(part, rows, masks)
        print(f"{answer:<34}{told.bits:>12,}{told.groups:>12,}{told.alone:>12.1%}")
    print(f"\n{'column (the name is not told)':<34}{'intervals':>12}{'mean share of customers in the same one':>42}")
    for one in vertical_decisions.bounded(part, rows):
        print(f"{one.column:<34}{one.intervals:>12}{one.mean_share:>42.1%}")


if __name__ == "__main__":
    main()
