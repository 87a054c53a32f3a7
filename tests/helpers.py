"""What several test files need."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from riskfed.jobs import HorizontalXgboost
from riskfed.plan import Plan
from riskfed.protocols.opening import Seat
from riskfed.protocols.party import Party
from riskfed.protocols.program import Program, Sum
from riskfed.secure.keys import Identity


def add_up(programs: Sequence[Program[Any]]) -> list[Any]:
    """Run the programs of several parties in lock-step, adding what they sum in plain: the protocol without its protection."""
    answers: list[Any] = [None] * len(programs)
    while True:
        requests, results = [], []
        for program, answer in zip(programs, answers, strict=True):
            try:
                requests.append(program.send(answer))
            except StopIteration as stop:
                results.append(stop.value)
        if results:
            assert not requests, "one party finished before the others"
            return results
        assert len({type(request) for request in requests}) == 1, "parties are out of step"
        if isinstance(requests[0], Sum):
            assert len({request.bound for request in requests}) == 1, "parties state different bounds"
            pooled = np.sum([request.values for request in requests], axis=0, dtype=np.int64)
            assert all(abs(int(value)) <= requests[0].bound for value in pooled), "the pooled sum is above its bound"
            answers = [pooled] * len(programs)
        else:
            answers = [None] * len(programs)


def split_rows(frame: pd.DataFrame, n_banks: int, seed: int) -> dict[str, pd.DataFrame]:
    """Deal rows to banks at random, each row to one bank."""
    owner = np.random.default_rng(seed).integers(0, n_banks, len(frame))
    return {f"bank{i}": frame[owner == i].reset_index(drop=True) for i in range(n_banks)}


def pooled(banks: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """All banks' records in one frame."""
    return pd.concat(banks.values(), ignore_index=True)


BANKS = ("ash", "birch", "cedar")


def plan_for(roster: Sequence[str] = BANKS, protection: str = "masking", **fields: Any) -> Plan:
    """A plan for a small run."""
    defaults = {"run": "test", "job": HorizontalXgboost(), "schema_fingerprint": "0" * 64, "key_bits": 1024}
    return Plan(**{**defaults, "roster": tuple(roster), "protection": protection, **fields})


def parties_for(
    plan: Plan, programs: Mapping[str, Callable[[], Program[Any]]], *, shows_own_metrics: bool = False
) -> dict[str, Party]:
    """One party for each bank, with fresh identities that all have pinned."""
    identities = {name: Identity.generate() for name in plan.roster}
    pinned = {name: identity.public for name, identity in identities.items()}
    return {
        name: Party(Seat(name, identities[name], pinned, plan), programs[name], shows_own_metrics=shows_own_metrics)
        for name in plan.roster
    }
