"""A lender's and a shop's vaults, as the processes that they are, train a vertical model; a killed one comes back and goes on."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bank_nodes.holdings import load_records
from bank_nodes.models import load_model
from bank_nodes.parts import describe_part, load_part
from bank_nodes.settings import DataConfig
from riskfed.plan import Plan
from riskfed.protocols import events
from riskfed.protocols.frames import Kind, decode_batch
from riskfed.protocols.rounds import most_rounds
from riskfed.protocols.switchboard import Switchboard
from riskfed.scoring import read_model
from tests.bank_nodes.banks import VaultProcess, label_of, plan_batch, train_over_sockets
from tests.bank_nodes.vertical_banks import JOB, SCHEMA, make_parties, vertical_plan


@pytest.fixture
def vaults(tmp_path: Path) -> Iterator[dict[str, VaultProcess]]:
    opened = {bank: VaultProcess(config) for bank, config in make_parties(tmp_path).items()}
    yield opened
    for vault in opened.values():
        vault.__exit__()


def train_until_tree(vaults: dict[str, VaultProcess], plan: Plan, trees: int) -> None:
    """Serve the run until so many trees are done, and hang up."""
    done = [0]
    switchboard = Switchboard(
        plan,
        transport="test",
        listener=lambda event: done.append(event.step) if isinstance(event, events.ProgressMade) else None,
    )
    batches = {bank: vault.ask(label_of(plan), plan_batch(plan)) for bank, vault in vaults.items()}
    while done[-1] < trees:
        answers = switchboard.round(batches)
        batches = {bank: vault.ask(label_of(plan), answers[bank]) for bank, vault in vaults.items()}
    for vault in vaults.values():
        vault.hang_up()


@pytest.mark.slow
def test_two_vaults_train_and_score_and_resume(vaults: dict[str, VaultProcess]) -> None:
    release = train_over_sockets(vaults, vertical_plan("first"))
    assert_each_side_is_there(vaults)
    assert_both_sides_score(vaults)
    log = re.sub("[0-9a-f]{64}", "", (vaults["shop"].folder / "vault.log").read_text())
    assert "c000" not in log.lower(), "no customer's id"

    # Again, with a loss in between: what was kept saves the alignment, and the journals the first tree.
    train_until_tree(vaults, vertical_plan("second"), 1)
    for vault in list(vaults.values()):
        vault.process.send_signal(signal.SIGKILL)
        vault.process.wait(20)
        vault.errors.close()
        vaults[vault.folder.name] = VaultProcess(vault.config)
    again = train_over_sockets(vaults, vertical_plan("second", attempt=2))
    assert (again.model, again.fallback) == (release.model, release.fallback)

    shop = vaults["shop"]
    assert [entry["run"] for entry in shop.events("kept")] == ["first/1", "first/1"]
    rounds = {run: exchanges(shop, run) for run in ("first/1", "second/1", "second/2")}
    assert all(count <= most_rounds(JOB) for count in rounds.values())
    assert rounds["second/2"] < rounds["first/1"], "neither the alignment nor the first tree was made again"


def exchanges(vault: VaultProcess, run: str) -> int:
    return sum(entry["run"] == run and entry["frame"] == Kind.EXCHANGE.name for entry in vault.events("left"))


def assert_each_side_is_there(vaults: dict[str, VaultProcess]) -> None:
    """The lender has the model, the shop its part, and each only its own."""
    stored = load_model(vaults["lender"].folder / "models")
    (partner,) = stored.partners
    (finished,) = vaults["shop"].events("finished")
    assert (partner.party, partner.sha256) == ("shop", finished["part_sha256"])
    assert not (vaults["shop"].folder / "models" / "first" / "model.json").exists()
    released = [e for e in vaults["shop"].events("left") if e["frame"] == "RELEASE"]
    assert [entry["bytes"] for entry in released] == [32], "of the result, the shop tells a sha256"
    assert json.loads((vaults["lender"].folder / "models" / "first" / "fallback.json").read_text())


def assert_both_sides_score(vaults: dict[str, VaultProcess]) -> None:
    """The shop's decisions fill in the lender's model, for a customer that both have."""
    own = load_records(DataConfig(path=vaults["lender"].folder / "loans.parquet"), SCHEMA.part_of("lender"))
    theirs = load_records(DataConfig(path=vaults["shop"].folder / "loans.parquet"), SCHEMA.part_of("shop"))
    assert own.ids is not None
    assert theirs.ids is not None
    common = np.intersect1d(own.ids, theirs.ids)
    stored = load_model(vaults["lender"].folder / "models")
    part = load_part(vaults["shop"].folder / "models", stored.partners[0].sha256)
    assert part.rules, "the shop's column takes part"
    text = describe_part(vaults["shop"].folder / "models", "first")
    assert f"| {part.rules[0].column} | {part.rules[0].threshold:.9g} |" in " ".join(text.split())
    rows = own.take(np.flatnonzero(np.isin(own.ids, common))).matrix
    positions = {name: place for place, name in enumerate(theirs.ids.tolist())}
    answers = theirs.take(np.array([positions[name] for name in own.ids.tolist() if name in positions])).matrix
    decisions = part.decisions(answers).astype(np.float32)
    margins = read_model(stored.model, stored.schema).margins(np.hstack([rows, decisions]))
    flipped = read_model(stored.model, stored.schema).margins(np.hstack([rows, 1 - decisions]))
    assert len(margins) == len(common) == 130
    assert (margins != flipped).any(), "what the shop says counts"


@pytest.mark.slow
def test_a_party_with_too_few_common_customers_goes_no_further(tmp_path: Path) -> None:
    configs = make_parties(tmp_path, {"shop": "min_rows = 50\nmin_common = 131"})
    vaults = {bank: VaultProcess(config) for bank, config in configs.items()}
    try:
        switchboard, plan = Switchboard(vertical_plan("r"), transport="test"), vertical_plan("r")
        batches = {bank: vault.ask(label_of(plan), plan_batch(plan)) for bank, vault in vaults.items()}
        with pytest.raises(Exception, match="at least 131") as caught:
            while True:
                answers = switchboard.round(batches)
                batches = {bank: vault.ask(label_of(plan), answers[bank]) for bank, vault in vaults.items()}
        assert "130" not in str(caught.value)
        assert [entry["name"] for entry in vaults["shop"].events("kept")] == ["intersection"]
        sent = [decode_batch(batch)[0].kind for batch in batches.values()]
        assert Kind.FAILED in sent
    finally:
        for vault in vaults.values():
            vault.__exit__()
