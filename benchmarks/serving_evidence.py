"""What the exchanges with a service and its audit log say about each other after a load in which things broke."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from benchmarks.serving_clients import Exchange
from riskfed.serving.records.audit import read_audit

_PD_TOLERANCE = 1e-6
_SWAP_SECONDS = 0.25
"""For which the former champion may still answer after the line about the new one: requests that began before it, on a machine whose
processors are busy. A version never answers before its line."""


@dataclass(frozen=True, slots=True)
class Term:
    """A time in which one version was the champion: from one line of the audit log to the next."""

    version: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """The counts; those from `failed` on have to be 0.

    Attributes:
        requests: exchanges, retries included.
        replayed: answers that the service had given before.
        slowest_swap_seconds: the longest time after the line about another champion at which the former one was still asked and answered.
        failed: not answered with 200, or with another PD than xgboost's for the version that the answer names.
        wrong_version: answers, replays aside, of a version that was not the champion at any time between sending and receiving.
        not_audited: answered requests without a line in the audit log.
        audited_twice: answered requests with more than one line, replays aside.
        unlike_replays: answers to one request that differ.
    """

    requests: int
    replayed: int
    slowest_swap_seconds: float
    failed: int
    wrong_version: int
    not_audited: int
    audited_twice: int
    unlike_replays: int


def weigh(exchanges: Sequence[Exchange], pds: Mapping[str, Sequence[float]], audit: Path) -> Evidence:
    """Hold the exchanges against the models and the audit log, whose chain is verified on the way.

    Args:
        exchanges: with the service.
        pds: version -> xgboost's PD of each applicant.
        audit: folder of the audit log.

    Raises:
        ProtectionError: the log's chain is broken.
    """
    entries = list(read_audit(audit))
    lines = Counter(entry["request_id"] for entry in entries if entry["event"] == "score" and not entry.get("replayed"))
    good = [exchange for exchange in exchanges if is_right(exchange, pds)]
    answered = {exchange.request_id for exchange in good}
    bodies = defaultdict(set)
    for exchange in good:
        if exchange.key is not None:
            bodies[exchange.key].add(exchange.body)
    champions = terms(entries)
    overruns = [_overrun(exchange, champions) for exchange in good if not exchange.replayed]
    return Evidence(
        requests=len(exchanges),
        replayed=sum(exchange.replayed for exchange in exchanges),
        slowest_swap_seconds=max((overrun for overrun in overruns if overrun <= _SWAP_SECONDS), default=0.0),
        failed=len(exchanges) - len(good),
        wrong_version=sum(overrun > _SWAP_SECONDS for overrun in overruns),
        not_audited=sum(lines[request_id] == 0 for request_id in answered),
        audited_twice=sum(lines[request_id] > 1 for request_id in answered),
        unlike_replays=sum(len(each) > 1 for each in bodies.values()),
    )


def is_right(exchange: Exchange, pds: Mapping[str, Sequence[float]]) -> bool:
    """Whether the answer is 200, for this request, with the PD of the version that it names."""
    if exchange.status != 200:
        return False
    answer = json.loads(exchange.body)
    expected = pds.get(exchange.version)
    if expected is None or answer["request_id"] != exchange.request_id:
        return False
    return abs(answer["pd"] - expected[exchange.applicant]) <= _PD_TOLERANCE


def terms(entries: Sequence[Mapping[str, object]]) -> list[Term]:
    """The champions' terms, from the audit log's lines."""
    changes = [entry for entry in entries if entry["event"] == "model" and entry["kind"] == "champion"]
    starts = [seconds_of(entry) for entry in changes]
    ends = [*starts[1:], float("inf")]
    return [Term(str(entry["version"]), start, end) for entry, start, end in zip(changes, starts, ends, strict=True)]


def seconds_of(entry: Mapping[str, object]) -> float:
    """An entry's time in seconds since 1970."""
    return datetime.fromisoformat(str(entry["time"])).timestamp()


def _overrun(exchange: Exchange, champions: Sequence[Term]) -> float:
    """Seconds by which the exchange began after the last term of its version that had begun when it ended; infinite where there is none."""
    begun = [term for term in champions if term.version == exchange.version and term.start <= exchange.received]
    return min((max(0.0, exchange.sent - term.end) for term in begun), default=float("inf"))
