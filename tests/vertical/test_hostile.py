"""What parties send each other: nothing that is to stay with one of them, and nothing malformed is taken."""

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskfed.errors import ContractError, JobError, PolicyError, RemoteProtocolError
from riskfed.jobs import VerticalXgboost
from riskfed.protocols.program import Exchange
from riskfed.protocols.vertical import messages
from riskfed.protocols.vertical.holdout import is_held_out
from riskfed.protocols.vertical.node_numbers import read_numbers, write_numbers
from riskfed.protocols.vertical_rules import VerticalRules
from riskfed.trees.joint_search import Option, PartnerColumns
from riskfed.trees.leaf_sets import LeafMask
from tests.helpers import exchange_all
from tests.vertical.setting import LENDER, numbers, taiwan


def job(**fields):
    given = {"label_holder": LENDER, "n_estimators": 2, "max_depth": 3, "max_bin": 16, "validation_fraction": 0.2}
    return VerticalXgboost(**{**given, **fields})


class Spoiled:
    """A party's program, one of whose payloads is changed."""

    def __init__(self, program, change):
        self.program, self.change = program, change

    def send(self, answer):
        request = self.program.send(answer)
        if isinstance(request, Exchange):
            payloads = {to: self.change(request.label, content) for to, content in request.payloads.items()}
            return Exchange({to: content for to, content in payloads.items() if content is not None}, request.label)
        return request


def spoil(party, label, change, nth=0, **fields):
    """A run in which a party's nth payload under a label is changed."""
    setting, seen = taiwan(job(**fields), rows=400, parties=3), []

    def changed(said, content):
        if said != label:
            return content
        seen.append(content)
        return change(content) if len(seen) > nth else content

    programs = {name: setting.program(name) for name in setting.roster}
    programs[party] = Spoiled(programs[party], changed)
    return exchange_all(programs)


GARBAGE = [
    lambda content: content[:-1],
    lambda content: content + b"\0",
    lambda _: b"",
    lambda _: b"\xff" * 40,
    lambda _: None,
]


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("change", GARBAGE)
@pytest.mark.parametrize(
    ("party", "label", "nth"),
    [
        ("shop", "vertical, opening", 0),
        ("bureau", "vertical, answer", 1),  # decisions
        (LENDER, "vertical, order", 2),  # choices
        (LENDER, "vertical, order", 4),  # nodes
    ],
)
def test_malformed_payloads_are_refused_by_the_senders_name(party, label, nth, change):
    with pytest.raises(RemoteProtocolError, match=f"{party} .*its operator must act"):
        spoil(party, label, change, nth)


@pytest.mark.usefixtures("plain")
def test_a_feature_holder_does_nothing_that_is_not_due():
    everyone = np.zeros(400, dtype=np.int16)
    held_out = int(is_held_out_rows())
    unknown = messages.Choices(((Option(200, 0, True),),), everyone)
    orders = [
        ("before any gradients", 0, messages.Nodes(everyone[held_out:], 1)),
        ("column or bin that does not exist", 2, unknown),
        ("keeps 9 splits", 0, messages.Finish(9)),
    ]
    for said, nth, order in orders:
        with pytest.raises(RemoteProtocolError, match=said):
            spoil(LENDER, "vertical, order", lambda _, order=order: order.to_bytes(), nth)


@pytest.mark.parametrize(
    ("after", "said"), [(b"F", "more than the job's 2 joint trees"), (b"C", "more than the job's 1 levels")]
)
def test_more_trees_or_levels_than_the_job_has_are_not_answered(after, said):
    everyone = np.zeros(400 - int(is_held_out_rows()), dtype=np.int16)
    replayed = {b"C": messages.Nodes(everyone, 1).to_bytes()}

    def change(content):
        replayed.setdefault(b"F", content)  # the first order: a tree's gradients
        return replayed[after] if content[:1] == after else content

    with pytest.raises(RemoteProtocolError, match=said):
        spoil(LENDER, "vertical, order", change, max_depth=1)


def is_held_out_rows():
    """How many of the 400 customers are held out."""
    setting = taiwan(job(), rows=400)
    return is_held_out(setting.records[LENDER].ids, 0.2, 0).sum()


@pytest.mark.usefixtures("plain")
def test_nodes_with_too_few_rows_are_not_answered():
    fields = {"min_child_weight": 5.0, "least_node": 20}
    rows = 400 - int(is_held_out_rows())
    few = np.full(rows, -1, dtype=np.int16)
    few[:19] = 0
    with pytest.raises(PolicyError, match="min_node") as caught:
        spoil(LENDER, "vertical, order", lambda _: messages.Nodes(few, 1).to_bytes(), nth=4, **fields)
    assert caught.value.rule == "min_node"
    taiwan(job(**fields), rows=400).run()  # an honest label holder never asks for one


@pytest.mark.usefixtures("plain")
def test_a_policy_that_the_job_cannot_keep_refuses_it_at_once():
    setting = taiwan(job(min_child_weight=1.0), rows=400)
    with pytest.raises(PolicyError, match="min_child_weight of 1 only guarantees 4"):
        next(setting.program("partner", rules=VerticalRules(least_node=20)))
    with pytest.raises(JobError, match="needs a min_child_weight of at least 15"):
        job(least_node=20, scale_pos_weight=3)
    job(least_node=20, scale_pos_weight=3, min_child_weight=15)


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("scale_pos_weight", [1.0, 4.0])
def test_min_child_weight_keeps_asked_nodes_large(scale_pos_weight):
    """Nodes that are asked for have as many rows as the bound promises, and the bound is not idle."""
    setting, smallest = taiwan(job(max_depth=6, min_child_weight=6, scale_pos_weight=scale_pos_weight), rows=2000), []

    def heard(party, request):
        for content in request.payloads.values() if isinstance(request, Exchange) and party == LENDER else ():
            if content[:1] == b"N":
                rows = int.from_bytes(content[3:7], "big")
                found, nodes = read_numbers(content[1:], rows, LENDER)
                smallest.append(np.bincount(found[found >= 0], minlength=nodes).min())

    setting.run(heard)
    assert min(smallest) >= setting.job.rows_of_smallest_node
    assert min(smallest) < 10 * setting.job.rows_of_smallest_node


@pytest.mark.usefixtures("plain")
def test_feature_holders_thresholds_and_the_lenders_columns_stay_where_they_are():
    setting, sent = taiwan(job(answers="leaf_sets"), rows=1500, parties=3), {}
    outcomes = setting.run(
        lambda party, r: sent.setdefault(party, []).extend(r.payloads.values()) if isinstance(r, Exchange) else None
    )
    names = {name: [f.name.encode() for f in setting.schema.part_of(name).features] for name in setting.roster}
    everything = b"".join(content for some in sent.values() for content in some)
    assert not any(name in everything for some in names.values() for name in some)
    for party in ("bureau", "shop"):
        said = b"".join(sent[party])
        for rule in outcomes[party].part.rules:
            if abs(rule.threshold) > 100:  # shorter numbers stand everywhere by chance
                assert repr(rule.threshold).encode() not in said
                assert np.float32(rule.threshold).tobytes() not in said
    # What the label holder says besides gradients does not depend on its own columns' names, cuts or thresholds.
    own = outcomes[LENDER].cuts
    orders = b"".join(content for content in sent[LENDER] if content[:1] != b"G")
    for points in own.values:
        for point in points[np.abs(points) > 100]:
            assert point.tobytes() not in orders


def test_gradients_leave_encrypted_and_two_runs_share_no_ciphertext(monkeypatch):
    from riskfed.secure import paillier_key

    monkeypatch.setattr(paillier_key, "MINIMUM_KEY_BITS", 512)
    setting, sent = (
        taiwan(job(n_estimators=1, max_depth=1, rows_per_ciphertext=1, validation_fraction=0.0), rows=60),
        [],
    )
    for _ in range(2):
        programs = {
            LENDER: setting.program(LENDER, key_bits=512),
            "partner": setting.program("partner", rules=VerticalRules(least_key_bits=512)),
        }
        exchange_all(programs, lambda p, r: sent.extend(r.payloads.values()) if isinstance(r, Exchange) else None)
    gradients = [content[17:] for content in sent if content[:1] == b"G"]
    assert len(gradients) == 2
    chunks = [{content[at : at + 64] for at in range(64, len(content), 128)} for content in gradients]
    assert not chunks[0] & chunks[1]
    labels = setting.records[LENDER].labels
    assert labels.tobytes() not in b"".join(sent)
    assert np.packbits(labels != 0).tobytes() not in b"".join(sent)


@pytest.mark.usefixtures("plain")
def test_bins_are_merged_until_each_has_enough_rows_and_thin_missing_values_leave_a_column_out():
    rng = np.random.default_rng(0)
    matrix = np.exp(rng.normal(0, 2, size=(600, 6))).astype(np.float32)
    matrix[:, 4] = rng.random(600) < 0.03
    labels = matrix[:, 0] * matrix[:, 3] * matrix[:, 5] > 1
    matrix[:3, 5], matrix[:200, 3] = np.nan, np.nan
    setting = numbers(matrix, labels, (2, 4), job(least_bin=50, max_bin=64, validation_fraction=0.0))
    outcome = setting.run()["p1"]
    records, _ = setting.joined_records()
    at = [setting.schema.joined_columns.index(name) for name in outcome.cuts.feature_names]
    for column, points in zip(records.matrix[:, at].T, outcome.cuts.values, strict=True):
        values = column[~np.isnan(column)]
        counts = np.bincount(
            np.minimum(np.searchsorted(points, values, "right"), len(points) - 1), minlength=len(points)
        )
        assert counts.min() >= 50 or len(points) == 1
        assert (values < points[-1]).all()
    assert outcome.left_out == ("f5",)
    assert not any(rule.column == "f5" for rule in outcome.part.rules)
    assert outcome.cuts.n_bins.tolist()[2] == 1  # f4 has too few ones
    assert {rule.column for rule in outcome.part.rules} <= {"f2", "f3"}


@pytest.mark.usefixtures("plain")
def test_a_schema_of_other_parties_is_refused():
    setting = taiwan(job(), rows=400)
    with pytest.raises(ContractError, match="the schema's parties are lender, partner"):
        next(setting.program(LENDER, roster=("lender", "shop")))
    setting.job = job(label_holder="partner")
    with pytest.raises(ContractError, match="label holder lender"):
        next(setting.program("partner"))


@given(st.lists(st.integers(-1, 300), min_size=1, max_size=200))
def test_node_numbers_come_back(some):
    present = sorted({number for number in some if number >= 0})
    given_numbers = np.array([present.index(number) if number >= 0 else -1 for number in some], dtype=np.int16)
    found, nodes = read_numbers(write_numbers(given_numbers, len(present)), len(some), "x")
    assert (found == given_numbers).all()
    assert nodes == len(present)


@given(st.binary(max_size=60), st.integers(0, 40))
def test_no_bytes_bring_a_reader_out_of_step(data, rows):
    for read in [
        lambda: messages.read_order(data, rows, rows // 2, "x"),
        lambda: messages.read_decisions(data, rows % 5, rows, "x"),
        lambda: messages.read_columns(data, 3, "x"),
        lambda: messages.PartStatement.from_bytes(data, "x"),
        lambda: read_numbers(data, rows, "x"),
    ]:
        with contextlib.suppress(RemoteProtocolError):
            read()


def test_orders_come_back():
    orders = [
        messages.Gradients(bytes(16), b"abc"),
        messages.Finish(2, (LeafMask(0, 3, 0, 1, 2), LeafMask(0, 3, 0, 2, 3))),
        messages.Finish(0),
    ]
    for order in orders:
        assert messages.read_order(order.to_bytes(), 4, 4, "x") == order
    columns = PartnerColumns("x", np.array([1, 256]), np.array([-1, 1], dtype=np.int8))
    assert messages.read_columns(messages.write_columns(columns), 2, "x").n_bins.tolist() == [1, 256]


def test_every_party_holds_out_the_same_customers():
    ids = np.array([f"c{i}".encode() for i in range(5000)])
    held_out = is_held_out(ids, 0.3, 1)
    assert abs(held_out.mean() - 0.3) < 0.03
    order = np.random.default_rng(0).permutation(5000)
    assert (is_held_out(ids[order].astype("S20"), 0.3, 1) == held_out[order]).all()
    assert (is_held_out(ids, 0.3, 2) != held_out).any()
    assert not is_held_out(ids, 0.0, 1).any()
