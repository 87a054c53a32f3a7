"""Two vaults in this process serve sealed runs: who stores what, what is kept for later runs, and when a party stops."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bank_nodes import run_service
from bank_nodes.config import load_config
from bank_nodes.log import VaultLog, read_log
from bank_nodes.log_view import view_log
from bank_nodes.models import load_model
from bank_nodes.parts import load_part
from bank_nodes.vault import make_service
from riskfed.errors import RegistryError, RunFailedError
from riskfed.plan import Plan
from riskfed.protocols.program import Exchange, Keep, Program, Release, Witness
from riskfed.protocols.release import ModelRelease
from riskfed.protocols.rounds import most_rounds
from riskfed.protocols.switchboard import Switchboard
from riskfed.vertical_model import FeaturePart, PartnerReference, SplitRule, joined_schema
from tests.bank_nodes.banks import label_of, plan_batch, plan_for, reason_in
from tests.bank_nodes.vertical_banks import JOB, PARTIES, SCHEMA, make_parties, vertical_plan

SECRET = b"C00011 C00012"
PART = FeaturePart("shop", "toy", SCHEMA.part_of("shop"), (SplitRule("orders", 2.5, True),), "0f" * 16)
RELEASE = ModelRelease(
    model=b'{"toy": 1}',
    schema=joined_schema(SCHEMA.part_of("lender"), [("shop", 1)]),
    metrics={},
    history=(),
    score_cells=(),
    fixed_point_bits=40,
    kind="vertical_xgboost",
    partners=(PartnerReference(party="shop", part_id="toy", sha256=PART.sha256, splits=1),),
    fallback=b'{"toy": 2}',
)
SHA256 = hashlib.sha256(RELEASE.to_bytes()).hexdigest()


def conversation(asked: dict[str, Any], exchanges: int) -> Program[Any]:
    """Stands for training: keeps an alignment, exchanges payloads, and ends as a vertical job does. The vault is what is looked at."""
    other = next(name for name in PARTIES if name != asked["bank"])
    if asked["kept"]("alignment") is None:
        yield Keep("intersection", b"")
        yield Keep("alignment", SECRET + asked["bank"].encode())
    for number in range(exchanges):
        received = yield Exchange({other: f"from {asked['bank']}".encode()}, f"number {number}")
        assert received == {other: f"from {other}".encode()}
    if asked["bank"] == "lender":
        yield Release(RELEASE.to_bytes())
        return SimpleNamespace(release=RELEASE, full=RELEASE)
    yield Witness(SHA256)
    return SimpleNamespace(part=PART, release_sha256=SHA256)


class Vaults:
    """The vaults of two parties, whose programs are conversations of so many exchanges."""

    def __init__(self, folder: Path, stack: ExitStack, policies: dict[str, str] | None = None) -> None:
        self.configs = {bank: load_config(path) for bank, path in make_parties(folder, policies).items()}
        self.logs = {bank: stack.enter_context(VaultLog(c.vault.log)) for bank, c in self.configs.items()}
        self.services = {bank: make_service(c, self.logs[bank]) for bank, c in self.configs.items()}
        self.asked: list[dict[str, Any]] = []
        self.exchanges = 3

    def program_for(self, job: Any, records: Any, schema: Any, **asked: Any) -> Callable[[], Program[Any]]:
        self.asked.append({**asked, "records": records, "schema": schema})
        return lambda: conversation(asked, self.exchanges)

    def serve(self, plan: Plan, before_round: Callable[[int], None] = lambda _: None) -> ModelRelease:
        """Serve a run to its end."""
        switchboard, label = Switchboard(plan, transport="test"), label_of(plan)
        batches = {bank: service.handle(label, plan_batch(plan)) for bank, service in self.services.items()}
        for number in count():
            if not any(batches.values()):
                break
            before_round(number)
            answers = switchboard.round(batches)
            batches = {bank: service.handle(label, answers[bank]) for bank, service in self.services.items()}
        assert switchboard.release is not None
        return switchboard.release

    def events(self, bank: str, name: str) -> list[dict[str, Any]]:
        return [entry for entry in read_log(self.logs[bank].path) if entry["event"] == name]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def opened_vaults(
    folder: Path, stack: ExitStack, monkeypatch: pytest.MonkeyPatch, policies: dict[str, str] | None = None
) -> Vaults:
    vaults = Vaults(folder, stack, policies)
    monkeypatch.setattr(run_service, "program_for", vaults.program_for)
    return vaults


def test_each_party_stores_its_own_side(tmp_path: Path, stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    vaults = opened_vaults(tmp_path, stack, monkeypatch)
    assert vaults.serve(vertical_plan("r")).to_bytes() == RELEASE.to_bytes()
    lender, shop = (vaults.configs[bank].vault.models for bank in PARTIES)

    stored = load_model(lender)
    assert (stored.model, stored.partners) == (RELEASE.model, RELEASE.partners)
    assert (lender / "r" / "fallback.json").read_bytes() == RELEASE.fallback
    with pytest.raises(RegistryError, match="needs answers of shop about each applicant"):
        stored.scoring()
    assert load_part(shop, PART.sha256) == PART
    assert [path.name for path in (shop / "r").iterdir()] == ["part.json"], "no model of the label holder"

    (finished,) = vaults.events("shop", "finished")
    assert finished["part_sha256"] == PART.sha256
    assert finished["release_sha256"] == SHA256
    (finished,) = vaults.events("lender", "finished")
    assert (finished["model_sha256"], finished["released"]) == (RELEASE.model_sha256, "full")


def test_programs_get_the_partys_own_records_and_rules(
    tmp_path: Path, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    vaults = opened_vaults(tmp_path, stack, monkeypatch, {"shop": "min_rows = 50\nmin_common = 70\nmin_bin = 1"})
    vaults.serve(vertical_plan("r"))
    asked = {each["bank"]: each for each in vaults.asked}
    assert asked["shop"]["records"].columns.shape == (1, 140)
    assert asked["lender"]["records"].columns.shape == (2, 140)
    assert set(asked["lender"]["records"].ids) & set(asked["shop"]["records"].ids), "normalised alike"
    assert not asked["shop"]["records"].labels.any()
    assert asked["shop"]["schema"] == SCHEMA
    assert asked["shop"]["roster"] == PARTIES
    assert asked["shop"]["vertical_rules"].least_common == 70
    assert asked["shop"]["vertical_rules"].least_key_bits == 2048


def test_what_is_kept_is_there_for_the_next_run_alone(
    tmp_path: Path, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    vaults = opened_vaults(tmp_path, stack, monkeypatch)
    vaults.serve(vertical_plan("first"))
    vaults.serve(vertical_plan("second"))
    kept = [(entry["run"], entry["name"]) for entry in vaults.events("shop", "kept")]
    assert kept == [("first/1", "intersection"), ("first/1", "alignment")]
    files = list(vaults.configs["shop"].vault.kept.iterdir())
    assert sorted(file.name.partition("-")[0] for file in files) == ["alignment", "intersection"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert SECRET + b"shop" in {file.read_bytes() for file in files}
    assert SECRET not in vaults.logs["shop"].path.read_bytes()


def test_searches_for_common_customers_are_limited_in_a_day(
    tmp_path: Path, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = "min_rows = 50\nmin_common = 50\nmax_alignments_per_day = 2"
    vaults = opened_vaults(tmp_path, stack, monkeypatch, {"shop": rules})
    for run in "abc":
        vaults.serve(vertical_plan(run))
        for file in vaults.configs["shop"].vault.kept.iterdir():
            file.unlink()  # the count is in the log, not here
    allowed = [each["vertical_rules"].may_intersect for each in vaults.asked if each["bank"] == "shop"]
    assert allowed == [True, True, False]


def test_a_sealed_run_stops_where_the_days_allowance_ends(
    tmp_path: Path, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed = most_rounds(JOB) + 20
    rules = f"min_rows = 50\nmin_common = 50\nmax_rounds_per_day = {allowed}"
    vaults = opened_vaults(tmp_path, stack, monkeypatch, {"shop": rules})
    vaults.exchanges = 100

    def spend(number: int) -> None:
        for _ in range(allowed - 10 if number == 6 else 0):
            vaults.logs["shop"].record("left", run="r/1", step=0, frame="EXCHANGE", bytes=1, sha256="0" * 64)

    with pytest.raises(RunFailedError, match=f"bank shop ended the run: policy rule max_rounds_per_day: .* {allowed}"):
        vaults.serve(vertical_plan("r"), spend)
    assert sum(entry["frame"] == "EXCHANGE" for entry in vaults.events("shop", "left")) == allowed
    assert vaults.events("shop", "dropped")[0]["rule"] == "max_rounds_per_day"


def test_plans_that_do_not_suit_the_schema_are_refused(
    tmp_path: Path, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    vaults = opened_vaults(tmp_path, stack, monkeypatch)
    horizontal = plan_for("h", roster=("elm", "lender", "shop"), schema_fingerprint=SCHEMA.fingerprint)
    assert "no public key of elm" in reason_in(vaults.services["shop"].handle("h/1", plan_batch(horizontal)))
    other = vertical_plan("v", job=vertical_plan().job.model_copy(update={"label_holder": "shop"}))
    assert "names shop as label holder" in reason_in(vaults.services["shop"].handle("v/1", plan_batch(other)))
    assert vaults.asked == []


def test_the_log_adds_up_what_left(tmp_path: Path, stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    vaults = opened_vaults(tmp_path, stack, monkeypatch)
    vaults.serve(vertical_plan("r"))
    rows = list(view_log(vaults.logs["shop"].path))
    assert [row.event for row in rows] == ["opened", "left", "kept", "kept", "left", "finished"]
    assert "protection: sealed" in rows[0].text
    assert "EXCHANGE" in rows[4].text
    assert "name: intersection" in rows[2].text
    assert f"part_sha256: {PART.sha256[:12]}" in rows[5].text
