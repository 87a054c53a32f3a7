"""``make bench-models``: what each way of training together gives, on the same records, held-out rows and budget.

    python -m benchmarks.models [--long]

Pooled xgboost, riskfed, Flower's FedXgbBagging, FedXgbCyclic and FedAvg, and each bank alone; on Taiwan, and on SBA where the environment
variable RISKFED_SBA names its Parquet file. Prints tables and writes runs/bench/models.json.

* Held-out rows: a fifth of all banks' records, chosen by riskfed's hash of a row's features; the same for every model.
* Budget: `JOB`, a hundred trees. FedXgbBagging adds one tree of each bank in a round, so it takes a hundred divided by the number of
  banks; ``--long`` gives it a hundred rounds too, with and without the learning rate divided by the number of banks (``scaled-lr`` in
  Flower's example). FedAvg gets a hundred rounds, with one iteration of the solver in each as in Flower's example, and with five under
  ``--long``. Nothing stops early: the stock strategies have no federated way to do so.
* Bytes: what crosses the server, both directions, evaluation included for riskfed, left out for Flower's. Pooling and banks alone send no
  message; what pooling gives away is the records.
* Seconds: wall time of training with all parties in one process, one after the other, without a network; for pooled and alone, the same.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xgboost
from rich.console import Console
from rich.table import Table

import riskfed
from benchmarks import flower_stock, sba
from benchmarks.model_figures import quality
from riskfed.datasets import taiwan_consortium, taiwan_schema
from riskfed.demo.warm_up import compile_kernels
from riskfed.protocols.program import run_alone
from riskfed.protocols.records import Records, is_held_out
from riskfed.protocols.shared_cuts import shared_cuts
from riskfed.simulation import pooled_cuts

FOLDER = Path("runs/bench")
JOB = riskfed.HorizontalXgboost(n_estimators=100, max_depth=4, learning_rate=0.1, max_bin=64, validation_fraction=0.2)
LOGISTIC_ROUNDS = 100
SCORECARD = riskfed.HorizontalScorecard(
    validation_fraction=JOB.validation_fraction, validation_seed=JOB.validation_seed
)
# States, sectors and the years around 2008 want small bins in any order.
SBA_SCORECARD = SCORECARD.model_copy(update={"trend": "none", "max_bins": 20, "min_bin_share": 0.01})


@dataclass(frozen=True, slots=True)
class Line:
    """One row of models.json."""

    data: str
    model: str
    auc: float
    ks: float
    log_loss: float
    calibration_slope: float
    bytes: int
    rounds: int
    seconds: float


class Bench:
    """One data set with its banks, split once for all models."""

    def __init__(
        self,
        name: str,
        banks: Mapping[str, pd.DataFrame],
        schema: riskfed.Schema,
        card: riskfed.HorizontalScorecard = SCORECARD,
    ) -> None:
        self.name, self.banks, self.schema, self.card = name, banks, schema, card
        split = {bank: self._split(frame) for bank, frame in banks.items()}
        self.development = {bank: rows for bank, (rows, _) in split.items()}
        self.labels = np.concatenate([rows.labels for _, rows in split.values()])
        self.matrix = np.concatenate([rows.matrix for _, rows in split.values()])
        self.held_out = xgboost.DMatrix(self.matrix, feature_names=list(schema.columns))

    def _split(self, frame: pd.DataFrame) -> tuple[Records, Records]:
        return Records.from_frame(frame, self.schema).hold_out(JOB.validation_fraction, JOB.validation_seed)

    def lines(self, *, long: bool) -> Iterator[Line]:
        """Train and measure every model, one after the other."""
        yield from self.pooled_and_riskfed()
        yield from self.scorecard()
        yield from self.stock_trees(long=long)
        yield from self.stock_logistic(long=long)
        yield from self.alone()

    def pooled_and_riskfed(self) -> Iterator[Line]:
        """The model of all records in one place, and the federation's."""
        frame = pd.concat(self.banks.values(), ignore_index=True)
        started = time.perf_counter()
        pooled = riskfed.pooled_reference(frame, pooled_cuts(frame, self.schema, JOB), JOB)
        yield self._line("pooled xgboost", self._of(pooled), 0, 0, time.perf_counter() - started)
        result = riskfed.simulate(self.banks, self.schema, JOB)
        traffic = result.traffic
        yield self._line("riskfed", self._of(result.booster), traffic.total, traffic.rounds, result.timings["total"])

    def stock_trees(self, *, long: bool) -> Iterator[Line]:
        """Flower's two strategies for XGBoost."""
        n, trees = len(self.banks), JOB.n_estimators
        slower = JOB.model_copy(update={"learning_rate": JOB.learning_rate / n})
        ways = [
            ("FedXgbBagging", flower_stock.bagging, JOB, -(-trees // n)),
            ("FedXgbCyclic", flower_stock.cyclic, JOB, trees),
        ]
        if long:
            ways += [
                (f"FedXgbBagging, {trees * n} trees", flower_stock.bagging, JOB, trees),
                (f"FedXgbBagging, {trees * n} trees, rate/{n}", flower_stock.bagging, slower, trees),
            ]
        for model, strategy, job, rounds in ways:
            started = time.perf_counter()
            run = strategy(self.development, self.schema.columns, job, rounds)
            seconds = time.perf_counter() - started
            yield self._line(model, self._of(run.booster), run.bytes, run.rounds, seconds)

    def stock_logistic(self, *, long: bool) -> Iterator[Line]:
        """Flower's FedAvg over scikit-learn's logistic regression."""
        features, held_out = linear_features(self.banks, self.schema)
        rows = {bank: (features[bank], self.development[bank].labels) for bank in self.banks}
        for epochs in (1, 5) if long else (1,):
            started = time.perf_counter()
            run, coefficients, intercept = flower_stock.averaged_logistic(rows, LOGISTIC_ROUNDS, epochs)
            seconds = time.perf_counter() - started
            name = "FedAvg logistic regression" + (f", {epochs} iterations" if epochs > 1 else "")
            yield self._line(name, held_out @ coefficients + intercept, run.bytes, run.rounds, seconds)

    def alone(self) -> Iterator[Line]:
        """Each bank's own model, on all banks' held-out rows."""
        for bank, frame in self.banks.items():
            started = time.perf_counter()
            cuts = run_alone(shared_cuts(self.development[bank], self.schema, JOB))
            own = riskfed.pooled_reference(frame, cuts, JOB)
            yield self._line(f"{bank} alone", self._of(own), 0, 0, time.perf_counter() - started)

    def scorecard(self) -> Iterator[Line]:
        """riskfed's linear model: a logistic regression on weights of evidence."""
        result = riskfed.simulate(self.banks, self.schema, self.card)
        margins = result.scorecard.margins(self.matrix)
        traffic = result.traffic
        yield self._line("riskfed scorecard", margins, traffic.total, traffic.rounds, result.timings["total"])

    def _of(self, booster: xgboost.Booster) -> np.ndarray:
        return np.asarray(booster.predict(self.held_out, output_margin=True))

    def _line(self, model: str, margins: np.ndarray, bytes_: int, rounds: int, seconds: float) -> Line:
        return Line(
            self.name, model, **asdict(quality(margins, self.labels)), bytes=bytes_, rounds=rounds, seconds=seconds
        )


def linear_features(
    banks: Mapping[str, pd.DataFrame], schema: riskfed.Schema
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """What a linear model takes: every category one-hot, medians in place of missing values, each column of mean 0 and variance 1.

    Medians, means and variances are those of all banks' development rows: more than banks could know without a protocol of their own,
    and so in FedAvg's favour.

    Returns:
        Bank -> (n, k) float64 development rows, and (m, k) float64 held-out rows of all banks in the banks' order.
    """
    onehot = schema.model_copy(
        update={
            "features": tuple(
                f.model_copy(update={"encoding": "onehot"}) if f.encoding == "ordinal" else f for f in schema.features
            )
        }
    )
    out = {
        bank: is_held_out(schema.encode(frame).T, JOB.validation_fraction, JOB.validation_seed)
        for bank, frame in banks.items()
    }
    encoded = {bank: onehot.encode(frame).astype(np.float64) for bank, frame in banks.items()}
    pooled = np.concatenate([encoded[bank][~out[bank]] for bank in banks])
    medians = np.nanmedian(pooled, axis=0)
    pooled = np.where(np.isnan(pooled), medians, pooled)
    means, deviations = pooled.mean(axis=0), pooled.std(axis=0)
    deviations[deviations == 0] = 1.0  # a level that nobody has

    def ready(matrix: np.ndarray) -> np.ndarray:
        return np.asarray((np.where(np.isnan(matrix), medians, matrix) - means) / deviations)

    development = {bank: ready(encoded[bank][~out[bank]]) for bank in banks}
    return development, np.concatenate([ready(encoded[bank][out[bank]]) for bank in banks])


def benches(console: Console) -> Iterator[Bench]:
    """The data sets that are at hand."""
    yield Bench("Taiwan", taiwan_consortium(), taiwan_schema())
    loans = sba.load_sba()
    if loans is None:
        console.print(f"SBA: left out, since the environment variable {sba.VARIABLE} is not set")
    else:
        yield Bench("SBA", sba.sba_banks(loans), sba.sba_schema(), SBA_SCORECARD)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument(
        "--long", action="store_true", help="FedXgbBagging and FedAvg with more of a budget too: minutes more"
    )
    long = parser.parse_args().long
    console = Console()
    console.width = max(console.width, 110)  # a pipe would have 80
    compile_kernels()  # so that no figure holds a compiler's seconds
    found: list[Line] = []
    for bench in benches(console):
        lines = list(bench.lines(long=long))
        console.print(table(bench, lines))
        found += lines
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / "models.json"
    path.write_text(json.dumps([asdict(line) for line in found], indent=2) + "\n")
    console.print(f"written to {path}")


def table(bench: Bench, lines: Iterable[Line]) -> Table:
    """A data set's lines, riskfed's in bold."""
    rows = sum(len(frame) for frame in bench.banks.values())
    made = Table(
        title=f"{bench.name}: {rows:,} records of {len(bench.banks)} banks; measured on the held-out {len(bench.labels):,}",
        title_justify="left",
    )
    made.add_column("model", no_wrap=True)
    for heading in ("AUC", "KS", "log-loss", "slope", "MB", "rounds", "s"):
        made.add_column(heading, justify="right", no_wrap=True)
    for line in lines:
        figures = [f"{figure:.4f}" for figure in (line.auc, line.ks, line.log_loss)]
        traffic = [f"{line.bytes / 1e6:,.1f}", f"{line.rounds:,}"] if line.rounds else ["", ""]
        style = "bold" if line.model.startswith("riskfed") else None
        made.add_row(
            line.model, *figures, f"{line.calibration_slope:.3f}", *traffic, f"{line.seconds:.1f}", style=style
        )
    return made


if __name__ == "__main__":
    main()
