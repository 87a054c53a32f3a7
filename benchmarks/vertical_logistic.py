"""Vertical logistic regression on the Taiwan data: what it costs, and how near it comes to the same on the joined table.

    python -m benchmarks.vertical_logistic [--epochs 10]

A lender with application, balances and outcome, a partner with delays and payments, and a coordinator, under Paillier with 2048 bits, in
one process: seconds are CPU seconds of all three together. The joined table is binned as one table, and learned from by the same
descent in plain, by the cubic polynomial, and by maximum likelihood.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from riskfed.datasets.vertical import LENDER, taiwan_parties, taiwan_vertical_schema
from riskfed.demo.logistic_comparison import LogisticTable, compare_logistic
from riskfed.jobs import VerticalLogistic
from riskfed.linear.sigmoids import CUBIC
from riskfed.protocols.events import Event, ProgressMade
from riskfed.schema import Schema
from riskfed.simulation import simulate_vertical

COORDINATOR = "coordinator"
_SPLITS = 10


def measure(epochs: int | None = None) -> dict[str, Any]:
    """Run it, and hold it against the joined table.

    Returns:
        max_coefficient_difference (to the same descent in plain), auc, auc_plain, auc_exact, auc_cubic, logloss_taylor, s_per_epoch (CPU
        seconds, median), s_before (key, alignment and bins), epochs, bytes_per_epoch, rows, columns; auc_differences (auc_plain less
        auc_exact, of other splits of the same customers).
    """
    job = VerticalLogistic(label_holder=LENDER, coordinator=COORDINATOR, validation_fraction=0.25)
    job = job if epochs is None else job.model_copy(update={"epochs": epochs})
    clock = [time.process_time()]

    def heard(event: Event) -> None:
        if isinstance(event, ProgressMade) and event.step > 0:
            clock.append(time.process_time())

    parties, schema = taiwan_parties(), taiwan_vertical_schema()
    result = simulate_vertical(parties, schema, job, listener=heard)
    table, sent = LogisticTable(parties, schema, job), result.traffic.until_tree
    found = compare_logistic(table, result.full, result.parts)
    seconds = np.diff(clock)
    return {
        "max_coefficient_difference": found.difference,
        "auc": float(result.metrics["auc"]),
        "auc_plain": found.plain.auc,
        "auc_exact": found.maximum_likelihood.auc,
        "auc_cubic": table.figures(table.descent(CUBIC).coefficients).auc,
        "auc_label_holder_alone": float(result.metrics["auc_label_holder_alone"]),
        "logloss_taylor": result.losses[-1],
        "s_per_epoch": float(np.median(seconds[1:] if len(seconds) > 1 else seconds)),
        "s_before": float(seconds[0] - np.median(seconds[1:])) if len(seconds) > 1 else 0.0,
        "epochs": len(result.losses),
        "bytes_per_epoch": int(np.median(np.diff(sent))) if len(sent) > 1 else int(sent[0]),
        "rows": int((~table.held_out).sum()),
        "columns": found.coefficients - 1,
        "auc_differences": [_difference(parties, schema, job, seed) for seed in range(_SPLITS)],
    }


def _difference(parties: Mapping[str, pd.DataFrame], schema: Schema, job: VerticalLogistic, seed: int) -> float:
    """What the descent in plain has more than maximum likelihood, where other customers are held out."""
    table = LogisticTable(parties, schema, job.model_copy(update={"validation_seed": seed}))
    return table.figures(table.descent().coefficients).auc - table.figures(table.maximum_likelihood()).auc


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--epochs", type=int, default=None)
    print(json.dumps(measure(parser.parse_args().epochs), indent=2))


if __name__ == "__main__":
    main()
