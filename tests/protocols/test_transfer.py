"""Federated transfer learning as a run: equal to the plain descent, what is measured and released, what is refused, what is said."""

import functools
import hashlib
import itertools
import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from riskfed.customer_id import CustomerId
from riskfed.errors import ContractError, JobError, PolicyError, ProtectionError, RemoteProtocolError
from riskfed.jobs import FederatedTransfer
from riskfed.linear.encoders import LabelSide, TargetSide
from riskfed.linear.transfer_model import TransferModel, TransferScorer
from riskfed.linear.transfer_reference import JointRecords, train_in_plain
from riskfed.protocols.alignment import Alignment
from riskfed.protocols.program import Exchange, Release, Witness
from riskfed.protocols.records import Records
from riskfed.protocols.release import ModelRelease
from riskfed.protocols.transfer import encrypted_descent, label_holder, target
from riskfed.protocols.transfer.customers import Customers
from riskfed.protocols.transfer.messages import Lesson, Scores, join_messages, split_messages
from riskfed.protocols.vertical.holdout import is_held_out
from riskfed.protocols.vertical.place import Place
from riskfed.protocols.vertical_rules import VerticalRules
from riskfed.schema import Feature, Schema
from riskfed.secure import paillier_key
from riskfed.simulation.transfer import simulate_transfer
from tests.helpers import exchange_all

ID = CustomerId(column="id", normalise=("strip",))
ROSTER = ("bank", "shop")
KEY_BITS = 768


def job(**fields):
    given = {"dimensions": 2, "iterations": 2, "rows_per_ciphertext": 2, "validation_fraction": 0.4, "least_cell": 5}
    return FederatedTransfer(**{"label_holder": "bank", "target": "shop", **given, **fields})


class Setting:
    """Two parties with two columns each; of 120 and 100 customers, 60 are common."""

    def __init__(self, job, weight=None):
        rng = np.random.default_rng(0)
        table = pd.DataFrame(rng.normal(size=(160, 4)).astype(np.float32), columns=list("abcd"))
        table.loc[5:9, "c"] = np.nan
        table["y"] = (table["a"] + table["d"] + rng.normal(size=160) > 0.5).astype(int)
        table["id"], table["w"] = [f"{i:04d}" for i in range(160)], 1.0
        joint = Schema(target="y", features=tuple(Feature(name=name) for name in "abcd"), weight=weight)
        self.job = job
        self.schema = Schema.vertical(joint, {"bank": ("a", "b"), "shop": ("c", "d")}, "bank", ID)
        self.frames = {"bank": table.iloc[:120].drop(columns=["c", "d"]), "shop": table.iloc[60:][["id", "c", "d"]]}
        self.records = {p: Records.from_frame(self.frames[p], self.schema.part_of(p)) for p in ROSTER}
        self.common = ID.normalised(table["id"])[rng.permutation(np.arange(60, 120))]

    def program(self, party, **options):
        kept = Alignment(self.common, "ab" * 32).to_bytes()
        place = {"kept": kept, "key_bits": KEY_BITS, "rules": VerticalRules(least_key_bits=KEY_BITS), **options}
        module = label_holder if party == "bank" else target
        return module.train(self.records[party], self.schema, self.job, Place(party, ROSTER, **place))

    def run(self, heard=lambda *_: None):
        return exchange_all({party: self.program(party) for party in ROSTER}, heard)

    def in_plain(self):
        """What nobody has: both parties' records, split and joined with pandas alone."""
        out = lambda ids: is_held_out(ids, self.job.validation_fraction, self.job.validation_seed)  # noqa: E731
        kept = {p: self.records[p].where(~out(self.records[p].ids)) for p in ROSTER}
        learned = self.common[~out(self.common)]
        rows = [[kept[p].ids.tolist().index(one) for p in ROSTER] for one in learned.tolist()]
        records = JointRecords(kept["bank"].matrix, kept["bank"].labels, kept["shop"].matrix, np.array(rows))
        return train_in_plain(records, ("c", "d"), self.job)


@functools.cache
def made_keys():
    return [paillier_key.generate_paillier_key(KEY_BITS) for _ in ROSTER]


def with_short_keys(patch):
    """Two keys for all runs; to make new ones each time takes most of a test."""
    patch.setattr(paillier_key, "MINIMUM_KEY_BITS", 512)
    keys = itertools.cycle(made_keys())
    patch.setattr(encrypted_descent, "generate_paillier_key", lambda bits: next(keys))


@pytest.fixture(autouse=True)
def _short_keys(monkeypatch):
    with_short_keys(monkeypatch)


@pytest.fixture(scope="module")
def ran():
    """One run with real ciphertexts: the setting, the outcomes, and all that was said."""
    with pytest.MonkeyPatch.context() as patch:
        with_short_keys(patch)
        setting, heard = Setting(job()), []
        outcomes = setting.run(lambda party, request: heard.append((party, request)))
    return setting, outcomes, heard


def test_the_model_is_that_of_the_plain_descent_byte_for_byte(ran):
    setting, outcomes, _ = ran
    assert outcomes["shop"].full.model == setting.in_plain().to_bytes()


def test_figures_are_those_of_the_held_out_common_customers(ran):
    setting, outcomes, _ = ran
    out = is_held_out(setting.common, 0.4, 0)
    ids = [one.decode() for one in setting.common[out].tolist()]
    rows = {party: frame.set_index("id").loc[ids] for party, frame in setting.frames.items()}
    scorer = TransferScorer(TransferModel.from_bytes(outcomes["shop"].full.model), setting.schema.part_of("shop"))
    pds = scorer.pd(rows["shop"][["c", "d"]].to_numpy(np.float32))
    metrics = outcomes["bank"].release.metrics
    assert metrics["auc"] == pytest.approx(roc_auc_score(rows["bank"]["y"], pds), abs=1e-12)
    assert metrics["auc_low"] < metrics["auc"] < metrics["auc_high"]
    assert metrics["rows"] == out.sum()
    assert metrics["brier"] == pytest.approx(np.mean((pds - rows["bank"]["y"]) ** 2), abs=1e-6)


def test_the_release_names_the_model_and_does_not_hold_it(ran):
    _, outcomes, heard = ran
    (content,) = [request.result for _, request in heard if isinstance(request, Release)]
    release, kept = ModelRelease.from_bytes(content), outcomes["shop"].full
    assert release == outcomes["bank"].release == outcomes["bank"].full
    assert (release.form, release.model, release.kind) == ("withheld", b"", "federated_transfer")
    assert release.model_sha256 == hashlib.sha256(kept.model).hexdigest()
    assert kept.withheld() == release
    assert all(goods + bads > 4 for _, goods, bads in release.score_cells)
    (witnessed,) = [request.sha256 for party, request in heard if isinstance(request, Witness) and party == "shop"]
    assert witnessed == outcomes["shop"].release_sha256 == hashlib.sha256(content).hexdigest()


def test_neither_sides_messages_hold_places_terms_or_labels_in_plain(ran):
    setting, outcomes, heard = ran
    said = {party: b"" for party in ROSTER}
    for party, request in heard:
        if isinstance(request, Exchange):
            said[party] += b"".join(request.payloads.values())
    everything = b"".join(said.values())
    for party in ROSTER:
        customers = Customers.of(
            setting.records[party], Alignment(setting.common, "ab" * 32), setting.schema, setting.job
        )
        inputs, own = customers.common_inputs(), customers.own
        side = (
            LabelSide(customers.inputs(), own.labels, customers.common, setting.job)
            if party == "bank"
            else TargetSide(inputs, setting.job)
        )
        for values in (side.terms(), side.terms().byteswap(), inputs, own.labels, own.columns):
            for chunk in (values[:4], values[-4:], np.ascontiguousarray(values.T)[:4]):
                assert chunk.tobytes() not in everything
    weights = json.loads(outcomes["shop"].full.model)["weights"]
    assert np.array(weights[:2]).tobytes() not in everything
    assert json.dumps(weights[0]).encode() not in everything


def test_no_ciphertext_or_question_is_said_twice(ran):
    _, _, heard = ran
    size, seen = KEY_BITS // 4, set()
    for _, request in heard:
        if isinstance(request, Exchange) and request.label in {encrypted_descent.TERMS, encrypted_descent.QUESTIONS}:
            for payload in request.payloads.values():
                for message in split_messages(payload, 2, "anybody"):
                    chunks = [message[at : at + size] for at in range(len(message) % size, len(message), size)]
                    assert not seen & set(chunks)
                    seen |= set(chunks)
    assert len(seen) > 50


def test_the_shop_opens_as_many_sums_as_the_bank_has_inputs_and_no_more(monkeypatch):
    setting, asked = Setting(job(iterations=1)), []
    widened = lambda side: np.concatenate([real(side)] * 2, axis=2)  # noqa: E731
    real = label_holder.LabelSide.weights
    monkeypatch.setattr(label_holder.LabelSide, "weights", lambda side: asked.append(1) or widened(side))
    with pytest.raises(RemoteProtocolError, match=r"bank asks for 10 sums .* 5 inputs"):
        setting.run()
    assert asked


@pytest.mark.parametrize(
    ("label", "sender", "change", "match"),
    [
        (encrypted_descent.KEYS, "bank", lambda data: data[:-1], "public key"),
        (encrypted_descent.TERMS, "bank", lambda data: data[:-1], "each of 2 dimensions"),
        (encrypted_descent.QUESTIONS, "shop", lambda data: join_messages([b"", b""]), "malformed"),
        (encrypted_descent.SUMS, "bank", lambda data: data + b"\0", "each of 2 dimensions"),
        (label_holder.RELEASED, "bank", lambda data: b"{}", "released result is malformed"),
    ],
)
def test_what_is_malformed_ends_the_run(label, sender, change, match):
    def spoiled(program):
        answer = None
        while True:
            try:
                request = program.send(answer)
            except StopIteration as stop:
                return stop.value
            if isinstance(request, Exchange) and request.label == label and request.payloads:
                request = Exchange({to: change(data) for to, data in request.payloads.items()}, label)
            answer = yield request

    setting = Setting(job(iterations=1))
    programs = {party: setting.program(party) for party in ROSTER}
    programs[sender] = spoiled(programs[sender])
    with pytest.raises(RemoteProtocolError, match=match):
        exchange_all(programs)


def test_a_target_does_not_agree_to_a_release_of_another_model():
    setting = Setting(job(iterations=1))
    honest = setting.run()["bank"].release
    stated = Scores("0" * 64, np.zeros(1, dtype=np.float32))
    with pytest.raises(RemoteProtocolError, match="something else"):
        target._checked(honest.to_bytes(), stated, setting.schema.part_of("shop"), "bank")


def test_too_short_a_key_of_the_partner_is_refused():
    setting = Setting(job())
    programs = {
        "bank": setting.program("bank"),
        "shop": setting.program("shop", rules=VerticalRules(least_key_bits=1024)),
    }
    with pytest.raises(ProtectionError, match="1024"):
        exchange_all(programs)


def test_what_does_not_suit_the_job_is_refused_before_anything_is_sent():
    with pytest.raises(JobError, match="left to learn from"):
        Setting(job(validation_fraction=0.9)).run()
    with pytest.raises(JobError, match="least_cell"):
        Setting(job(least_cell=100)).run()
    with pytest.raises(JobError, match="must be withheld"):
        job(release="full")
    with pytest.raises(ContractError, match="sample weights"):
        Setting(job(), weight="w").run()
    with pytest.raises(ContractError, match="label holder"):
        Setting(job(label_holder="shop", target="bank")).run()
    setting, strict = Setting(job()), VerticalRules(least_common=1000)
    with pytest.raises(PolicyError, match="common"):
        exchange_all({party: setting.program(party, rules=strict) for party in ROSTER})


def test_too_few_held_out_customers_are_not_measured():
    outcomes = Setting(job(iterations=1, least_cell=28, validation_fraction=0.3)).run()
    assert outcomes["bank"].release.metrics == {} == outcomes["shop"].full.metrics
    assert outcomes["bank"].release.score_cells == []


@pytest.mark.parametrize(
    "data", [b"[[2.0, 0.0], 0.5]", b"[[0.5], 0.5]", b"[[NaN, 0.1], 0.5]", b"[[0.1, 0.1], 1.0]", b"[[1, 0], 0.5]", b"7"]
)
def test_what_is_no_lesson_is_refused(data):
    with pytest.raises(RemoteProtocolError, match="bank did not say what default looks like in 2 dimensions"):
        Lesson.from_bytes(data, 2, "bank")


@pytest.mark.parametrize("change", [lambda data: data[:-4], lambda data: data[:-4] + np.float32("nan").tobytes()])
def test_what_are_no_scores_is_refused(change):
    data = Scores("ab" * 32, np.zeros(3, dtype=np.float32)).to_bytes()
    assert Scores.from_bytes(data, 3, "shop").model_sha256 == "ab" * 32
    with pytest.raises(RemoteProtocolError, match="scores of 3 held-out customers"):
        Scores.from_bytes(change(data), 3, "shop")


@pytest.mark.parametrize(
    "data", [join_messages([b"a"]), join_messages([b"a", b"b"]) + b"c", join_messages([b"a", b"b"])[:-1], b""]
)
def test_what_are_not_so_many_messages_is_refused(data):
    with pytest.raises(RemoteProtocolError, match="each of 2 dimensions"):
        split_messages(data, 2, "shop")


def test_messages_are_read_back():
    assert split_messages(join_messages([b"one", b"", b"three"]), 3, "x") == [b"one", b"", b"three"]
    lesson = Lesson(np.array([0.1, -1.0, 1 / 3]), 0.22)
    again = Lesson.from_bytes(lesson.to_bytes(), 3, "x")
    assert again.direction.tobytes() == lesson.direction.tobytes()
    assert again.base_rate == lesson.base_rate


@pytest.mark.slow
def test_with_envelopes_and_an_alignment_of_its_own_the_model_is_the_same():
    setting = Setting(job(iterations=1))
    result = simulate_transfer(setting.frames, setting.schema, setting.job, key_bits=KEY_BITS)
    assert result.common == 60
    assert result.full.model == setting.in_plain().to_bytes()
    assert result.metrics["rows"] == is_held_out(setting.common, 0.4, 0).sum()
