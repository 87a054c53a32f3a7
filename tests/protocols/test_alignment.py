"""All parties end with the same customers in the same order, and what they told each other holds no id in any form."""

from __future__ import annotations

import base64
import hashlib
import sys
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riskfed.errors import ConfigurationError, ContractError, PolicyError
from riskfed.jobs import VerticalXgboost
from riskfed.protocols.alignment import MOST_EXCHANGES, Alignment, align
from riskfed.protocols.local import LocalSwitchboard
from riskfed.protocols.program import Exchange, Keep, Program, Progress, Release, SharedSecret, Witness
from riskfed.protocols.release import ModelRelease
from riskfed.protocols.switchboard import Switchboard
from riskfed.schema import Feature, Schema
from riskfed.secure import intersection_items
from riskfed.secure.intersection_items import MOST_ITEMS, AlignmentKeys, Buckets, Items
from riskfed.secure.private_set_intersection import POINT_BYTES, split_points
from tests.helpers import parties_for, plan_for
from tests.protocols.aligning import LABEL_HOLDER, Group, ids_of

THREE = {"archive": range(60), "lender": range(20, 80), "shop": range(0, 120, 2)}
TWO = {"lender": range(40), "shop": range(20, 70)}
EMPTY_RELEASE = ModelRelease(b"{}", Schema(target="y", features=(Feature(name="x"),)), {}, [], [], 40).to_bytes()
customer_sets = st.sets(st.integers(0, 40), min_size=1, max_size=25)


@pytest.fixture
def _small_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intersection_items, "_BUCKET", 16)


@settings(max_examples=25)
@given(st.dictionaries(st.sampled_from(["archive", "shop"]), customer_sets, min_size=1), customer_sets)
def test_all_end_with_the_intersection_in_one_order(partners, lender) -> None:
    group = Group({**partners, "lender": lender})
    expected = set(lender).intersection(*partners.values())
    if not expected:
        with pytest.raises(ContractError, match="no customer in common"):
            group.align()
        return
    alignments = group.align()
    assert len({alignment.digest for alignment in alignments.values()}) == 1
    common = alignments["lender"].ids.tolist()
    assert sorted(common) == sorted(ids_of(expected).tolist())
    for name, alignment in alignments.items():
        assert alignment.ids.tolist() == common
        assert group.ids[name][alignment.positions(group.ids[name])].tolist() == common
        assert Alignment.from_bytes(group.kept[name]).ids.tolist() == common


@pytest.mark.usefixtures("_small_buckets")
def test_many_buckets_give_the_same_and_show_how_far_it_is() -> None:
    group = Group(THREE)
    alignments = group.align()
    assert {frozenset(alignment.ids.tolist()) for alignment in alignments.values()} == {
        frozenset(ids_of(range(20, 60, 2)).tolist())
    }
    told = [(name, request) for name, request in group.requests if isinstance(request, Progress)]
    shares = [request.metrics["aligned"] for _, request in told]
    assert {name for name, _ in told} == {LABEL_HOLDER}
    assert len(shares) == 2 * 4  # four buckets, there and back
    assert shares == sorted(set(shares))
    assert shares[-1] == 1.0


@pytest.mark.usefixtures("_small_buckets")
def test_sizes_of_messages_depend_on_the_numbers_of_customers_alone() -> None:
    def sizes(shift: int) -> list[tuple[str, str, dict[str, int]]]:
        group = Group({name: {number + shift for number in numbers} for name, numbers in THREE.items()})
        group.align()
        return [
            (name, request.label, {to: len(payload) for to, payload in request.payloads.items()})
            for name, request in group.sent
            # Which bucket a common customer is in, every party sees; nobody else can tell it from the envelope's length, for
            # the answers of the second pass are the only ones that vary.
            if not (name == LABEL_HOLDER and "customers of all" in request.label)
        ]

    assert sizes(0) == sizes(1000) == sizes(31)


def test_the_order_does_not_follow_the_ids() -> None:
    ids = Group({"lender": range(200), "shop": range(200)}).align()["lender"].ids
    numbers = np.array([int(text.split(b"-")[1]) for text in ids.tolist()])
    assert abs(np.corrcoef(numbers, np.arange(200))[0, 1]) < 0.3


def test_no_message_holds_an_id_a_hash_of_one_or_an_item() -> None:
    group = Group(THREE)
    group.align()
    names = [request.purpose for _, request in group.requests if isinstance(request, SharedSecret)]
    assert set(names) == {"alignment"}
    keys = AlignmentKeys.from_secret(hashlib.sha256(b"alignment").digest())  # what tests.helpers answers
    ids = sorted({customer for own in group.ids.values() for customer in own.tolist()})
    forms = set(ids)
    for customer, item in zip(ids, Items.from_ids(np.array(ids), keys.salt).values.tolist()):
        hashes = [hashlib.new(name, customer).digest() for name in ("md5", "sha1", "sha256", "sha512")]
        forms |= {form for raw in (*hashes, bytes.fromhex(item.decode())) for form in written(raw)}
        forms |= {base64.b64encode(customer), customer.hex().encode()}
    payloads = [payload for _, request in group.sent for payload in request.payloads.values()]
    assert sum(map(len, payloads)) > 100 * POINT_BYTES
    everything = b"|".join(payloads)
    assert not [form for form in forms if form in everything]
    kept = b"|".join(request.content for _, request in group.requests if isinstance(request, Keep))
    assert any(form in kept for form in forms)  # the search finds what is there


def test_the_server_of_a_sealed_run_sees_no_id_no_item_and_no_point() -> None:
    group, points = Group(THREE), set()
    plan = plan_for(tuple(group.ids), "sealed", job=VerticalXgboost(label_holder=LABEL_HOLDER))

    def program(name: str) -> Program[Alignment]:
        alignment = yield from heard(align(group.ids[name], name, plan.roster, LABEL_HOLDER, kept=None), points)
        yield Release(EMPTY_RELEASE) if name == LABEL_HOLDER else Witness(hashlib.sha256(EMPTY_RELEASE).hexdigest())
        return alignment

    parties = parties_for(plan, {name: partial(program, name) for name in plan.roster})
    seen: list[bytes] = []
    hub = Switchboard(plan, transport="local", tap=lambda _run, _bank, _direction, data: seen.append(data))
    LocalSwitchboard(hub, parties, plan.roster).run()
    alignments = [party.outcome for party in parties.values()]
    assert len({(alignment.digest, *alignment.ids.tolist()) for alignment in alignments}) == 1
    assert len(alignments[0]) == 20
    everything = b"|".join(seen)
    assert len(points) > 300
    assert not [point for point in points if point in everything]
    assert not [customer for own in group.ids.values() for customer in own.tolist() if customer in everything]
    assert alignments[0].digest.encode() not in everything


def heard(program: Program[Alignment], points: set[bytes]) -> Program[Alignment]:
    """The same program; adds the points that it sends to `points`."""
    answer = None
    while True:
        try:
            request = program.send(answer)
        except StopIteration as stop:
            return stop.value
        for payload in request.payloads.values() if isinstance(request, Exchange) else ():
            points.update(split_points(payload) if len(payload) % POINT_BYTES == 0 else ())
        answer = yield request


def test_the_stated_number_of_exchanges_is_the_most() -> None:
    group = Group(TWO)
    group.align()
    rounds = sum(name == LABEL_HOLDER for name, _ in group.sent)
    most_buckets = len(Buckets.for_largest(MOST_ITEMS))
    assert rounds - 2 * (1 + 1) == MOST_EXCHANGES - 2 * (most_buckets + 1)


def written(raw: bytes) -> tuple[bytes, ...]:
    return raw[:16], raw.hex().encode()[:32], base64.b64encode(raw)[:20]


def test_an_alignment_that_all_kept_is_used_again() -> None:
    group = Group(THREE)
    first = group.align()
    group.ids["shop"] = np.append(group.ids["shop"][::-1], b"customer-21")  # another order, and a new customer
    second = group.align(may_intersect=False)
    assert {name: alignment.digest for name, alignment in second.items()} == {
        name: alignment.digest for name, alignment in first.items()
    }
    assert second["shop"].ids.tolist() == first["shop"].ids.tolist()
    assert all(request.label.startswith("alignment, kept") for _, request in group.sent)
    assert not any(isinstance(request, (Keep, SharedSecret)) for _, request in group.requests)


@pytest.mark.parametrize("what", ["one lost a customer", "one kept nothing", "one kept another", "asked for"])
def test_otherwise_a_new_one_is_made(what: str) -> None:
    group = Group(TWO)
    first = group.align()
    again = False
    match what:
        case "one lost a customer":
            group.ids["shop"] = group.ids["shop"][group.ids["shop"] != b"customer-30"]
        case "one kept nothing":
            del group.kept["lender"]
        case "one kept another":
            group.kept["shop"] = Alignment(first["shop"].ids, "0" * 62 + "11").to_bytes()
        case "asked for":
            again = True
    if not again:
        with pytest.raises(PolicyError, match="max_alignments_per_day") as refused:
            group.align(may_intersect={"lender": True, "shop": False})
        assert refused.value.rule == "max_alignments_per_day"
    second = group.align(again=again)
    assert any(isinstance(request, Keep) for _, request in group.requests)
    lost = {b"customer-30"} if what == "one lost a customer" else set()
    assert set(second["lender"].ids.tolist()) == set(first["lender"].ids.tolist()) - lost


@pytest.mark.parametrize("who", ["lender", "shop"])
def test_few_common_customers_are_refused_without_their_number(who: str) -> None:
    group = Group(TWO)  # 20 in common
    least = {"lender": 1, "shop": 1}
    with pytest.raises(PolicyError, match="wants at least 21") as refused:
        group.align(least_common={**least, who: 21})
    assert refused.value.rule == "min_common"
    assert "20" not in str(refused.value)
    if who == "lender":  # it refused before the others learned a single common customer
        assert not [request for _, request in group.sent if "customers of all" in request.label]
    assert not group.kept
    group.align(least_common={**least, who: 20})
    with pytest.raises(PolicyError, match="wants at least 21"):
        group.align(least_common=21)  # what was kept is no way round the rule


def test_records_without_a_usable_id_are_refused() -> None:
    with pytest.raises(ContractError, match="shop has no customer to align"):
        Group({"lender": range(3), "shop": ()}).align()
    group = Group(TWO)
    group.ids["shop"] = np.append(group.ids["shop"], group.ids["shop"][:2])
    with pytest.raises(ContractError, match="^2 rows have the customer id of another row"):
        group.align()


def test_positions_count_the_missing_and_do_not_name_them() -> None:
    alignment = Group(TWO).align()["shop"]
    with pytest.raises(ContractError, match="^3 of 20 aligned customers are not in this party's records") as refused:
        alignment.positions(ids_of(range(23, 70)))
    assert "customer-2" not in str(refused.value)
    with pytest.raises(ContractError, match="^20 of 20"):
        alignment.positions(np.empty(0, dtype="S3"))
    assert "customer-2" not in repr(alignment)


def test_what_was_kept_is_read_whole_or_not_at_all() -> None:
    group = Group(TWO)
    group.align()
    whole = group.kept["shop"]
    for damaged in (b"", whole[:-1], whole[:50], whole[:60] + b"x" + whole[61:], b"x" + whole):
        with pytest.raises(ConfigurationError, match="kept alignment is damaged"):
            Alignment.from_bytes(damaged)
    group.kept["shop"] = whole[:-1]
    with pytest.raises(ConfigurationError, match="kept alignment is damaged"):
        group.align()


def test_without_the_library_nothing_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "private_set_intersection.python", None)
    group = Group(TWO)
    with pytest.raises(ConfigurationError, match=r"install riskfed\[vertical\]"):
        group.align()
    assert not group.requests
