"""A run that was interrupted goes on from the last tree that all banks have, and gives the very model that it would have given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riskfed.errors import ConfigurationError, ContractError, ProtectionError
from riskfed.jobs import HorizontalXgboost
from riskfed.plan import Plan
from riskfed.protocols.checkpoint import read_journal
from riskfed.protocols.horizontal_xgboost import train
from riskfed.protocols.local import LocalSwitchboard
from riskfed.protocols.opening import Seat
from riskfed.protocols.party import Party
from riskfed.protocols.records import Records
from riskfed.protocols.switchboard import Switchboard
from riskfed.secure.keys import Identity
from tests.bank_nodes.banks import BANKS, SCHEMA, loans

JOB = HorizontalXgboost(
    n_estimators=7, max_depth=3, max_bin=16, learning_rate=0.5, validation_fraction=0.3, early_stopping_rounds=3
)
IDENTITIES = {bank: Identity.generate() for bank in BANKS}
Journals = dict[str, list[bytes]]


@cache
def records(bank: str) -> Records:
    return Records.from_frame(loans(BANKS.index(bank), rows=200), SCHEMA)


def attempt(
    number: int, journals: Mapping[str, Sequence[bytes]] | None, *, changed: Mapping[str, Records] | None = None
) -> tuple[bytes, Journals]:
    """The release of one attempt, and what every bank kept."""
    plan = Plan(
        run="r",
        attempt=number,
        roster=BANKS,
        job=JOB,
        schema_fingerprint=SCHEMA.fingerprint,
        protection="masking",
    )
    pinned = {bank: identity.public for bank, identity in IDENTITIES.items()}
    kept: Journals = {bank: [] for bank in BANKS}
    parties = {}
    for bank in BANKS:
        own = (changed or {}).get(bank, records(bank))
        program = partial(train, own, SCHEMA, JOB, journal=None if journals is None else journals[bank])
        parties[bank] = Party(Seat(bank, IDENTITIES[bank], pinned, plan), program, keep=kept[bank].append)
    LocalSwitchboard(Switchboard(plan, transport="local"), parties, BANKS).run()
    return parties[BANKS[0]].outcome.release.to_bytes(), kept


@cache
def uninterrupted() -> tuple[bytes, Journals]:
    return attempt(1, None)


def test_every_tree_is_kept_once() -> None:
    _, kept = uninterrupted()
    state = read_journal(kept["ash"])
    assert state is not None
    assert 3 < len(state.trees) <= JOB.n_estimators
    assert [len(entries) for entries in kept.values()] == [len(state.trees) + 1] * 3
    assert kept["ash"][1:] == kept["birch"][1:]  # only the head differs, by the fingerprint of the bank's own records


@settings(max_examples=12, deadline=None)
@given(st.lists(st.integers(0, 8), min_size=3, max_size=3))
def test_whatever_was_kept_the_model_is_the_same(kept: list[int]) -> None:
    release, journals = uninterrupted()
    cut = {bank: journals[bank][:entries] for bank, entries in zip(BANKS, kept, strict=True)}
    resumed, further = attempt(2, cut)
    assert resumed == release
    # What was kept before and in this attempt is again a whole journal.
    for bank in BANKS:
        state = read_journal([*cut[bank], *further[bank]])
        assert state is not None
        assert state.mark(len(state.trees)) == read_journal(journals["ash"]).mark(len(state.trees))  # type: ignore[union-attr]


def test_a_bank_whose_records_have_changed_is_refused() -> None:
    _, journals = uninterrupted()
    others = Records.from_frame(loans(9, rows=200), SCHEMA)
    with pytest.raises(ContractError, match="no longer those that this run began with"):
        attempt(2, journals, changed={"cedar": others})


def test_rows_in_another_order_are_the_same_records() -> None:
    release, journals = uninterrupted()
    shuffled = Records.from_frame(loans(2, rows=200).sample(frac=1, random_state=1), SCHEMA)
    resumed, _ = attempt(2, {bank: entries[:3] for bank, entries in journals.items()}, changed={"cedar": shuffled})
    assert resumed == release


def test_checkpoints_of_different_runs_do_not_mix() -> None:
    _, journals = uninterrupted()
    foreign = [journals["birch"][0].replace(b'"totals":[', b'"totals":[1'), *journals["birch"][1:]]
    with pytest.raises(ProtectionError, match="the banks' checkpoints of this run differ"):
        attempt(2, {**journals, "birch": foreign})


@pytest.mark.parametrize(
    "damage",
    [lambda e: [e[0][:-5]], lambda e: [e[0], b"{}"], lambda e: [e[0], e[2]], lambda e: [b"[]"]],
    ids=["cut", "empty", "tree missing", "no object"],
)
def test_a_damaged_journal_is_told(damage) -> None:  # type: ignore[no-untyped-def]
    _, journals = uninterrupted()
    with pytest.raises(ConfigurationError, match="checkpoint is damaged"):
        read_journal(damage(journals["ash"]))


def test_arrays_keep_their_types_and_bits() -> None:
    _, journals = uninterrupted()
    state = read_journal(journals["ash"])
    assert state is not None
    tree = state.trees[0]
    assert tree.split_conditions.dtype == np.float32
    assert tree.left_children.dtype == np.int32
    assert tree.split_bins is not None
    assert tree.split_bins.dtype == np.int16
