"""Vertical logistic regression against the same descent on the joined table, and what parties keep of it."""

import json

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from riskfed.errors import JobError
from riskfed.protocols.program import Checkpoint, Exchange, Progress, Release, Witness
from tests.helpers import exchange_all
from tests.protocols.logistic_setting import COORDINATOR, coefficients_of, job, taiwan, without_cryptography
from tests.vertical.setting import LENDER

CUBIC = {"sigmoid": "cubic", "rows_per_ciphertext": 1, "learning_rate": 0.1}


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    """The cipher hides nothing; `test_vertical_logistic_hostile` has runs with it."""
    without_cryptography(monkeypatch)


@pytest.mark.parametrize(
    ("fields", "partners"),
    [({}, 1), ({"inputs": "standardised"}, 1), (CUBIC, 1), ({"l2": 0.01, "momentum": 0.0}, 2)],
    ids=["taylor", "standardised", "cubic", "two feature holders"],
)
def test_coefficients_and_losses_are_those_of_the_joined_table(fields, partners):
    setting = taiwan(job(**fields), partners=partners)
    outcomes = setting.run()
    plain = setting.plain_descent()[0]
    assert np.abs(coefficients_of(outcomes) - [plain.intercept, *plain.coefficients]).max() < 1e-6
    assert np.abs(np.array(outcomes[LENDER].losses) - plain.losses).max() < 1e-6
    assert plain.losses[-1] < plain.losses[0]


def test_enough_epochs_rank_as_maximum_likelihood_does():
    setting = taiwan(job(epochs=12, batch_size=256), rows=1500)
    outcomes = setting.run()
    _, design, whole, learned = setting.plain_descent()
    exact = LogisticRegression(C=1e6).fit(design[learned], whole.labels[learned])
    expected = roc_auc_score(whole.labels[~learned], exact.decision_function(design[~learned]))
    metrics = outcomes[LENDER].release.metrics
    assert metrics["auc"] == pytest.approx(expected, abs=0.02)
    assert metrics["auc"] > metrics["auc_label_holder_alone"] + 0.05
    assert metrics["rows"] == (~learned).sum()


def test_figures_are_those_of_both_sides_scores():
    setting = taiwan(job())
    outcomes = setting.run()
    _, design, whole, learned = setting.plain_descent()
    scores = coefficients_of(outcomes)[0] + design[~learned] @ coefficients_of(outcomes)[1:]
    assert outcomes[LENDER].release.metrics["auc"] == pytest.approx(roc_auc_score(whole.labels[~learned], scores))
    pds = 1 / (1 + np.exp(-scores))
    brier = np.mean((pds - whole.labels[~learned]) ** 2)
    assert outcomes[LENDER].release.metrics["brier"] == pytest.approx(brier, abs=1e-6)
    evaluation = outcomes[LENDER].release.evaluation
    assert evaluation.population.development_rows == learned.sum()
    assert evaluation.score_shift.index is None


def test_every_party_agrees_to_the_release_and_the_loss_is_told_epoch_by_epoch():
    requests = []
    outcomes = taiwan(job(), partners=2).run(lambda name, request: requests.append((name, request)))
    leader = outcomes[LENDER]
    assert [(name, r.step, dict(r.metrics)) for name, r in requests if isinstance(r, Progress)] == [
        (LENDER, number, {"logloss_taylor": loss}) for number, loss in enumerate(leader.losses, 1)
    ]
    (content,) = [r.result for _, r in requests if isinstance(r, Release)]
    assert content == leader.release.to_bytes()
    witnessed = {name: r.sha256 for name, r in requests if isinstance(r, Witness)}
    assert set(witnessed) == {"bureau", "shop", COORDINATOR}
    assert set(witnessed.values()) == {outcomes["shop"].release_sha256}
    references = {partner.party: partner for partner in leader.full.partners}
    for name in ("bureau", "shop"):
        assert references[name].sha256 == outcomes[name].part.sha256
        assert references[name].answers == "partial_score"


@pytest.mark.parametrize("form", ["reduced", "withheld"])
def test_other_forms_of_release(form):
    leader = taiwan(job(release=form), rows=500).run()[LENDER]
    assert leader.release.form == form
    assert bool(leader.release.model) == bool(leader.release.fallback) == (form == "reduced")
    assert leader.release.model_sha256 == leader.full.model_sha256


def test_an_epoch_that_betters_the_loss_by_less_than_the_tolerance_is_the_last():
    setting = taiwan(job(epochs=30, tolerance=0.003, learning_rate=0.1, momentum=0.0), rows=500)
    losses = setting.run()[LENDER].losses
    gains = -np.diff(losses)
    assert 2 <= len(losses) < 30
    assert gains[-1] < 0.003 <= gains[:-1].min(initial=1)


def run_until(setting, exchanges, journals):
    """Run until so many exchanges are done; each party's checkpoints go to its journal."""
    programs = {name: setting.program(name, journals.get(name)) for name in setting.everybody}
    counted = [0]

    def heard(name, request):
        if isinstance(request, Checkpoint):
            journals.setdefault(name, []).append(request.entry)
        if isinstance(request, Exchange) and name == LENDER:
            counted[0] += 1
            if counted[0] > exchanges:
                raise ConnectionError

    return exchange_all(programs, heard)


@pytest.mark.parametrize("inputs", ["woe", "standardised"])
def test_a_resumed_run_goes_on_and_gives_the_same_coefficients(inputs):
    setting = taiwan(job(inputs=inputs), rows=500)
    whole, journals = setting.run(), {}
    with pytest.raises(ConnectionError):
        run_until(setting, 30, journals)
    begun = len(journals[LENDER]) - 1
    assert 0 < begun < 4
    journals["bureau"].pop()  # lost more than the others
    requests = []
    programs = {name: setting.program(name, journals.get(name, [])) for name in setting.everybody}
    resumed = exchange_all(programs, lambda name, request: requests.append(request))
    assert len([request for request in requests if isinstance(request, Progress)]) == 4 - (begun - 1)
    assert coefficients_of(resumed).tolist() == coefficients_of(whole).tolist()
    assert resumed[LENDER].losses == whole[LENDER].losses
    salts = [json.loads(journals["bureau"][0])["salt"], resumed["bureau"].part.salt]
    assert salts[0] == salts[1]


def test_constant_columns_are_left_out_and_a_partner_without_others_refuses():
    setting = taiwan(job(inputs="standardised"))
    setting.records["bureau"].columns[0] = 1.0
    outcomes = setting.run()
    assert outcomes["bureau"].left_out == ("pay_0",)
    setting.records["bureau"].columns[:] = 1.0
    with pytest.raises(JobError, match="no feature of bureau"):
        setting.run()
