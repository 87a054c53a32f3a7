"""Small banks whose contributions are measured, and their programs in lock-step, unprotected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from riskfed.jobs import BankContribution, HorizontalXgboost
from riskfed.protocols.contribution.measure import Contributed, measure
from riskfed.protocols.program import Checkpoint, Program, SharedSecret, Sum
from riskfed.protocols.records import Records
from riskfed.schema import Feature, Schema

SCHEMA = Schema(
    name="loans",
    version="1",
    target="default",
    features=(
        Feature(name="income", nullable=True),
        Feature(name="debt"),
        Feature(name="grade", encoding="ordinal", levels=("a", "b", "c")),
    ),
)
MODEL = HorizontalXgboost(n_estimators=3, max_depth=2, max_bin=16, learning_rate=0.5)
JOB = BankContribution(model=MODEL, least_coalition=1, least_cell=5)


def loans(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    income, debt = rng.lognormal(size=rows).astype(np.float32), rng.normal(size=rows).astype(np.float32)
    grade = rng.choice(["a", "b", "c"], rows)
    log_odds = -1.2 - 1.1 * np.log(income) + 1.3 * debt + 0.8 * (grade == "c")
    default = (rng.random(rows) < 1 / (1 + np.exp(-log_odds))).astype(int)
    missing = np.where(rng.random(rows) < 0.05, np.nan, income)
    return pd.DataFrame({"income": missing, "debt": debt, "grade": grade, "default": default})


def honest(banks: int, rows: int = 400) -> dict[str, pd.DataFrame]:
    return {f"bank{number}": loans(rows, number) for number in range(banks)}


def flipped(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(default=1 - frame["default"])


def shuffled(frame: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    return frame.assign(default=np.random.default_rng(seed).permutation(frame["default"]))


def programs(
    banks: Mapping[str, pd.DataFrame],
    job: BankContribution = JOB,
    journals: Mapping[str, Sequence[bytes]] | None = None,
) -> dict[str, Program[Contributed]]:
    roster = tuple(sorted(banks))
    return {
        name: measure(
            Records.from_frame(banks[name], SCHEMA),
            SCHEMA,
            job,
            bank=name,
            roster=roster,
            journal=None if journals is None else journals[name],
        )
        for name in roster
    }


def together(
    sides: Mapping[str, Program[Any]], most_sums: int | None = None, kept: dict[str, list[bytes]] | None = None
) -> dict[str, Any]:
    """What each returns, in lock-step; every sum is held against its bound.

    Args:
        sides: party -> its program.
        most_sums: stop after so many, as if the run were lost; nothing is returned then.
        kept: gets each party's journal.
    """
    answers: dict[str, Any] = dict.fromkeys(sides)
    outcomes: dict[str, Any] = {}
    sums = 0
    while len(outcomes) < len(sides):
        requests: dict[str, Any] = {}
        for name, program in sides.items():
            try:
                requests[name] = program.send(answers[name])
            except StopIteration as stop:
                outcomes[name] = stop.value
        assert not requests or not outcomes, "one party finished before the others"
        assert len({type(request) for request in requests.values()}) <= 1, "parties are out of step"
        answers = dict.fromkeys(requests, None)
        match list(requests.values()):
            case [Sum() as first, *_]:
                if sums == most_sums:
                    return {}
                sums += 1
                pooled = np.sum([request.values for request in requests.values()], axis=0, dtype=np.int64)
                for request in requests.values():
                    assert np.array_equal(request.bound, first.bound)
                assert (np.abs(pooled) <= first.bound).all(), "the pooled sum is above its bound"
                answers = dict.fromkeys(requests, pooled)
            case [SharedSecret(), *_]:
                answers = dict.fromkeys(requests, b"k" * 32)
            case [Checkpoint(), *_] if kept is not None:
                for name, request in requests.items():
                    kept.setdefault(name, []).append(request.entry)
    return outcomes


def contributed(banks: Mapping[str, pd.DataFrame], job: BankContribution = JOB) -> Contributed:
    """What every bank is left with."""
    outcomes = list(together(programs(banks, job)).values())
    assert len({outcome.release.to_bytes() for outcome in outcomes}) == 1
    first: Contributed = outcomes[0]
    return first


def shares(banks: Mapping[str, pd.DataFrame], job: BankContribution = JOB) -> dict[str, float]:
    """Shapley value of each bank."""
    return {share.bank: share.shapley for share in contributed(banks, job).record.banks}
