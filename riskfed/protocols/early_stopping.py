"""Early stopping: the pooled metric on held-out rows, followed tree by tree, the same at every bank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from riskfed.jobs import XgboostParameters
from riskfed.protocols.measuring.score_cells import losses, score_cells
from riskfed.protocols.program import Program
from riskfed.trees.logit import margin_of, sigmoid
from riskfed.trees.tree import Tree

_Tree = TypeVar("_Tree")


@dataclass(slots=True)
class Watch:
    """Follows the pooled metric on the held-out rows, tree by tree."""

    codes: np.ndarray
    labels: np.ndarray
    base_score: float
    pooled_rows: int
    job: XgboostParameters
    history: list[Mapping[str, float]] = field(default_factory=list)
    margins: np.ndarray = field(init=False)
    best: float | None = None
    best_tree: int = 0

    def __post_init__(self) -> None:
        self.margins = np.full(self.codes.shape[1], margin_of(self.base_score), dtype=np.float32)

    def after(self, tree: Tree) -> Program[Mapping[str, float]]:
        """Add `tree`, and `look`."""
        tree.add_margins(self.codes, self.margins)
        return (yield from self.look())

    def look(self) -> Program[Mapping[str, float]]:
        """Pooled figures of the margins as they are; empty where nothing is held out."""
        if not self.pooled_rows:
            return {}
        figures = yield from losses(sigmoid(self.margins), self.labels, self.pooled_rows)
        if self.job.early_stopping_rounds is not None and self.job.eval_metric == "auc":
            figures["auc"] = (yield from score_cells(self.margins, self.labels)).auc()
        self.note(figures)
        return figures

    def resume(self, trees: Sequence[Tree], history: Sequence[Mapping[str, float]]) -> None:
        """Take over trees that were grown before, and the figures after each."""
        if self.pooled_rows:
            for tree, figures in zip(trees, history, strict=True):
                tree.add_margins(self.codes, self.margins)
                self.note(figures)

    def note(self, figures: Mapping[str, float]) -> None:
        """Take over the figures after the next tree."""
        self.history.append(figures)
        value = -figures["auc"] if "auc" in figures else figures["logloss"]
        if self.best is None or value < self.best:
            self.best, self.best_tree = value, len(self.history)

    @property
    def should_stop(self) -> bool:
        """As XGBoost's EarlyStopping: so many trees without a strictly better value."""
        patience = self.job.early_stopping_rounds
        return patience is not None and len(self.history) - self.best_tree >= patience

    def keep(self, trees: list[_Tree]) -> list[_Tree]:
        """The trees of the model: up to the best one with early stopping, else all."""
        return trees[: self.best_tree] if self.job.early_stopping_rounds is not None else trees
