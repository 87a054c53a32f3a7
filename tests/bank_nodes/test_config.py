"""The node file: every key has one home, unknown ones are refused by name, secrets never stand in a file."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from bank_nodes.config import load_config
from bank_nodes.keystore import read_consortium
from bank_nodes.policy import Policy
from riskfed.errors import ConfigurationError

CONFIGURATIONS = Path(str(files("bank_nodes"))) / "configurations"
SMALL = """
bank = "north"
[data]
path = "loans.csv"
[schema]
file = "schema.json"
[consortium]
file = "/etc/riskfed/consortium.toml"
[keys]
identity = "~/identity.pem"
[vault]
socket = "v.sock"
log = "vault.log"
models = "models"
"""


def node_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "bank.toml"
    path.write_text(text)
    return path


def test_the_example_is_a_node_file_and_shows_every_default() -> None:
    config = load_config(CONFIGURATIONS / "example.toml")
    assert config.bank in read_consortium(CONFIGURATIONS / "consortium.toml")
    assert config.policy == Policy()
    assert config.flower is not None
    assert config.flower.home == CONFIGURATIONS / "flower"


def test_the_example_names_every_key() -> None:
    text = (CONFIGURATIONS / "example.toml").read_text()
    config = load_config(CONFIGURATIONS / "example.toml")
    sections = [
        config.data,
        config.loan_schema,
        config.consortium,
        config.keys,
        config.vault,
        config.policy,
        config.flower,
    ]
    for section in sections:
        for key in type(section).model_fields:
            assert key in text


def test_paths_start_at_the_files_own_folder(tmp_path: Path) -> None:
    config = load_config(node_file(tmp_path, SMALL))
    assert config.data.path == tmp_path / "loans.csv"
    assert config.vault.socket == tmp_path / "v.sock"
    assert config.consortium.file == Path("/etc/riskfed/consortium.toml")
    assert config.keys.identity == Path.home() / "identity.pem"


def test_the_environment_takes_precedence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RISKFED_NODE__POLICY__MIN_ROWS", "9000")
    monkeypatch.setenv("RISKFED_NODE__POLICY__PROTECTIONS", '["paillier"]')
    monkeypatch.setenv("RISKFED_NODE__SCHEMA__FILE", "other.json")
    monkeypatch.setenv("RISKFED_NODE__BANK", "south")
    config = load_config(node_file(tmp_path, SMALL + "[policy]\nmin_rows = 5\nmax_trees = 7\n"))
    assert (config.policy.min_rows, config.policy.max_trees, config.policy.protections) == (9000, 7, ("paillier",))
    assert (config.bank, config.loan_schema.file) == ("south", tmp_path / "other.json")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (SMALL + "[policy]\nmin_row = 5\n", "policy.min_row: unknown key"),
        (SMALL + "[politics]\n", "politics: unknown key"),
        ("_env_file = 'x'\n" + SMALL, "_env_file: unknown key"),
        (SMALL.replace('path = "loans.csv"', ""), "data: .*expected either path"),
        (SMALL + "[policy]\nmin_banks = 2\n", "policy.min_banks: Input should be greater than or equal to 3"),
        (SMALL + "[policy]\nmin_key_bits = 1024\n", "policy.min_key_bits"),
        (SMALL + "[policy]\nmin_defaults = 0\n", "policy.min_defaults"),
        (SMALL + '[policy]\nprotections = ["none"]\n', "policy.protections.0"),
        ("bank = ", "is not TOML"),
        (SMALL.replace("v.sock", "v" * 120), "vault.socket"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(tmp_path: Path, text: str, key: str) -> None:
    with pytest.raises(ConfigurationError, match=key) as caught:
        load_config(node_file(tmp_path, text))
    assert "bank.toml" in str(caught.value)


def test_unknown_variables_are_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = node_file(tmp_path, SMALL)
    for name in ("RISKFED_NODE__POLICY__MIN_ROW", "RISKFED_NODE__POLITICS"):
        with monkeypatch.context() as patch:
            patch.setenv(name, "5")
            with pytest.raises(ConfigurationError, match=f"environment variable {name}: .*unknown key"):
                load_config(path)


def test_a_secret_in_the_file_is_refused_and_not_shown(tmp_path: Path) -> None:
    text = SMALL.replace("[keys]", '[keys]\npassphrase = "hunter2"')
    with pytest.raises(ConfigurationError, match="keys.passphrase is a secret") as caught:
        load_config(node_file(tmp_path, text))
    assert "hunter2" not in str(caught.value)


def test_secrets_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = node_file(tmp_path, SMALL)
    (tmp_path / "secret").write_text("hunter2\n")
    monkeypatch.setenv("RISKFED_NODE__KEYS__PASSPHRASE_FILE", str(tmp_path / "secret"))
    config = load_config(path)
    assert config.keys.passphrase is not None
    assert config.keys.passphrase.get_secret_value() == "hunter2"
    assert "hunter2" not in repr(config)
    monkeypatch.setenv("RISKFED_NODE__KEYS__PASSPHRASE_FILE", str(tmp_path / "absent"))
    with pytest.raises(ConfigurationError, match="PASSPHRASE_FILE names"):
        load_config(path)


def test_an_absent_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot read the node file .*bank.toml"):
        load_config(tmp_path / "bank.toml")
