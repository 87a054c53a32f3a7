"""The challenger in the shadow: the same scores as its engine gives, audited, compared, and never in the champion's way."""

import asyncio
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskfed.errors import AuditError, ConfigurationError
from riskfed.serving.models.comparison import ScoreWindow, compare, psi
from riskfed.serving.models.live import LiveModels
from riskfed.serving.models.shadow import Shadow
from riskfed.serving.records.audit import AuditLog
from tests.serving.models import SCHEMA, loans
from tests.serving.registry_server import RegistryServer, live_models, promote, running_registry, source

ROWS = SCHEMA.encode(loans(200, 5))


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    yield from running_registry()


@pytest.fixture
def live(server: RegistryServer) -> LiveModels:
    promote(server, "4", alias="challenger")
    return live_models(server, challenger=source(server, "challenger"))


def nowhere(event: str, entries: Sequence[Mapping[str, Any]]) -> None:
    pass


def offer(shadow: Shadow, live: LiveModels, rows: np.ndarray = ROWS) -> list[int]:
    """Score rows with the champion and offer them; returns its points."""
    scores = [live.champion.score_row(rows[at : at + 1]) for at in range(len(rows))]
    for at, score in enumerate(scores):
        shadow.offer(rows[at : at + 1], f"r-{at}", score)
    return [score.points for score in scores]


def run_until(shadow: Shadow, done: int) -> None:
    """Run the shadow until it has handled so many rows."""

    async def run() -> None:
        running = asyncio.create_task(shadow.run())
        while shadow.comparison().scored + shadow.comparison().failed < done:
            await asyncio.sleep(0.01)
        running.cancel()

    asyncio.run(asyncio.wait_for(run(), 60))


def test_scores_audits_and_compares(live: LiveModels, tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    shadow = Shadow(live, log.record_many)
    points = offer(shadow, live)
    run_until(shadow, 200)
    log.close()
    lines = [json.loads(line) for file in sorted(tmp_path.glob("audit-*")) for line in file.read_text().splitlines()]
    lines = [line for line in lines if line["event"] == "shadow"]
    expected = live.challenger.score_rows(ROWS)
    assert [(line["request_id"], line["score"], line["pd"]) for line in lines] == [
        (f"r-{at}", score.points, score.pd) for at, score in enumerate(expected)
    ]
    assert [line["reasons"] for line in lines] == [[reason.code for reason in score.reasons] for score in expected]
    assert {(line["model"], line["version"], line["sha256"]) for line in lines} == {
        ("credit", "4", live.challenger.sha256)
    }
    found = shadow.comparison()
    challenger = np.array([score.points for score in expected])
    assert found == compare(np.array(points, dtype=np.int32), challenger, 0.8, dropped=0, failed=0)
    assert (found.scored, found.mean_difference) == (200, pytest.approx(np.mean(challenger - points)))
    assert found.swap_in_rate + found.swap_out_rate > 0


def test_without_a_challenger_nothing_is_kept(server: RegistryServer) -> None:
    live = live_models(server)
    shadow = Shadow(live, nowhere)
    offer(shadow, live)
    found = shadow.comparison()
    assert (found.scored, found.dropped, len(shadow._queue)) == (0, 0, 0)
    assert all(math.isnan(figure) for figure in (found.psi, found.swap_in_rate, found.mean_difference))


def test_too_many_rows_are_dropped_and_counted(live: LiveModels) -> None:
    shadow = Shadow(live, nowhere)
    score = live.champion.score_row(ROWS[:1])
    for _ in range(5000):
        shadow.offer(ROWS[:1], "r", score)
    assert (shadow.comparison().dropped, len(shadow._queue)) == (5000 - 4096, 4096)


def test_rows_of_another_shape_are_left_alone(live: LiveModels) -> None:
    shadow = Shadow(live, nowhere)
    shadow.offer(ROWS[:2], "r", live.champion.score_row(ROWS[:1]))
    shadow.offer(ROWS[:1, :-1], "r", live.champion.score_row(ROWS[:1]))
    assert not shadow._queue


def test_another_champion_or_challenger_begins_anew(server: RegistryServer, live: LiveModels) -> None:
    lines: list[dict[str, Any]] = []
    shadow = Shadow(live, lambda _, entries: lines.extend(entries))
    offer(shadow, live, ROWS[:30])
    promote(server, "3", live, "challenger")
    # What was waiting is still scored by the challenger that it was offered to, and audited, but not compared.
    offer(shadow, live, ROWS[:20])
    run_until(shadow, 20)
    assert [line["version"] for line in lines] == ["4"] * 30 + ["3"] * 20
    assert shadow.comparison().scored == 20


def test_what_fails_is_counted_and_told_by_its_type(live: LiveModels, caplog: pytest.LogCaptureFixture) -> None:
    written: list[Mapping[str, Any]] = []

    def audit(event: str, entries: Sequence[Mapping[str, Any]]) -> None:
        if written:
            raise AuditError("secret 987654321.125")
        written.extend(entries)

    shadow = Shadow(live, audit)
    offer(shadow, live, ROWS[:50])
    run_until(shadow, 50)
    found = shadow.comparison()
    assert (found.scored, found.failed) == (len(written), 50 - len(written))
    assert [record.getMessage() for record in caplog.records] == ["the challenger failed: AuditError"]


def test_the_window_is_that_of_the_latest(live: LiveModels) -> None:
    shadow = Shadow(live, nowhere, window=50)
    offer(shadow, live)

    async def run() -> None:
        running = asyncio.create_task(shadow.run())
        while shadow._queue:
            await asyncio.sleep(0.01)
        running.cancel()

    asyncio.run(asyncio.wait_for(run(), 60))
    latest = live.challenger.score_rows(ROWS[-50:])
    assert shadow.comparison().scored == 50
    assert sorted(shadow._window.pairs()[1]) == sorted(score.points for score in latest)


@pytest.mark.parametrize("wrong", [{"window": 0}, {"approval_rate": 0.0}, {"approval_rate": 1.5}])
def test_refuses_what_cannot_be(live: LiveModels, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="approval rate"):
        Shadow(live, nowhere, **wrong)


def array(points: list[int]) -> np.ndarray:
    return np.array(points, dtype=np.int32)


def test_swap_rates_by_hand() -> None:
    champion, challenger = array([700, 600, 500, 400]), array([400, 600, 700, 500])
    found = compare(champion, challenger, 0.5, dropped=1, failed=2)
    # The champion approves the first two, the challenger the second and third.
    assert (found.swap_in_rate, found.swap_out_rate, found.mean_difference) == (0.25, 0.25, 0.0)
    assert (found.scored, found.dropped, found.failed) == (4, 1, 2)


def test_equal_points_are_decided_alike() -> None:
    found = compare(array([600] * 3 + [500]), array([700, 600, 600, 500]), 0.25, dropped=0, failed=0)
    assert (found.swap_in_rate, found.swap_out_rate) == (0.0, 0.5)


def test_psi_by_the_textbook() -> None:
    draw = np.random.default_rng(3)
    champion, challenger = (draw.normal(mean, 40, 20_000).round().astype(np.int32) for mean in (600, 620))
    edges = np.quantile(champion, np.arange(1, 10) / 10, method="inverted_cdf")
    shares = [
        np.diff(np.concatenate([[0], np.searchsorted(np.sort(points), edges, side="right"), [20_000]])) / 20_000
        for points in (champion, challenger)
    ]
    textbook = float(np.sum((shares[1] - shares[0]) * np.log(shares[1] / shares[0])))
    assert psi(champion, challenger) == pytest.approx(textbook, rel=1e-12)
    assert textbook > 0.2


@given(st.lists(st.integers(300, 850), min_size=1, max_size=60), st.floats(0.01, 1), st.integers(-5, 5))
def test_a_model_beside_itself_changes_nothing(points: list[int], approval_rate: float, shift: int) -> None:
    found = compare(array(points), array(points) + shift, approval_rate, dropped=0, failed=0)
    assert (found.swap_in_rate, found.swap_out_rate) == (0.0, 0.0)
    assert found.mean_difference == pytest.approx(shift, abs=1e-9)
    assert psi(array(points), array(points)) == 0.0


@given(st.integers(1, 9), st.lists(st.tuples(st.integers(300, 850), st.integers(300, 850)), max_size=30))
def test_the_ring_holds_the_latest(size: int, pairs: list[tuple[int, int]]) -> None:
    window = ScoreWindow(size)
    for pair in pairs:
        window.add(*pair)
    champion, challenger = window.pairs()
    assert sorted(zip(champion.tolist(), challenger.tolist(), strict=True)) == sorted(pairs[-size:])
