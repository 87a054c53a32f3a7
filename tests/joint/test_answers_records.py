"""What an endpoint counts and writes: allowances of minute and day, the chain over several days, and no answer without its line."""

from __future__ import annotations

import asyncio
import json
import os
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bank_nodes.answers.allowance import Allowance
from bank_nodes.answers.customers import Customers
from bank_nodes.answers.endpoint import PATH, AnswersEndpoint
from bank_nodes.answers.log import AnswersLog, read_answers
from bank_nodes.answers.parts import PartFolder
from riskfed.errors import ConfigurationError, ProtectionError
from riskfed.peer_certificate import PEER, PeerCertificate
from riskfed.protocols.records import Records
from tests.joint.models import SCHEMA, customers, vertical_model

FRAME = customers(50, seed=17)
PART = SCHEMA.part_of("payments")


class Clock:
    """Seconds and a time of day that a test moves."""

    def __init__(self) -> None:
        self.day = datetime(2026, 3, 1, 23, 59, 0, tzinfo=UTC)
        self.seconds = 0.0

    def move(self, seconds: float) -> None:
        self.day += timedelta(seconds=seconds)
        self.seconds += seconds


def allowance(clock: Clock, per_minute: int, per_day: int, **asked: int) -> Allowance:
    return Allowance(per_minute, per_day, asked, clock=lambda: clock.seconds, now=lambda: clock.day)


def test_any_sixty_seconds_hold_no_more_than_the_minutes_allowance() -> None:
    clock = Clock()
    limits = allowance(clock, 3, 1000)
    taken = []
    for _ in range(400):
        if limits.take("lender") is None:
            taken.append(clock.seconds)
        clock.move(7)
    assert len(taken) > 100
    assert max(sum(start <= at < start + 60 for at in taken) for start in taken) == 3
    assert allowance(clock, 3, 1000).take("other") is None


def test_a_days_allowance_ends_with_the_day_and_waiting_times_are_true() -> None:
    clock = Clock()
    limits = allowance(clock, 100, 5, lender=3)
    assert [limits.take("lender") for _ in range(3)] == [None, None, 60]
    assert limits.take("other") is None
    clock.move(60)
    assert limits.take("lender") is None


def test_a_minutes_wait_is_true() -> None:
    clock = Clock()
    limits = allowance(clock, 2, 100)
    limits.take("lender")
    clock.move(20)
    limits.take("lender")
    wait = limits.take("lender")
    assert wait == 40
    clock.move(wait)
    assert limits.take("lender") is None


def test_the_chain_goes_on_over_days_and_restarts(tmp_path: Path) -> None:
    day = [date(2026, 3, 1)]
    for restart in range(3):
        with AnswersLog(tmp_path, lambda: day[0]) as log:
            assert log.answered_today["lender"] == (0 if restart == 0 else 1)
            log.record("answered", client="lender", part="x", known=True)
            day[0] += timedelta(days=1)
            log.record("answered", client="lender", part="y", known=False)
    assert len(list(tmp_path.iterdir())) == 4
    entries = list(read_answers(tmp_path))
    assert [entry["sequence"] for entry in entries] == list(range(6))
    (tmp_path / "answers-2026-03-01.log").unlink()  # put away
    assert len(list(read_answers(tmp_path))) == 5
    (tmp_path / "answers-2026-03-03.log").unlink()  # missing
    with pytest.raises(ProtectionError, match="does not follow the line before"):
        list(read_answers(tmp_path))


def test_a_changed_line_and_a_second_writer_are_found(tmp_path: Path) -> None:
    with AnswersLog(tmp_path) as log:
        log.record("answered", client="lender", part="x", known=True)
        with pytest.raises(ConfigurationError, match="another process"):
            AnswersLog(tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_text(path.read_text().replace("true", "false"))
    with pytest.raises(ProtectionError, match="was changed"):
        AnswersLog(tmp_path)


def test_customers_are_found_by_ids_of_which_none_is_kept() -> None:
    records = Records.from_frame(FRAME, PART)
    known = Customers(records, PART)
    for place in range(len(FRAME)):
        found = known.find(f" {FRAME['customer_id'][place].lower()}")
        assert found is not None
        assert np.array_equal(found, PART.encode(FRAME)[place], equal_nan=True)
    assert [known.find(one) for one in ("Q99999", "", "Q1", "\ud800")] == [None] * 4
    assert not any(isinstance(held, Records) for held in vars(known).values())
    assert FRAME["customer_id"][0] not in repr(vars(known))


def test_no_answer_leaves_without_its_line(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    part = vertical_model().parts["payments"]
    (tmp_path / "run" / "part.json").write_bytes(part.to_bytes())
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "part.json").write_bytes(b"{}")
    known = Customers(Records.from_frame(FRAME, PART), PART)
    peer = PeerCertificate("ab", frozenset(), time.time() + 60)
    with AnswersLog(tmp_path / "log") as log:
        endpoint = AnswersEndpoint(known, PartFolder(tmp_path, PART), {"ab": "lender"}, Allowance(9, 9, {}), log)
        body = json.dumps({"part": part.sha256, "customer_id": FRAME["customer_id"][0]}).encode()
        assert asked(endpoint, peer, body)[0] == 200
        expired = PeerCertificate("ab", frozenset(), time.time() - 1)
        assert asked(endpoint, expired, body)[0] == 403
        full = os.open("/dev/full", os.O_WRONLY)
        log._chain._descriptor = full
        status, answer = asked(endpoint, peer, body)
        log._chain._descriptor = log._descriptor
        os.close(full)
    assert status == 503
    assert b"decisions" not in answer


def asked(endpoint: AnswersEndpoint, peer: PeerCertificate, body: bytes) -> tuple[int, bytes]:
    """Status and body."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "path": PATH, "method": "POST", "extensions": {PEER: peer}}
    asyncio.run(endpoint(scope, receive, send))
    return sent[0]["status"], sent[1]["body"]
