"""What comes of a run besides the trees: figures, the release, losses and resumption, real cryptography."""

import hashlib
import json

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from riskfed.errors import ConfigurationError, ContractError
from riskfed.jobs import VerticalXgboost
from riskfed.protocols.program import Checkpoint, Exchange, Progress, Release, Witness
from riskfed.protocols.release import ModelRelease
from riskfed.protocols.vertical_rules import VerticalRules
from riskfed.scoring import read_model
from riskfed.secure import paillier_key
from riskfed.trees.booster_json import parse_booster
from tests.helpers import exchange_all
from tests.vertical.setting import LENDER, taiwan


def job(**fields):
    given = {"label_holder": LENDER, "n_estimators": 4, "max_depth": 3, "max_bin": 32, "validation_fraction": 0.25}
    return VerticalXgboost(**{**given, **fields})


@pytest.mark.usefixtures("plain")
def test_figures_are_those_of_the_model_on_the_held_out_rows():
    setting = taiwan(job(), parties=3)
    outcomes = setting.run()
    metrics = outcomes[LENDER].release.metrics
    _, watched = setting.joined_records()
    import xgboost

    matrix = xgboost.DMatrix(watched.matrix, feature_names=list(setting.schema.joined_columns))
    pds = setting.reference(outcomes).predict(matrix)
    assert metrics["auc"] == pytest.approx(roc_auc_score(watched.labels, pds), abs=1e-12)
    assert metrics["logloss"] == pytest.approx(log_loss(watched.labels, pds.astype(np.float64)), abs=1e-9)
    assert metrics["rows"] == len(watched)
    assert outcomes[LENDER].release.history[-1]["logloss"] == pytest.approx(metrics["logloss"], abs=1e-12)
    own = setting.schema.part_of(LENDER)
    alone = read_model(outcomes[LENDER].release.fallback, own).pd(watched.matrix[:, : len(own.columns)])
    assert metrics["auc_label_holder_alone"] == pytest.approx(roc_auc_score(watched.labels, alone), abs=1e-12)
    assert metrics["auc"] > metrics["auc_label_holder_alone"]
    reasons = {reason.feature for reason in outcomes[LENDER].release.evaluation.reasons}
    assert {"bureau", "shop"} <= reasons | {"shop"}


@pytest.mark.usefixtures("plain")
def test_every_party_agrees_to_the_release_and_progress_is_told_tree_by_tree():
    setting, heard = taiwan(job(), rows=1500, parties=3), []
    outcomes = setting.run(lambda party, request: heard.append((party, request)))
    (content,) = [request.result for _, request in heard if isinstance(request, Release)]
    witnessed = {party: request.sha256 for party, request in heard if isinstance(request, Witness)}
    digest = hashlib.sha256(content).hexdigest()
    assert witnessed == {"bureau": digest, "shop": digest}
    assert [outcomes[name].release_sha256 for name in witnessed] == [digest] * 2
    assert ModelRelease.from_bytes(content) == outcomes[LENDER].release
    told = [(party, request.step) for party, request in heard if isinstance(request, Progress)]
    assert told == [(LENDER, tree) for tree in range(1, 5)]


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("form", ["reduced", "withheld"])
def test_other_forms_of_release_tell_less(form):
    outcomes = taiwan(job(release=form), rows=1500).run()
    release, full = outcomes[LENDER].release, outcomes[LENDER].full
    assert (release.form, release.model_sha256, release.partners) == (form, full.model_sha256, full.partners)
    if form == "withheld":
        assert (release.model, release.fallback) == (b"", b"")
    else:
        for content, whole in [(release.model, full.model), (release.fallback, full.fallback)]:
            trees, before = parse_booster(content).trees, parse_booster(whole).trees
            assert not any(tree.loss_changes.any() for tree in trees)
            assert all(
                np.array_equal(a.split_conditions, b.split_conditions) for a, b in zip(trees, before, strict=True)
            )


class LostError(Exception):
    """A party goes."""


def run_until(setting, exchanges, journals):
    """Begin a run, and lose all parties after so many exchanges; whether it was complete before."""
    seen = []

    def heard(party, request):
        if isinstance(request, Checkpoint):
            journals[party].append(request.entry)
        if party == LENDER and isinstance(request, Exchange):
            seen.append(request)
            if len(seen) > exchanges:
                raise LostError

    first = not any(journals.values())
    programs = {name: setting.program(name, journal=None if first else list(journals[name])) for name in setting.roster}
    try:
        return exchange_all(programs, heard)
    except LostError:
        return None


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize(
    "fields", [{}, {"label_holder_trees": 1}, {"early_stopping_rounds": 1, "n_estimators": 30, "eta": 1}]
)
def test_resumed_after_any_exchange_the_model_is_the_same_bytes(fields):
    setting = taiwan(job(max_depth=2, **fields), rows=800, parties=3)
    uninterrupted = setting.run()
    whole = uninterrupted[LENDER].release
    for exchanges in range(2 + len(fields), 100, 3):
        journals = {name: [] for name in setting.roster}
        if run_until(setting, exchanges, journals) is not None:
            break
        run_until(setting, exchanges // 2 + 3, journals)  # lost again, before or after it was as far
        outcomes = run_until(setting, 1000, journals)
        release = outcomes[LENDER].release
        assert (release.model, release.fallback, release.metrics) == (whole.model, whole.fallback, whole.metrics)
        assert setting.joined(outcomes) == setting.joined(uninterrupted)
    assert exchanges > 20


@pytest.mark.usefixtures("plain")
def test_a_resumed_run_goes_on_and_does_not_begin_anew():
    setting = taiwan(job(), rows=800)
    journals = {name: [] for name in setting.roster}
    run_until(setting, 40, journals)
    trees = sum(b'"mark"' in entry for entry in journals[LENDER])
    assert 0 < trees < 4
    counted = []
    setting_run = {name: setting.program(name, journal=journals[name]) for name in setting.roster}
    exchange_all(setting_run, lambda party, request: counted.append(request))
    begun = [r for r in counted if isinstance(r, Exchange) and any(p[:1] == b"G" for p in r.payloads.values())]
    assert len(begun) == 4 - trees


@pytest.mark.usefixtures("plain")
def test_a_journal_of_other_records_and_a_damaged_one_are_refused():
    setting = taiwan(job(), rows=800)
    journals = {name: [] for name in setting.roster}
    run_until(setting, 30, journals)
    for party in setting.roster:
        changed = taiwan(job(), rows=800)
        changed.records[party].columns[0, 0] += 1
        changed.records[party]._known_digest.clear()
        with pytest.raises(ContractError, match="no longer those"):
            exchange_all({name: changed.program(name, journal=journals[name]) for name in setting.roster})
        for damage in [b"{", b'{"number":7,"mark":""}', json.dumps({"alignment": 1}).encode()]:
            damaged = {**journals, party: [*journals[party], damage]}
            with pytest.raises(ConfigurationError, match="damaged"):
                exchange_all({name: setting.program(name, journal=damaged[name]) for name in setting.roster})


@pytest.mark.usefixtures("plain")
def test_a_journal_of_another_alignment_counts_for_nothing():
    setting = taiwan(job(), rows=800)
    journals = {name: [] for name in setting.roster}
    run_until(setting, 30, journals)
    entries = [entry.replace(b"abab", b"cdcd") for entry in journals["partner"]]
    assert entries != journals["partner"]
    outcomes = exchange_all(
        {LENDER: setting.program(LENDER, journals[LENDER]), "partner": setting.program("partner", entries)}
    )
    setting.assert_identical(outcomes)


@pytest.mark.parametrize(("parties", "rows"), [(2, 1), (3, 2)])
def test_with_real_ciphertexts_the_model_is_the_same(monkeypatch, parties, rows):
    monkeypatch.setattr(paillier_key, "MINIMUM_KEY_BITS", 512)
    setting = taiwan(job(n_estimators=2, max_bin=8, rows_per_ciphertext=rows), rows=500, parties=parties)
    programs = {
        name: setting.program(
            name, rules=VerticalRules(least_key_bits=512), **({"key_bits": 1024} if name == LENDER else {})
        )
        for name in setting.roster
    }
    outcomes = exchange_all(programs)
    setting.assert_identical(outcomes)
