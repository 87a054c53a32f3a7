"""The label holder's engine with real partners over TLS: the joint Booster's margins to the bit, and a stated fallback whatever happens."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from riskfed.errors import ConfigurationError, RegistryError
from riskfed.scoring import read_model
from riskfed.serving.engine.engine import ScoringEngine
from riskfed.serving.engine.interface import Engine
from riskfed.serving.engine.joint import JointEngine
from riskfed.serving.engine.score import Score
from riskfed.serving.engine.vertical import build_engine, own_schema
from riskfed.serving.partner import PartnerDirectory, PartnerSettings
from riskfed.vertical_model import Answers
from tests.joint.linear_models import joint_log_odds, linear_parts
from tests.joint.models import customers, joint_margins, vertical_model
from tests.joint.world import Holder, holders, impostor
from tests.serving.access.tls import Authority

FRAME = customers(120, seed=11)
PATIENT = 30.0


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Holder]]:
    models = vertical_model(), vertical_model("leaf_sets"), linear_parts()
    with holders(tmp_path_factory.mktemp("world"), FRAME[:100], *models) as made:
        yield made


def applicant(place: int) -> dict[str, Any]:
    row = FRAME.iloc[place]
    return {"income": float(row["income"]), "late payments": row["late payments"]}


def ask(
    settings: list[PartnerSettings],
    use: Callable[[Engine], Awaitable[Any]],
    answers: Answers = "decisions",
) -> Any:
    """Make an engine with these partners, and use it in an event loop of its own."""

    async def run() -> Any:
        directory = PartnerDirectory(settings)
        try:
            model = linear_parts() if answers == "partial_score" else vertical_model(answers)
            return await use(build_engine(model.files(), partner=directory.find))
        finally:
            await directory.close()

    return asyncio.run(run())


def score(engine: Engine, place: int, deadline: float = PATIENT) -> Awaitable[tuple[np.ndarray, Score]]:
    return engine.answer(applicant(place), FRAME["customer_id"][place], deadline)


def of(world: dict[str, Holder]) -> list[PartnerSettings]:
    return [holder.settings() for holder in world.values()]


@pytest.mark.parametrize("answers", ["decisions", "leaf_sets"])
def test_every_customer_gets_the_margin_of_the_joint_booster(world: dict[str, Holder], answers: Answers) -> None:
    async def use(engine: Engine) -> list[Score]:
        found = await asyncio.gather(*(score(engine, place) for place in range(100)))
        return [one for _, one in found]

    scores = ask(of(world), use, answers)
    assert {one.fallback for one in scores} == {None}
    expected = joint_margins(vertical_model(answers), FRAME[:100])
    assert [one.margin for one in scores] == expected.tolist()


def test_every_customer_gets_the_log_odds_of_the_joined_linear_model(world: dict[str, Holder]) -> None:
    async def use(engine: Engine) -> list[Score]:
        assert engine.kind == "logistic"
        found = await asyncio.gather(*(score(engine, place) for place in (*range(20), 110)))
        return [one for _, one in found]

    *scores, stranger = ask(of(world), use, "partial_score")
    assert {one.fallback for one in scores} == {None}
    np.testing.assert_allclose([one.margin for one in scores], joint_log_odds(FRAME[:20]), rtol=0, atol=5e-7)
    named = {reason.feature for one in scores for reason in one.reasons}
    assert {"payments", "shop"} <= named <= {"income", "late payments", "payments", "shop"}
    fallback = read_model(linear_parts().fallback, own_schema(linear_parts().files()))
    row = own_schema(linear_parts().files()).encode(FRAME[110:111])
    assert (stranger.fallback, stranger.margin) == ("unknown_customer", fallback.margins(row)[0])


def test_reasons_name_the_partner_and_none_of_its_columns(world: dict[str, Holder]) -> None:
    async def use(engine: Engine) -> list[Score]:
        return [(await score(engine, place))[1] for place in range(30)]

    named = {reason.feature for one in ask(of(world), use) for reason in one.reasons}
    assert {"payments", "shop"} <= named <= {"income", "late payments", "payments", "shop"}


def fallback_margin(place: int) -> float:
    files = vertical_model().files()
    own = ScoringEngine(_fallback_files())
    assert own.schema == own_schema(files)
    return own.score(applicant(place)).margin


def _fallback_files() -> Any:
    import hashlib

    from riskfed.serving.engine.model_files import ModelFiles, ModelReference

    model = vertical_model()
    digest = hashlib.sha256(model.fallback).hexdigest()
    return ModelFiles(ModelReference("m", "1", None, "", digest), model.fallback, own_schema(model.files()))


def test_a_customer_whom_a_partner_does_not_know_is_scored_by_the_fallback(world: dict[str, Holder]) -> None:
    async def use(engine: Engine) -> Score:
        return (await score(engine, 110))[1]

    found = ask(of(world), use)
    assert (found.fallback, found.margin) == ("unknown_customer", fallback_margin(110))


def test_a_stopped_a_killed_and_a_restarted_partner(world: dict[str, Holder]) -> None:
    shop = world["shop"]
    expected = joint_margins(vertical_model(), FRAME[:1])[0]

    async def use(engine: Engine) -> list[str | None]:
        assert shop.process is not None
        said = [(await score(engine, 0))[1]]
        os.kill(shop.process.pid, signal.SIGSTOP)
        said.append((await score(engine, 0, 0.2))[1])
        os.kill(shop.process.pid, signal.SIGCONT)
        said.append((await score(engine, 0))[1])
        shop.stop(signal.SIGKILL)
        said.append((await score(engine, 0))[1])
        shop.start()
        said.append((await score(engine, 0))[1])
        joint = [one.margin for one in said if one.fallback is None]
        assert joint == [expected] * 3
        return [one.fallback for one in said]

    assert ask(of(world), use) == [None, "deadline", None, "partner_unavailable", None]


GARBAGE: dict[str, tuple[int, bytes]] = {
    "a page": (200, b"<html>"),
    "nothing": (200, b""),
    "a list": (200, b"[]"),
    "another form": (200, b'{"leaf_sets": "AAAA"}'),
    "no base64": (200, b'{"decisions": "\xc3\xa9"}'),
    "too short": (200, b'{"decisions": "AA=="}'),
    "a number": (200, b'{"decisions": 7}'),
    "too long": (200, b'{"decisions": "' + b"A" * (2 << 20) + b'"}'),
    "deep": (200, b"[" * 100_000),
    "a 404 of somebody else": (404, b"{}"),
    "a redirect": (307, b"{}"),
    "an error": (500, b'{"type": "urn:riskfed:problem:unknown-customer"}'),
}


@pytest.mark.parametrize("what", GARBAGE)
def test_a_partner_that_talks_nonsense(tmp_path: Path, what: str) -> None:
    with impostor(tmp_path, *GARBAGE[what]) as (settings, heard):
        found = ask(settings, lambda engine: score(engine, 0))[1]
    assert found.fallback == "partner_unavailable"
    assert heard


def test_an_impostor_hears_no_id(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other", "authority").certificate
    with impostor(tmp_path, 200, b"{}") as (settings, heard):
        believed = [one.model_copy(update={"ca": other}) for one in settings]
        found = ask(believed, lambda engine: score(engine, 0))[1]
    assert (found.fallback, heard) == ("partner_unavailable", [])


def test_a_partner_that_does_not_list_this_client(world: dict[str, Holder]) -> None:
    somebody, _ = world["shop"].authority.issue("somebody")
    settings = [world["payments"].settings(), world["shop"].settings(somebody)]
    assert ask(settings, lambda engine: score(engine, 0))[1].fallback == "partner_unavailable"


def test_no_id_is_logged(world: dict[str, Holder], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def use(engine: Engine) -> None:
        for place in (0, 110):
            await score(engine, place)
            await score(engine, place, 1e-6)

    ask(of(world), use)
    ask([one.model_copy(update={"url": "https://127.0.0.1:9"}) for one in of(world)], use)
    told = caplog.text + "".join(holder.stderr for holder in world.values())
    assert "PartnerError" in told
    assert [one for one in FRAME["customer_id"] if one in told] == []


def test_without_the_partners_a_version_is_refused(world: dict[str, Holder]) -> None:
    files = vertical_model().files()
    with pytest.raises(RegistryError, match="this service has no partners"):
        build_engine(files)
    with pytest.raises(RegistryError, match="shop has a part in it, and the service file names no such partner"):
        build_engine(files, partner=PartnerDirectory([world["payments"].settings()]).find)
    with pytest.raises(ConfigurationError, match="stands there twice"):
        PartnerDirectory([world["payments"].settings()] * 2)


def test_parts_that_are_not_the_models_are_refused(world: dict[str, Holder]) -> None:
    from dataclasses import replace

    files = vertical_model().files()
    first, second = files.partners
    changes: list[dict[str, Any]] = [
        {"partners": (second, first)},
        {"partners": (first,)},
        {"partners": ()},
        {"partners": (first, second.model_copy(update={"splits": second.splits + 1}))},
        {"fallback": b""},
        {"fallback": files.model},
    ]
    for change in changes:
        with pytest.raises(RegistryError):
            build_engine(replace(files, **change), partner=PartnerDirectory(of(world)).find)


def test_a_vertical_model_without_a_partners_split_needs_nobody() -> None:
    from dataclasses import replace

    files = _fallback_files()
    nobody = tuple(one.model_copy(update={"splits": 0}) for one in vertical_model().files().partners)
    engine = build_engine(replace(files, partners=nobody, fallback=files.model))
    assert not isinstance(engine, JointEngine)
    assert engine.score(applicant(0)).fallback is None


def test_the_partners_part_matters() -> None:
    """What the tests above rest on."""
    joint = joint_margins(vertical_model(), FRAME[:100])
    assert np.abs(joint - [fallback_margin(place) for place in range(100)]).min() > 0
