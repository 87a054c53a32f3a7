"""Joint scoring with a linear model: what is no partial score gives the fallback, files that do not belong together are refused, and what
is kept and told of a part.
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
import struct
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bank_nodes.answers.parts import PartFolder
from bank_nodes.parts import load_part, store_part
from riskfed.errors import RegistryError
from riskfed.linear_model import VerticalLogisticModel
from riskfed.serving.api.card import card_of
from riskfed.serving.engine.joint import JointEngine, Partner
from riskfed.serving.engine.score import Score
from riskfed.serving.engine.vertical import build_engine
from riskfed.serving.engine.what_if import alternatives
from riskfed.serving.models.folder import ModelFolder
from riskfed.serving.models.live import LiveModels
from riskfed.serving.partner import PartnerDirectory
from tests.bank_nodes.vertical_banks import vertical_plan
from tests.joint.linear_models import linear_parts
from tests.joint.models import SCHEMA, vertical_model
from tests.joint.world import impostor
from tests.serving.registry_server import RegistryServer, source

MODEL = linear_parts()
APPLICANT = {"income": 30_000.0, "late payments": "one"}


class Told(Partner):
    """A partner that gives one answer."""

    def __init__(self, columns: Any) -> None:
        self._columns = columns

    async def columns(self, model_sha256: str, customer_id: str) -> Any:
        del model_sha256, customer_id
        return self._columns


def score_with(*answers: Sequence[float] | Any) -> Score:
    told = iter(np.array(answer, dtype=np.float32) if isinstance(answer, list) else answer for answer in answers)
    engine = build_engine(MODEL.files(), partner=lambda *_: Told(next(told)))
    return asyncio.run(engine.answer(APPLICANT, "Q00001", 30.0))[1]


def test_partial_scores_of_any_size_are_added() -> None:
    expected = VerticalLogisticModel.from_bytes(MODEL.model)
    own = SCHEMA.part_of("lender").encode(_frame())
    for first, second in ((0.0, 0.0), (1.25, -3.5), (-7e9, 2.0)):
        found = score_with([first], [second])
        assert found.fallback is None
        row = np.concatenate([own[0], np.array([first, second], dtype=np.float32)])
        assert found.margin == expected.margins(row[None])[0]


@pytest.mark.parametrize(
    "wrong",
    [[math.nan], [math.inf], [], [1.0, 2.0], np.zeros(1), "1.0"],
    ids=["nan", "inf", "none", "two", "float64", "text"],
)
def test_what_is_no_partial_score_gives_the_fallback(wrong: Any) -> None:
    assert score_with([0.5], wrong).fallback == "partner_unavailable"


SAID: dict[str, object] = {
    "nan": base64.b64encode(struct.pack("<f", math.nan)).decode(),
    "infinity": base64.b64encode(struct.pack("<f", -math.inf)).decode(),
    "double": base64.b64encode(struct.pack("<d", 1.0)).decode(),
    "nothing": "",
    "a number": 0.5,
}


@pytest.mark.parametrize("what", SAID)
def test_a_partner_that_sends_no_partial_score(tmp_path: Path, what: str) -> None:
    body = json.dumps({"partial_score": SAID[what]}).encode()

    async def ask(settings: Any) -> Score:
        directory = PartnerDirectory(settings)
        try:
            engine = build_engine(MODEL.files(), partner=directory.find)
            return (await engine.answer(APPLICANT, "Q00001", 30.0))[1]
        finally:
            await directory.close()

    with impostor(tmp_path, 200, body) as (settings, heard):
        assert asyncio.run(ask(settings)).fallback == "partner_unavailable"
    assert heard


def test_files_that_do_not_belong_together_are_refused() -> None:
    files = MODEL.files()
    first, second = files.partners
    decisions = [one.model_copy(update={"answers": "decisions"}) for one in files.partners]
    changes: list[dict[str, Any]] = [
        {"partners": (second, first)},
        {"partners": (first,)},
        {"partners": tuple(decisions)},
        {"partners": (first, decisions[1])},
        {"partners": ()},
        {"fallback": b""},
        {"fallback": files.model},
        {"fallback": vertical_model().fallback},
    ]
    for change in changes[:-1]:
        with pytest.raises(RegistryError):
            build_engine(replace(files, **change), partner=lambda *_: Told(None))
    with pytest.raises(RegistryError, match="this service has no partners"):
        build_engine(files)
    # Any model over the own columns may stand in, trees too: their points are on the joint model's scale.
    assert isinstance(build_engine(replace(files, **changes[-1]), partner=lambda *_: Told(None)), JointEngine)


def test_the_engine_is_sound_and_tries_other_values_of_the_own_fields() -> None:
    engine = build_engine(MODEL.files(), partner=lambda *_: Told(None))
    engine.check()
    found = {one.feature: one for one in alternatives(engine, APPLICANT, ["income", "late payments"])}
    assert found["income"].best_points > engine.score(APPLICANT).points
    tried = dict(found["late payments"].curve)
    assert tried["many"] < tried["one"]


def test_folder_and_registry_give_the_whole_model(tmp_path: Path) -> None:
    (tmp_path / "release.json").write_bytes(MODEL.release().to_bytes())
    server = RegistryServer()
    server.register(MODEL.release(), "1")
    server.aliases["credit", "champion"] = "1"
    server.start()
    try:
        for place in (ModelFolder(tmp_path), source(server)):
            live = LiveModels(place, build=lambda files: build_engine(files, partner=lambda *_: Told(None)))
            live.start()
            assert live.champion is not None
            assert (live.champion.sha256, live.champion.kind) == (MODEL.files().sha256, "logistic")
    finally:
        server.stop()


def test_the_models_page_shows_the_own_bins_and_of_partners_one_row() -> None:
    card = card_of(MODEL.files())
    assert card["variables"] == 4
    assert [row["feature"] for row in card["table"]] == ["income"] * 5 + ["late payments"] * 4 + ["payments", "shop"]
    assert (card["table"][-1]["woe"], card["table"][-1]["points"]) == (None, None)


def test_a_vault_keeps_the_part_and_answers_with_it(tmp_path: Path) -> None:
    part = MODEL.parts["payments"]
    store_part(tmp_path, vertical_plan("run"), part)
    assert load_part(tmp_path, part.sha256) == part
    found = PartFolder(tmp_path, SCHEMA.part_of("payments")).find(part.sha256)
    assert found == part
    assert PartFolder(tmp_path, SCHEMA.part_of("shop")).find(part.sha256) is None


def _frame() -> Any:
    import pandas as pd

    return pd.DataFrame([APPLICANT])
