"""`riskfed node check` finds what a run would stumble over; and the command line around it."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from bank_nodes import check
from bank_nodes.check import Finding, check_node
from bank_nodes.config import load_config
from bank_nodes.keystore import generate_identity
from riskfed.cli import app, exit_code
from riskfed.errors import BankLostError, ContractError, PolicyError, SchemaError
from tests.bank_nodes.banks import BANKS, loans, make_consortium
from tests.bank_nodes.conftest import Trained
from tests.bank_nodes.vertical_banks import SCHEMA as VERTICAL
from tests.bank_nodes.vertical_banks import customers, make_parties

RUNNER = CliRunner()


def bank(folder: Path, frame: pd.DataFrame | None = None, kind: str = "parquet") -> Path:
    frames = {name: loans(1) if frame is None else frame for name in BANKS}
    return make_consortium(folder, frames, kind=kind)["ash"]


def wrong(config: Path) -> list[Finding]:
    return [finding for finding in check_node(load_config(config)) if not finding.ok]


def test_a_sound_node(tmp_path: Path) -> None:
    config = bank(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    findings = check_node(load_config(config))
    assert [finding.area for finding in findings] == [
        "consortium",
        "identity key",
        "schema",
        "records",
        "policy",
        "vault",
    ]
    assert all(finding.ok for finding in findings)
    assert sorted(tmp_path.rglob("*")) == before, "a check writes nothing"


def test_unfit_records(tmp_path: Path) -> None:
    (found,) = wrong(bank(tmp_path, loans(1).assign(grade="ZEBRA"), "csv"))
    assert found.area == "records"
    assert isinstance(found.error, ContractError)
    assert "column grade, 120 rows" in found.detail
    assert "ZEBRA" not in found.detail


def test_too_few_records(tmp_path: Path) -> None:
    (found,) = wrong(bank(tmp_path, loans(1, rows=20)))
    assert (found.area, type(found.error)) == ("policy", PolicyError)


def test_a_key_that_is_not_the_consortiums(tmp_path: Path) -> None:
    config = bank(tmp_path)
    (config.parent / "identity.pem").unlink()
    generate_identity(config.parent / "identity.pem")
    (found,) = wrong(config)
    assert found.area == "identity key"
    assert "the consortium file has key" in found.detail


def test_several_wrong_things_are_found_at_once(tmp_path: Path) -> None:
    config = bank(tmp_path)
    (config.parent / "identity.pem").chmod(0o644)
    (config.parent / "schema.json").write_text('{"target": "default"}')
    (config.parent / "v.sock").unlink(missing_ok=True)
    text = config.read_text().replace("v.sock", "loans.parquet/v.sock")
    config.write_text(text + '[flower]\nsuperlink = "x:1"\nroot_certificates = "ca.pem"\nprivate_key = "node"\n')
    assert [finding.area for finding in wrong(config)] == ["identity key", "schema", "vault", "flower"]


def test_the_command_prints_a_table_and_exits_by_it(tmp_path: Path) -> None:
    config = bank(tmp_path / "a")
    result = RUNNER.invoke(app, ["node", "check", "-c", str(config)])
    assert result.exit_code == 0
    assert "120 rows" in result.output
    config = bank(tmp_path / "b", loans(1).drop(columns="dti"))
    result = RUNNER.invoke(app, ["node", "check", "-c", str(config)])
    assert result.exit_code == 1
    assert "missing column: column dti" in " ".join(result.output.split())


def test_an_error_is_one_line_without_a_traceback(tmp_path: Path) -> None:
    result = RUNNER.invoke(app, ["node", "run", "-c", str(tmp_path / "absent.toml")])
    assert result.exit_code == 2
    assert result.stderr.startswith("riskfed: cannot read the node file")
    assert result.stderr.count("\n") == 1


def test_exit_codes_tell_who_must_act() -> None:
    codes = [exit_code(error("")) for error in (SchemaError, ContractError, PolicyError, BankLostError)]
    assert codes == [2, 3, 4, 1]


def test_a_trained_bank_scores_and_verifies_by_command(trained: Trained, tmp_path: Path) -> None:
    config = trained.configs["cedar"]
    loans(5).to_csv(tmp_path / "new.csv", index=False)
    arguments = ["node", "score", str(tmp_path / "new.csv"), str(tmp_path / "scores.csv"), "-c", str(config)]
    result = RUNNER.invoke(app, arguments)
    assert (result.exit_code, "120 applicants" in result.output) == (0, True)
    loans(5).assign(region=9).to_csv(tmp_path / "new.csv", index=False)
    assert RUNNER.invoke(app, arguments).exit_code == 3
    log = config.parent / "vault.log"
    result = RUNNER.invoke(app, ["node", "log", "verify", str(log)])
    last = json.loads(log.read_text().splitlines()[-1])["hash"]
    assert (result.exit_code, last in result.output) == (0, True)
    changed = tmp_path / "changed.log"
    changed.write_text(log.read_text().replace('"frame":"RELEASE"', '"frame":"COMBINE"'))
    result = RUNNER.invoke(app, ["node", "log", "verify", str(changed)])
    assert (result.exit_code, "was changed" in result.stderr) == (1, True)


@pytest.mark.parametrize("section", ["flower"])
def test_a_node_without_flower_does_not_run(tmp_path: Path, section: str) -> None:
    result = RUNNER.invoke(app, ["node", "run", "-c", str(bank(tmp_path))])
    assert result.exit_code == 2
    assert f"no section {section}" in result.stderr


def test_a_party_of_a_vertical_schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configs = make_parties(tmp_path / "a")
    monkeypatch.setattr(check, "find_spec", lambda name: object())
    told = {party: {f.area: f.detail for f in check_node(load_config(config))} for party, config in configs.items()}
    assert told["lender"]["own part"] == "label holder; 2 of 3 features, the others with shop"
    assert told["shop"]["own part"] == "feature holder; labels are with lender; 1 of 3 features, the others with lender"
    assert told["shop"]["records"] == "140 rows, 1 encoded columns, 140 customer ids, each once"
    assert "defaults" in told["lender"]["policy"]
    assert told["shop"]["policy"] == "this bank holds no labels"
    monkeypatch.setattr(check, "find_spec", lambda name: None)
    (found,) = wrong(configs["shop"])
    assert (found.area, "install riskfed[vertical]" in found.detail) == ("alignment", True)
    assert all(finding.ok for finding in check_node(load_config(bank(tmp_path / "b")))), "others need no such thing"


def test_ids_that_are_not_fit_to_be_compared(tmp_path: Path) -> None:
    frames = customers()
    frames["shop"] = frames["shop"].assign(customer_id="ZEBRA")
    (found,) = wrong(make_parties(tmp_path, frames=frames)["shop"])
    assert (found.area, "140 rows" in found.detail, "ZEBRA" in found.detail) == ("records", True, False)


def test_a_bank_that_holds_nothing_of_a_vertical_schema(tmp_path: Path) -> None:
    config = make_parties(tmp_path)["shop"]
    schema = VERTICAL.model_copy(update={"features": VERTICAL.features[:2]})
    (config.parent / "schema.json").write_text(schema.model_dump_json())
    (found,) = wrong(config)
    assert (found.area, "party shop holds no feature" in found.detail) == ("own part", True)
