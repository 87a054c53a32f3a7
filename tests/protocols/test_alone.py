"""What a bank could have done alone, grown beside the federation's model: held against plain xgboost on its own records."""

from __future__ import annotations

import numpy as np
import pytest
import xgboost
from sklearn.metrics import log_loss

from riskfed.datasets import taiwan_consortium, taiwan_schema
from riskfed.jobs import HorizontalXgboost
from riskfed.protocols import horizontal_xgboost
from riskfed.protocols.program import OwnMetrics, Program
from riskfed.protocols.records import Records
from riskfed.trees.reference import train_pooled
from tests.helpers import add_up

JOB = HorizontalXgboost(n_estimators=6, max_depth=3, max_bin=32, validation_fraction=0.2, compare_alone=True)
BANKS = {name: frame.iloc[:1500] for name, frame in list(taiwan_consortium().items())[:3]}


def overheard(program: Program[horizontal_xgboost.Trained], said: list[dict[str, float]]) -> Program[object]:
    """The program, with its own figures noted and kept back, as they are no step of the protocol."""
    answer = None
    while True:
        try:
            request = program.send(answer)
        except StopIteration as stop:
            return stop.value
        if isinstance(request, OwnMetrics):
            said.append(dict(request.metrics))
            answer = None
        else:
            answer = yield request


@pytest.fixture(scope="module")
def said() -> tuple[dict[str, list[dict[str, float]]], list[horizontal_xgboost.Trained]]:
    schema = taiwan_schema()
    figures: dict[str, list[dict[str, float]]] = {bank: [] for bank in BANKS}
    programs = [
        overheard(horizontal_xgboost.train(Records.from_frame(frame, schema), schema, JOB), figures[bank])
        for bank, frame in BANKS.items()
    ]
    return figures, add_up(programs)


@pytest.mark.parametrize("bank", BANKS)
def test_the_curves_are_those_of_xgboost_on_the_banks_own_held_out_loans(bank: str, said: tuple) -> None:
    figures, outcomes = said
    curve = [each for each in figures[bank] if "alone_logloss" in each]
    development, held_out = Records.from_frame(BANKS[bank], taiwan_schema()).hold_out(0.2, 0)
    alone = train_pooled(development.matrix, development.labels, None, outcomes[0].cuts, JOB)
    federated = xgboost.Booster(model_file=bytearray(outcomes[0].full.model))
    rows = xgboost.DMatrix(held_out.matrix, feature_names=list(taiwan_schema().columns))
    assert len(curve) == JOB.n_estimators
    for trees, figure in enumerate(curve, 1):
        for name, booster in (("alone_logloss", alone), ("federated_logloss", federated)):
            expected = log_loss(held_out.labels, booster.predict(rows, iteration_range=(0, trees)).astype(np.float64))
            assert figure[name] == pytest.approx(expected, abs=1e-6)


def test_a_bank_that_cannot_learn_alone_says_nothing() -> None:
    schema = taiwan_schema()
    frames = [frame.copy() for frame in BANKS.values()]
    frames[0]["default"] = 0
    figures: list[list[dict[str, float]]] = [[] for _ in frames]
    programs = [
        overheard(horizontal_xgboost.train(Records.from_frame(frame, schema), schema, JOB), own)
        for frame, own in zip(frames, figures, strict=True)
    ]
    add_up(programs)
    assert [any("alone_logloss" in each for each in own) for own in figures] == [False, True, True]
