"""What each of five banks brought, on the Taiwan data: with honest banks, and with one that cheats.

    python -m benchmarks.contribution

The bank ``digital`` (12 % of the loans) is honest; or has its labels flipped, or shuffled; or holds copies of another bank's loans, with
shuffled labels; or hardly any loans. Each time 31 coalitions train 10 trees of depth 3 under masking, and values are exact. The last lines
measure on the loans of the other four, begin at coalitions of three banks, or both.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from riskfed.datasets import taiwan_consortium, taiwan_schema
from riskfed.evaluation.contribution import ContributionRecord
from riskfed.jobs import BankContribution, HorizontalXgboost
from riskfed.simulation import simulate

WATCHED: Final = "digital"
"""The bank that changes."""
OTHERS: Final = ("community", "premier", "specialty", "universal")
JOB: Final = BankContribution(
    model=HorizontalXgboost(n_estimators=10, max_depth=3, max_bin=32, learning_rate=0.3), least_coalition=1
)
TARGET: Final = taiwan_schema().target
Banks = dict[str, pd.DataFrame]


def honest(banks: Banks) -> pd.DataFrame:
    """As it is."""
    return banks[WATCHED]


def flipped(banks: Banks) -> pd.DataFrame:
    """Every label is turned around: poison."""
    own = banks[WATCHED]
    return own.assign(**{TARGET: 1 - own[TARGET]})


def shuffled(banks: Banks) -> pd.DataFrame:
    """Labels are those of other loans of the bank: noise."""
    own = banks[WATCHED]
    return own.assign(**{TARGET: np.random.default_rng(0).permutation(own[TARGET])})


def copied(banks: Banks) -> pd.DataFrame:
    """Loans of the largest bank, with labels shuffled so that they look new."""
    taken = banks["universal"].head(len(banks[WATCHED]))
    return taken.assign(**{TARGET: np.random.default_rng(0).permutation(taken[TARGET])})


def few(banks: Banks) -> pd.DataFrame:
    """A free rider with fifty loans."""
    return banks[WATCHED].head(50)


SETTINGS: Final[Mapping[str, tuple[Callable[[Banks], pd.DataFrame], Mapping[str, Any]]]] = {
    "honest": (honest, {}),
    "flipped labels": (flipped, {}),
    "shuffled labels": (shuffled, {}),
    "copied loans": (copied, {}),
    "fifty loans": (few, {}),
    "flipped, measured on the others": (
        flipped,
        {"validation_banks": OTHERS},
    ),
    "honest, coalitions of 3": (honest, {"least_coalition": 3}),
    "flipped, coalitions of 3": (flipped, {"least_coalition": 3}),
    "both": (flipped, {"least_coalition": 3, "validation_banks": OTHERS}),
}


def run(change: Callable[[Banks], pd.DataFrame], fields: Mapping[str, Any]) -> tuple[ContributionRecord, float, float]:
    """The record, seconds, and megabytes of all banks in both directions."""
    banks = taiwan_consortium()
    began = time.perf_counter()
    result = simulate({**banks, WATCHED: change(banks)}, taiwan_schema(), JOB.model_copy(update=dict(fields)))
    assert result.release.contribution is not None
    return result.release.contribution, time.perf_counter() - began, result.traffic.total / 1e6


def measure() -> dict[str, Any]:
    """Run all settings, print them, and return the figures."""
    print(
        f"{WATCHED:<32} {'value':>8} {'share':>6} {'leave 1 out':>11} {'others, mean':>12} {'start':>7} {'total':>8} {'s':>5} {'MB':>5}"
    )
    table: list[dict[str, Any]] = []
    for name, (change, fields) in SETTINGS.items():
        record, seconds, megabytes = run(change, fields)
        own = next(bank for bank in record.banks if bank.bank == WATCHED)
        others = [bank.shapley for bank in record.banks if bank.bank != WATCHED]
        line = {
            "setting": name,
            "value": own.shapley,
            "reward_share": own.reward_share,
            "leave_one_out": own.leave_one_out,
            "others_mean": sum(others) / len(others),
            "start": record.start,
            "total": record.total,
            "efficiency_error": record.efficiency_error,
            "coalitions": record.coalitions,
            "seconds": seconds,
            "megabytes": megabytes,
            "values": {bank.bank: bank.shapley for bank in record.banks},
            "warnings": list(record.warnings),
        }
        table.append(line)
        print(
            f"{name:<32} {own.shapley:8.4f} {own.reward_share or 0:6.1%} {own.leave_one_out:11.4f} {line['others_mean']:12.4f} "
            f"{record.start:7.4f} {record.total:8.4f} {seconds:5.1f} {megabytes:5.0f}",
            flush=True,
        )
    by_name = {line["setting"]: line for line in table}
    return {
        "efficiency_error": max(line["efficiency_error"] for line in table),
        "null_player_value": by_name["copied loans"]["value"],
        "shuffled_value": by_name["shuffled labels"]["value"],
        "flipped_value": by_name["flipped labels"]["value"],
        "seconds": sum(line["seconds"] for line in table),
        "coalitions": sum(line["coalitions"] for line in table),
        "table": table,
    }


if __name__ == "__main__":
    figures = measure()
    print({name: value for name, value in figures.items() if name != "table"})
