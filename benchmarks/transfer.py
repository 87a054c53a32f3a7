"""What federated transfer learning gives a target without labels, on the Taiwan data: tables for docs/transfer.md.

    python -m benchmarks.transfer

A lender has 10,000 customers of its own, and the application and balances; a partner has the delays and payments, and 10,000 customers
without labels; some are common. Measured on up to 8,000 further customers of the partner. Transfer runs in plain integers: the encrypted
run gives the same model, which `encrypted` shows for one run.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from riskfed.customer_id import CustomerId
from riskfed.datasets import load_taiwan, taiwan_schema
from riskfed.datasets.consortium import vertical_blocks
from riskfed.jobs import FederatedTransfer
from riskfed.linear.encoders import UNIT, LabelSide, TargetSide
from riskfed.linear.rank_inputs import RankInputs
from riskfed.linear.transfer_model import TransferModel, TransferScorer
from riskfed.linear.transfer_reference import JointRecords, sums_of, train_in_plain
from riskfed.protocols.records import Records
from riskfed.schema import Schema
from riskfed.simulation.transfer import simulate_transfer

SIZES: Final = (250, 500, 1000, 3000)
SEEDS: Final = 5
_OWN, _TESTED = 10_000, 8_000
_T_95: Final = {5: 2.571, 4: 2.776, 7: 2.365, 9: 2.262}
"""Student's t by degrees of freedom."""
_ID: Final = CustomerId(column="id", normalise=("strip",))
_RIDGES: Final = (1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0)


class Draw:
    """One draw of who is whose customer."""

    def __init__(self, common: int, seed: int, table: tuple[NDArray[np.float32], NDArray[np.float32], np.ndarray]):
        lender, partner, labels = table
        order = np.random.default_rng(seed).permutation(len(labels))
        first, second = common + _OWN, common + 2 * _OWN
        self.common, self.seed = common, seed
        own, unlabelled = order[:first], np.r_[order[:common], order[first:second]]
        self.tested, self.outcomes = partner[order[second:]][:_TESTED], labels[order[second:]][:_TESTED]
        together = np.stack([np.arange(common)] * 2, axis=1)
        self.records = JointRecords(lender[own], labels[own].astype(np.float32), partner[unlabelled], together)
        self.known = labels[unlabelled]
        """Of all of the partner's customers; only `upper` and `alone` look at them."""

    def transfer(self, schema: Schema) -> float:
        """AUC of the job as it is by default."""
        model = train_in_plain(self.records, schema.columns, _job(initial_seed=self.seed))
        return self._auc(TransferScorer(model, schema).margins(self.tested))

    def alone(self) -> float:
        """The partner with labels of the common customers only."""
        return self._best(self.common)

    def upper(self) -> float:
        """The partner with labels of all of its customers."""
        return self._best(len(self.known))

    def _best(self, rows: int) -> float:
        """The best of three usual models of the partner's columns, chosen on the tested customers, in the models' favour."""
        from xgboost import XGBClassifier

        records, ranks = self.records.target[:rows], RankInputs.of(self.records.target)
        labels, aucs = self.known[:rows], []
        sizes = [(60, 2, 0.1)] if rows <= max(SIZES) else [(150, 4, 0.07)]
        for trees, depth, rate in sizes:
            model = XGBClassifier(n_estimators=trees, max_depth=depth, learning_rate=rate, n_jobs=1)
            aucs.append(self._auc(model.fit(records, labels).predict_proba(self.tested)[:, 1]))
        for penalty in (0.01, 0.1):
            line = LogisticRegression(C=penalty, max_iter=500).fit(ranks.inputs(records), labels)
            aucs.append(self._auc(line.decision_function(ranks.inputs(self.tested))))
        return max(aucs)

    def _auc(self, scores: NDArray[Any]) -> float:
        return float(roc_auc_score(self.outcomes, scores))

    def labels_told(self) -> tuple[float, float]:
        """How well the common customers' labels can be read from what an honest target sees, and from its model's scores alone: AUCs.

        It solves its gradients of the last 20 steps for the labels, by least squares with a ridge (the best of some, in its favour), with
        Phi as it learns it at the end; places of the label holder's count as noise.
        """
        job = _job(initial_seed=self.seed)
        teachers = RankInputs.of(self.records.lender).inputs(self.records.lender)
        leader = LabelSide(teachers, self.records.labels, self.records.common[:, 0], job)
        inputs = RankInputs.of(self.records.target).inputs(self.records.target[: self.common])
        follower, seen = TargetSide(inputs, job), []
        for _ in range(job.iterations):
            to_leader, weights = sums_of(follower.terms(), leader.weights()), follower.weights()
            sums = sums_of(leader.terms(), weights)
            seen.append((weights / UNIT, np.array(sums, dtype=np.float64) / UNIT**2))
            leader.descend(to_leader)
            follower.descend(sums)
        phi, square, right = leader.phi, np.zeros((self.common,) * 2), np.zeros(self.common)
        for units, opened in seen[-20:]:
            for k in range(len(phi)):
                rows = units[k, : self.common].T * (-phi[k] / 2)
                square += rows.T @ rows
                right += rows.T @ (opened[k] - units[k, self.common :].T @ (phi * phi[k]))
        scale, labels = np.trace(square) / self.common, self.records.labels[: self.common]
        solved = [np.linalg.solve(square + ridge * scale * np.eye(self.common), right) for ridge in _RIDGES]
        own = np.tanh(inputs @ follower.encoder.weights) @ phi
        return max(float(roc_auc_score(labels, one)) for one in solved), float(roc_auc_score(labels, own))


def measure(sizes: Sequence[int] = SIZES, seeds: int = SEEDS) -> list[dict[str, float]]:
    """For each number of common customers, mean AUCs over draws with Student's 95 % interval."""
    table, schema = _table(), _schema().part_of("partner")
    rows = []
    for common in sizes:
        draws = [Draw(common, seed, table) for seed in range(seeds)]
        row = {"common_customers": common}
        row |= _interval("auc", [draw.transfer(schema) for draw in draws])
        row |= _interval("auc_alone", [draw.alone() for draw in draws])
        row["auc_upper"] = float(np.mean([draw.upper() for draw in draws]))
        rows.append(row)
    return rows


def label_recovery(sizes: Sequence[int] = SIZES, seeds: int = 3) -> list[dict[str, float]]:
    """For each number of common customers, what the target's gradients tell of their labels; see `Draw.labels_told`."""
    table, rows = _table(), []
    for common in sizes:
        told, own = np.mean([Draw(common, seed, table).labels_told() for seed in range(seeds)], axis=0).tolist()
        rows.append({"common_customers": common, "auc_recovered": told, "auc_of_scores": own})
    return rows


def encrypted(common: int = 250, iterations: int = 3, key_bits: int = 2048) -> dict[str, float]:
    """An encrypted run, and how far its model is from the plain one's: seconds and MB of a step, both parties in one process."""
    frame, blocks, schema = load_taiwan().sample(3000, random_state=0), vertical_blocks(), _schema()
    frame["id"] = np.arange(len(frame)).astype(str)
    middle = len(frame) // 2
    lender = frame.iloc[: middle + common][["id", *blocks.label_holder, "default"]]
    partner = frame.iloc[middle:][["id", *blocks.feature_holder]]
    ran = {}
    for steps in (1, 1 + iterations):
        begun = time.perf_counter(), time.process_time()
        result = simulate_transfer(
            {"lender": lender, "partner": partner}, schema, _job(iterations=steps), key_bits=key_bits
        )
        ran[steps] = (
            time.perf_counter() - begun[0],
            time.process_time() - begun[1],
            sum(result.traffic.received.values()),
        )
    wall, cpu, sent = ((b - a) / iterations for a, b in zip(ran[1], ran[1 + iterations], strict=True))
    model = TransferModel.from_bytes(result.full.model)
    difference = _difference(model, _in_plain(lender, partner, schema, 1 + iterations))
    return {"common_customers": common, "s_per_step": wall, "cpu_s_per_step": cpu, "mb_per_step": sent / 1e6} | {
        "max_difference": difference
    }


def _in_plain(lender: pd.DataFrame, partner: pd.DataFrame, schema: Schema, iterations: int) -> TransferModel:
    both = {name: Records.from_frame(f, schema.part_of(name)) for name, f in (("lender", lender), ("partner", partner))}
    rows = {one: at for at, one in enumerate(partner["id"])}
    common = np.array([[at, rows[one]] for at, one in enumerate(lender["id"]) if one in rows])
    records = JointRecords(both["lender"].matrix, both["lender"].labels, both["partner"].matrix, common)
    return train_in_plain(records, schema.part_of("partner").columns, _job(iterations=iterations))


def _difference(one: TransferModel, other: TransferModel) -> float:
    """Largest of all coefficients."""
    pairs = [
        (np.array(getattr(m, name)) for m in (one, other)) for name in ("weights", "direction", "intercept", "slope")
    ]
    return max(float(np.abs(a - b).max()) for a, b in pairs)


def _job(**fields: Any) -> FederatedTransfer:
    return FederatedTransfer(label_holder="lender", target="partner", **fields)


def _schema() -> Schema:
    blocks = vertical_blocks()
    holders = {"lender": blocks.label_holder, "partner": blocks.feature_holder}
    return Schema.vertical(taiwan_schema(), holders, "lender", _ID)


def _table() -> tuple[NDArray[np.float32], NDArray[np.float32], np.ndarray]:
    frame, schema = load_taiwan(), _schema()
    lender, partner = (schema.part_of(name).encode(frame) for name in ("lender", "partner"))
    return lender, partner, frame["default"].to_numpy()


def _interval(name: str, values: Sequence[float]) -> dict[str, float]:
    mean = float(np.mean(values))
    reach = _T_95[len(values) - 1] * float(np.std(values, ddof=1)) / len(values) ** 0.5
    return {name: mean, f"{name}_low": mean - reach, f"{name}_high": mean + reach}


def _print(rows: Sequence[Mapping[str, float]]) -> None:
    for row in rows:
        print("  ".join(f"{name} {value:.4g}" for name, value in row.items()))


if __name__ == "__main__":
    _print(measure())
    _print(label_recovery())
    _print([encrypted()])
