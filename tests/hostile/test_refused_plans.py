"""Plans that a server may not have: refused by a vault before it makes a key for the run."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from bank_nodes.config import load_config
from bank_nodes.log import VaultLog
from bank_nodes.run_service import RunService
from bank_nodes.vault import make_service
from riskfed.protocols.frames import Frame, Kind, decode_batch, encode_batch
from tests.bank_nodes.banks import BANKS, SCHEMA, label_of, loans, make_consortium, plan_batch, plan_for, reason_in


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunService]:
    policy = 'min_rows = 50\nprotections = ["masking"]\nmax_trees = 5'
    frames = {bank: loans(seed) for seed, bank in enumerate(BANKS)}
    folder = tmp_path_factory.mktemp("lied-to")
    config = load_config(make_consortium(folder, frames, policies={"ash": policy})["ash"])
    with VaultLog(config.vault.log) as log:
        yield make_service(config, log)


PLANS = {
    "with two banks": ({"roster": ["ash", "birch"]}, "2 banks, at least 3 are needed"),
    "with one bank named three times": ({"roster": ["ash", "ash", "ash"]}, "name each bank once"),
    "with banks that nobody has pinned": ({"roster": ["ash", "birch", "zulu"]}, "has no public key of zulu"),
    "without the bank": ({"roster": ["birch", "cedar", "zulu"]}, "bank ash is not in the roster"),
    "without protection": ({"protection": "none"}, "protection: Input should be 'masking', 'paillier' or 'sealed'"),
    "with a protection that the bank does not accept": ({"protection": "paillier"}, "policy rule protections"),
    "for another schema": ({"schema_fingerprint": "1" * 64}, "all must hold the same file"),
    "for a longer job than the bank allows": ({"n_estimators": 6}, "policy rule max_trees"),
    "for exact cuts": ({"cut_rounds": 8}, "policy rule exact_cuts"),
    "with a program of its own": ({"kind": "os.system"}, "unknown job kind"),
    "with a field more": ({"program": "print(1)"}, "program: Extra inputs are not permitted"),
    "under another label": ({"run": "other"}, "the request is for run lie/1, its plan for other/1"),
}


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_that_lies_is_refused_before_a_key_is_made(service: RunService, name: str) -> None:
    change, says = PLANS[name]
    fields = plan_for("lie").model_dump(mode="json")
    target = fields["job"] if set(change) & {"n_estimators", "cut_rounds", "kind"} else fields
    target.update(change)
    lie = encode_batch([Frame(Kind.PLAN, 0, json.dumps(fields).encode())])
    assert says in reason_in(service.handle("lie/1", lie))


def test_a_plan_is_served_once(service: RunService) -> None:
    plan = plan_for("once")
    assert decode_batch(service.handle(label_of(plan), plan_batch(plan)))[0].kind is Kind.EXCHANGE
    service.handle(label_of(plan), encode_batch([Frame(Kind.FAILED, 0)]))
    assert "has served run once/1 already" in reason_in(service.handle(label_of(plan), plan_batch(plan)))
    assert SCHEMA.fingerprint == plan.schema_fingerprint
