"""What several test files need."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from riskfed.jobs import HorizontalXgboost
from riskfed.plan import Plan
from riskfed.protocols.opening import Seat
from riskfed.protocols.party import Party
from riskfed.protocols.program import Exchange, Program, Release, SharedSecret, Sum, Witness
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
            bound = requests[0].bound
            assert all(np.array_equal(request.bound, bound) for request in requests), "parties state different bounds"
            pooled = np.sum([request.values for request in requests], axis=0, dtype=np.int64)
            assert (np.abs(pooled) <= bound).all(), "the pooled sum is above its bound"
            assert all((np.abs(request.values) <= bound).all() for request in requests), "a party's own is above it"
            answers = [pooled] * len(programs)
        else:
            answers = [None] * len(programs)


def exchange_all(
    programs: Mapping[str, Program[Any]], heard: Callable[[str, Any], None] = lambda *_: None
) -> dict[str, Any]:
    """Run the programs of parties that exchange payloads, in lock-step and unprotected; what each returns.

    Args:
        programs: party -> its program.
        heard: told of every request, with the party's name.
    """
    answers: dict[str, Any] = dict.fromkeys(programs)
    outcomes: dict[str, Any] = {}
    while len(outcomes) < len(programs):
        requests = {}
        for name, program in programs.items():
            try:
                requests[name] = program.send(answers[name])
                while not isinstance(requests[name], (Exchange, Release, Witness)):
                    heard(name, requests[name])
                    secret = isinstance(requests[name], SharedSecret)
                    requests[name] = program.send(_secret(requests[name].purpose) if secret else None)
                heard(name, requests[name])
            except StopIteration as stop:
                outcomes[name] = stop.value
                requests.pop(name, None)
        assert not requests or not outcomes, "one party finished before the others"
        labels = {request.label for request in requests.values() if isinstance(request, Exchange)}
        assert len(labels) <= 1, f"parties are out of step: {labels}"
        answers = {name: _inbox(name, requests) for name in requests}
    return outcomes


def _secret(purpose: str) -> bytes:
    return hashlib.sha256(purpose.encode()).digest()


def _inbox(name: str, requests: Mapping[str, Any]) -> dict[str, bytes] | None:
    if not isinstance(requests[name], Exchange):
        return None
    return {sender: request.payloads[name] for sender, request in requests.items() if name in request.payloads}


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
