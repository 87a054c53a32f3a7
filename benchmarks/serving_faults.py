"""A load on `riskfed serve` while its registry misbehaves: the alias moves every few seconds, the registry is killed and started again, and
a model with a spoilt file is promoted.

The service has to answer every request meanwhile, each with a model that was the champion at that time, and its audit log has to hold
each answer once.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import xgboost

from benchmarks.serving_clients import Clients
from benchmarks.serving_evidence import Evidence, Term, terms, weigh
from benchmarks.serving_models import NAME, applicants, move_alias, register_model, release_of
from benchmarks.serving_processes import Server, start_registry
from benchmarks.serving_service import start_service
from riskfed.serving.records.audit import read_audit, verify_audit
from riskfed.stack.processes import Processes

_SOUND_SIZES = (40, 60, 80)
_BROKEN_SIZE = 90
_POLLS_IN_PERIOD = 5
_PAUSE_SECONDS = 0.01
"""Of each of the four clients between two requests: some 350 requests a second leave the processor to the registry, when it starts."""
_LATEST_SECONDS = 10.0
"""Within which a model that the alias named is taken up, if at all: a poll, a download and the check of the model."""


@dataclass(frozen=True, slots=True)
class FaultyLoad:
    """What came of it.

    Attributes:
        evidence: of requests, answers and audit log.
        seconds: how long requests were sent.
        moves: of the alias to a sound version, while the registry was up.
        followed: moves that the service took up.
        unfounded: versions that the service took up without the alias having named them in the seconds before.
        slowest_seconds: from such a move to the service's line about it.
        outage_seconds: for which the registry was away.
        refused: lines of the audit log about the broken model.
        audit_lines: of the whole log, whose chain was verified.
    """

    evidence: Evidence
    seconds: float
    moves: int
    followed: int
    unfounded: int
    slowest_seconds: float
    outage_seconds: float
    refused: int
    audit_lines: int


class _Alias:
    """The alias ``champion``, moved over MLflow's REST API."""

    def __init__(self, registry: Server) -> None:
        self._registry = registry
        self.moves: list[tuple[float, str]] = []

    def move(self, version: str) -> None:
        """Move it, and remember when."""
        self.moves.append((time.time(), version))
        move_alias(self._registry, version)


def measure_faults(folder: Path, booster: xgboost.Booster, *, seconds: float = 60.0, period: float = 5.0) -> FaultyLoad:
    """Run the load.

    Args:
        folder: for the servers' files.
        booster: trees of the Taiwan model; versions hold its first ones.
        seconds: least duration; the registry's start may make it longer.
        period: time between two moves of the alias; the service looks at it five times as often.
    """
    poll = period / _POLLS_IN_PERIOD
    with Processes() as processes:
        registry = start_registry(processes, folder / "registry")
        sizes, broken = _register(booster, registry, folder)
        alias = _Alias(registry)
        alias.move(next(iter(sizes)))
        service = start_service(processes, folder / "service", registry=registry.address, name=NAME, poll_seconds=poll)
        drawn = {version: applicants(booster[:size], 200) for version, size in sizes.items()}
        records = next(iter(drawn.values())).records
        clients = Clients(service.server.port, service.headers, records, pause_seconds=_PAUSE_SECONDS)
        started = time.time()
        clients.start()
        try:
            outage = _disturb(registry, alias, list(sizes), broken, seconds, period)
        finally:
            exchanges, ended = clients.stop(), time.time()
        service.server.stop()
        expected = {version: of.pds for version, of in drawn.items()}
        evidence = weigh(exchanges, expected, service.audit)
        return _summary(evidence, alias, broken, service.audit, ended - started, outage)


def _register(booster: xgboost.Booster, registry: Server, folder: Path) -> tuple[dict[str, int], str]:
    """Register sound versions and a spoilt one; returns version -> trees, and the spoilt one's version."""
    from riskfed.tracking.connection import connect

    sizes = {register_model(release_of(booster, size), registry.address): size for size in _SOUND_SIZES}
    broken = register_model(release_of(booster, _BROKEN_SIZE), registry.address)
    location = connect(registry.address).get_model_version_download_uri(NAME, broken)
    spoilt = folder / "registry" / "artifacts" / location.partition(":/")[2].strip("/") / "model.json"
    spoilt.write_bytes(spoilt.read_bytes()[:-100])
    return sizes, broken


def _disturb(
    registry: Server, alias: _Alias, sound: list[str], broken: str, seconds: float, period: float
) -> tuple[float, float]:
    """Move the alias, kill the registry, promote the broken model; returns when the registry was away."""
    ends = time.time() + seconds
    turns = itertools.cycle([*sound[1:], sound[0]])

    def move_until(end: float) -> None:
        while time.time() < end - period:
            time.sleep(period)
            alias.move(next(turns))

    move_until(time.time() + seconds / 3)  # 1  the alias moves
    time.sleep(period)
    killed = time.time()
    registry.kill()  # 2  the registry is away for a while
    time.sleep(period)
    registry.start()
    back = time.time()
    move_until(max(ends - seconds / 3, back + 3 * period))  # 3  it is followed again
    time.sleep(period)
    alias.move(broken)  # 4  a model that no service can load
    time.sleep(period)
    move_until(max(ends, time.time() + 2.5 * period))  # 5  and sound ones again
    time.sleep(period)
    return killed, back


def _summary(
    evidence: Evidence, alias: _Alias, broken: str, audit: Path, seconds: float, outage: tuple[float, float]
) -> FaultyLoad:
    entries = list(read_audit(audit))
    waits = list(_waits(alias.moves[1:], broken, terms(entries)))
    return FaultyLoad(
        evidence=evidence,
        seconds=seconds,
        moves=len(waits),
        followed=sum(wait is not None for wait in waits),
        unfounded=sum(not _named(term, alias.moves) for term in terms(entries)),
        slowest_seconds=max((wait for wait in waits if wait is not None), default=float("nan")),
        outage_seconds=outage[1] - outage[0],
        refused=sum(entry["event"] == "model" and entry["kind"] == "refused" for entry in entries),
        audit_lines=verify_audit(audit).lines,
    )


def _waits(moves: list[tuple[float, str]], broken: str, champions: list[Term]) -> Iterator[float | None]:
    """For each move to a sound version: how long the service took to follow; None where it did not before the next move's turn."""
    for number, (moved, version) in enumerate(moves):
        following = moves[number + 1][0] if number + 1 < len(moves) else float("inf")
        taken_up = [
            term.start for term in champions if term.version == version and moved <= term.start <= following + 1
        ]
        if version != broken:
            yield min(taken_up) - moved if taken_up else None


def _named(term: Term, moves: list[tuple[float, str]]) -> bool:
    """Whether the alias pointed at the version at some time in the seconds before the service took it up."""
    ends = [*(moved for moved, _ in moves[1:]), float("inf")]
    return any(
        version == term.version and moved <= term.start <= end + _LATEST_SECONDS
        for (moved, version), end in zip(moves, ends, strict=True)
    )
