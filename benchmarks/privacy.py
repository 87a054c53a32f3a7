"""What differential privacy costs: AUC on held-out loans of Taiwan by epsilon, for random and for histogram splits.

    python -m benchmarks.privacy

Five banks run the party programs with all noise in them; protection, which changes no number, is left out for speed. Parameters are the
same for every epsilon and were not chosen by it: choosing them on the data would be a release too.
"""

from __future__ import annotations

import time
from functools import cache
from typing import Any, Final

import numpy as np
import pandas as pd

from benchmarks.unprotected import unprotected
from riskfed.datasets.consortium import taiwan_consortium
from riskfed.datasets.taiwan import taiwan_schema
from riskfed.evaluation.discrimination import Placements
from riskfed.jobs import HorizontalXgboost
from riskfed.protocols.measuring.score_cells import score_cells
from riskfed.protocols.program import run_alone
from riskfed.protocols.records import Records, is_held_out
from riskfed.scoring import read_model
from riskfed.simulation import simulate

EPSILONS: Final = (0.5, 1.0, 2.0, 4.0, 8.0)
DELTA: Final = 1e-6
SEEDS: Final = 3
RANDOM: Final[dict[str, Any]] = {"n_estimators": 200, "max_depth": 4, "learning_rate": 0.15}
HISTOGRAM: Final[dict[str, Any]] = {"n_estimators": 10, "max_depth": 3, "learning_rate": 0.3, "max_bin": 16}
EXACT: Final[dict[str, Any]] = {"n_estimators": 100, "max_depth": 4, "learning_rate": 0.1}


def measure() -> list[dict[str, float]]:
    """For each epsilon: AUC with random splits (mean, least and greatest of the seeds), with histogram splits (mean), and that of XGBoost
    without privacy; prints them."""
    print(f"delta {DELTA:g}, {SEEDS} runs each; random: {RANDOM}; histogram: {HISTOGRAM}; without: {EXACT}")
    print("epsilon   AUC random (least to greatest)   AUC histogram   without privacy", flush=True)
    found: list[dict[str, float]] = []
    without = _auc(EXACT, None)
    for epsilon in EPSILONS:
        random = [_auc(RANDOM, _private(epsilon, "random")) for _ in range(SEEDS)]
        histogram = [_auc(HISTOGRAM, _private(epsilon, "histogram")) for _ in range(SEEDS)]
        found.append(
            {
                "epsilon": epsilon,
                "auc": float(np.mean(random)),
                "auc_histogram": float(np.mean(histogram)),
                "auc_low": min(random),
                "auc_high": max(random),
                "auc_without": without,
            }
        )
        spread = f"({min(random):.4f} to {max(random):.4f})"
        histograms = float(np.mean(histogram))
        print(f"{epsilon:<9g} {np.mean(random):.4f} {spread:25} {histograms:.4f}          {without:.4f}", flush=True)
    return found


def _private(epsilon: float, splits: str) -> dict[str, Any]:
    return {"epsilon": epsilon, "delta": DELTA, "splits": splits}


def _auc(fields: dict[str, Any], privacy: dict[str, Any] | None) -> float:
    development, held_out = _loans()
    schema = taiwan_schema()
    with unprotected():
        result = simulate(development, schema, HorizontalXgboost(**fields, privacy=privacy))
    margins = read_model(result.full.model, schema).margins(held_out.matrix)
    cells = run_alone(score_cells(margins, held_out.labels))
    return Placements.of(cells.goods, cells.bads).auc()


@cache
def _loans() -> tuple[dict[str, pd.DataFrame], Records]:
    """The banks' development loans, and all held-out ones: 30 %, by the hash of a run."""
    schema = taiwan_schema()
    development, held_out = {}, []
    for bank, frame in taiwan_consortium().items():
        chosen = is_held_out(Records.from_frame(frame, schema).columns, 0.3, 0)
        development[bank] = frame[~chosen]
        held_out.append(frame[chosen])
    return development, Records.from_frame(pd.concat(held_out), schema)


def main() -> None:
    """Print the table."""
    began = time.perf_counter()
    measure()
    print(f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
