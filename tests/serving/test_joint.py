"""A joint model with a real partner in another process: on time, late, unknown, killed, talking nonsense. An answer always comes."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import cache

import httpx
import numpy as np
import pytest
import xgboost

from riskfed.errors import RegistryError
from riskfed.schema import Feature, Schema
from riskfed.scorecard.points import ScoreScale
from riskfed.serving.engine.applicant import ApplicantError
from riskfed.serving.engine.engine import ScoringEngine
from riskfed.serving.engine.joint import JointEngine, PartnerError, UnknownCustomerError
from tests.serving.engines import engine_for, files_for
from tests.serving.models import SCHEMA, loans, make_release

CUSTOMERS = 60
THEIRS = Feature(name="partner", encoding="onehot", levels=("split 0", "split 1", "split 2"))
JOINED = Schema(**{**SCHEMA.model_dump(), "features": (*SCHEMA.features, THEIRS)})
FRAME = loans(2_000, 21)
PATIENT = 30.0
"""Seconds: a deadline that only a partner misses that never answers."""


def decisions() -> np.ndarray:
    """(2000, 3) float32: at three of the partner's splits, which way each customer goes; two of them say something about default."""
    draw = np.random.default_rng(3)
    said = FRAME["default"].to_numpy()[:, None] + draw.normal(0, (1.0, 2.0, 50.0), (len(FRAME), 3))
    return (said > 0.5).astype(np.float32)


@cache
def joint_model() -> ScoringEngine:
    matrix = np.concatenate([SCHEMA.encode(FRAME), decisions()], axis=1)
    data = xgboost.DMatrix(matrix, FRAME["default"], feature_names=list(JOINED.columns))
    booster = xgboost.train({"objective": "binary:logistic", "max_depth": 4, "nthread": 1}, data, 20)
    return engine_for(bytes(booster.save_raw("json")), JOINED)


class HttpPartner:
    """Asks the partner's process."""

    def __init__(self, port: int) -> None:
        self._address = f"http://127.0.0.1:{port}/columns"
        self.asked: list[str] = []

    async def columns(self, model_sha256: str, customer_id: str) -> np.ndarray:
        self.asked.append(customer_id)
        try:
            async with httpx.AsyncClient(trust_env=False, verify=False) as client:
                answer = await client.get(self._address, params={"model": model_sha256, "customer": customer_id})
        except httpx.HTTPError as error:
            raise PartnerError(f"no answer ({type(error).__name__})") from None
        if answer.status_code == 404:
            raise UnknownCustomerError("unknown")
        return np.array(answer.json(), dtype=np.float32)


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.serving.partner_process"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        assert started.stdin is not None
        json.dump(decisions()[:CUSTOMERS].astype(int).tolist(), started.stdin)
        started.stdin.close()
        yield started
        started.kill()


@pytest.fixture
def partner(process: subprocess.Popen[str]) -> HttpPartner:
    assert process.stdout is not None
    return HttpPartner(int(process.stdout.readline()))


@pytest.fixture
def own() -> ScoringEngine:
    return engine_for(make_release().model, SCHEMA)


@pytest.fixture
def engine(partner: HttpPartner, own: ScoringEngine) -> JointEngine:
    return JointEngine(joint_model(), own, partner)


def applicants() -> list[dict[str, object]]:
    return list(json.loads(FRAME.iloc[:CUSTOMERS].drop(columns="default").to_json(orient="records")))


def test_on_time_the_joint_model_answers(engine: JointEngine) -> None:
    async def ask() -> list[object]:
        asked = [engine.answer(applicant, str(n), PATIENT) for n, applicant in enumerate(applicants())]
        return await asyncio.gather(*asked)

    matrix = np.concatenate([SCHEMA.encode(FRAME), decisions()], axis=1)[:CUSTOMERS]
    answers = asyncio.run(ask())
    assert [score for _, score in answers] == joint_model().score_rows(matrix)
    assert all(score.fallback is None for _, score in answers)
    np.testing.assert_array_equal(np.concatenate([row for row, _ in answers]), matrix[:, : len(SCHEMA.columns)])
    # What the partner knows makes one reason, however many splits it has.
    assert "partner" in {reason.feature for _, score in answers for reason in score.reasons}


@pytest.mark.parametrize(
    ("customer", "deadline", "fallback"),
    [
        (None, PATIENT, "no_customer"),
        ("9999", PATIENT, "unknown_customer"),
        ("slow", 0.05, "deadline"),
        ("garbage", PATIENT, "partner_unavailable"),
        ("twos", PATIENT, "partner_unavailable"),
        ("short", PATIENT, "partner_unavailable"),
        ("broken", PATIENT, "partner_unavailable"),
    ],
)
def test_without_the_partners_part_the_own_model_answers(
    engine: JointEngine, own: ScoringEngine, customer: str | None, deadline: float, fallback: str
) -> None:
    applicant = applicants()[0]
    _, score = asyncio.run(engine.answer(applicant, customer, deadline))
    assert score.fallback == fallback
    assert (score.pd, score.points, score.reasons) == (
        own.score(applicant).pd,
        own.score(applicant).points,
        own.score(applicant).reasons,
    )


def test_a_partner_killed_between_two_requests(engine: JointEngine, process: subprocess.Popen[str]) -> None:
    async def ask() -> list[str | None]:
        first = await engine.answer(applicants()[0], "0", PATIENT)
        process.kill()
        process.wait()
        second = await engine.answer(applicants()[0], "0", PATIENT)
        return [first[1].fallback, second[1].fallback]

    assert asyncio.run(ask()) == [None, "partner_unavailable"]


def test_a_late_answer_disturbs_nothing(own: ScoringEngine, caplog: pytest.LogCaptureFixture) -> None:
    """Not even one that will not be cancelled, or that fails afterwards: the deadline holds, and the next answer is the next one's."""

    class Stubborn:
        ended = 0

        async def columns(self, model_sha256: str, customer_id: str) -> np.ndarray:
            try:
                await asyncio.sleep(PATIENT)
            except asyncio.CancelledError:
                for _ in range(20):
                    await asyncio.sleep(0.005)
            self.ended += 1
            raise PartnerError(f"too late for {customer_id}")

    partner = Stubborn()
    engine = JointEngine(joint_model(), own, partner)

    async def ask() -> list[object]:
        started = time.monotonic()
        scores = [(await engine.answer(applicants()[0], "secret-id", 0.01))[1] for _ in range(3)]
        assert time.monotonic() - started < PATIENT / 2
        while partner.ended < 3:
            await asyncio.sleep(0.01)
        return scores

    with caplog.at_level(logging.DEBUG):
        assert {score.fallback for score in asyncio.run(ask())} == {"deadline"}
    assert "secret-id" not in caplog.text
    assert "never retrieved" not in caplog.text


def test_a_request_that_is_given_up_takes_its_question_along(own: ScoringEngine) -> None:
    cancelled = []

    class Waiting:
        async def columns(self, model_sha256: str, customer_id: str) -> np.ndarray:
            try:
                await asyncio.sleep(PATIENT)
            except asyncio.CancelledError:
                cancelled.append(customer_id)
                raise
            raise AssertionError

    async def ask() -> None:
        engine = JointEngine(joint_model(), own, Waiting())
        request = asyncio.create_task(engine.answer(applicants()[0], "7", PATIENT))
        await asyncio.sleep(0.01)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        await asyncio.sleep(0)

    asyncio.run(ask())
    assert cancelled == ["7"]


def test_of_a_bad_request_the_partner_hears_nothing(engine: JointEngine, partner: HttpPartner) -> None:
    with pytest.raises(ApplicantError):
        asyncio.run(engine.answer({"income": "much"}, "0", PATIENT))
    assert partner.asked == []


def test_without_a_customer_everything_is_scored_by_the_fallback(own: ScoringEngine) -> None:
    engine = JointEngine(joint_model(), own, HttpPartner(1))
    engine.check()
    rows = SCHEMA.encode(FRAME.iloc[:5])
    assert {score.fallback for score in engine.score_rows(rows)} == {"no_customer"}
    assert engine.score(applicants()[0]) == engine.score_rows(engine.encode(applicants()[0]))[0]


def test_models_that_do_not_belong_together_are_refused(own: ScoringEngine) -> None:
    partner = HttpPartner(1)
    with pytest.raises(RegistryError, match="features"):
        JointEngine(own, own, partner)
    with pytest.raises(RegistryError, match="features"):
        JointEngine(own, joint_model(), partner)
    other = ScoringEngine(files_for(make_release().model, SCHEMA), ScoreScale(pdo=40))
    with pytest.raises(RegistryError, match="scales"):
        JointEngine(joint_model(), other, partner)
