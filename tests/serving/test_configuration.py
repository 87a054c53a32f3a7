"""The service file: what is refused, and what the environment may say instead."""

from pathlib import Path

import pytest

from riskfed.errors import ConfigurationError
from riskfed.serving.assembly import service_of
from riskfed.serving.configuration import ServingSettings

MODEL = '[model]\ntracking_uri = "http://127.0.0.1:5000"\nname = "riskfed-pd"\n'


def read(folder: Path, text: str) -> ServingSettings:
    path = folder / "scoring.toml"
    path.write_text(text)
    return ServingSettings.read(path)


def test_paths_start_at_the_files_folder(tmp_path: Path) -> None:
    settings = read(tmp_path, MODEL + '[records]\nfolder = "kept"\n[access]\nkeys = "/etc/riskfed/keys.toml"\n')
    assert settings.records.folder == tmp_path / "kept"
    assert settings.access.keys == Path("/etc/riskfed/keys.toml")
    assert settings.listen.is_loopback
    assert settings.answers.scale is None


def test_the_environment_takes_precedence_and_holds_the_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "password").write_text("hunter2\n")
    monkeypatch.setenv("RISKFED_SERVING__LISTEN__PORT", "9001")
    monkeypatch.setenv("RISKFED_SERVING__RECORDS__IDEMPOTENCY_PASSWORD_FILE", str(tmp_path / "password"))
    settings = read(tmp_path, MODEL)
    assert settings.listen.port == 9001
    assert settings.records.idempotency_password is not None
    assert settings.records.idempotency_password.get_secret_value() == "hunter2"
    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "model: "),
        ("[model]\n", "expected either tracking_uri and name"),
        (MODEL + 'folder = "m"\n', "expected either tracking_uri and name"),
        ('[model]\ntracking_uri = "http://127.0.0.1:5000"\n', "go together"),
        ('[model]\nfolder = "m"\nchallenger = "c"\n', "registry"),
        (MODEL + '[listen]\ncertificate = "a.pem"\n', "certificate and key go together"),
        (MODEL + '[listen]\nclient_authorities = "a.pem"\n', "needs TLS"),
        (MODEL + "[listen]\nport = 70000\n", "listen.port"),
        (MODEL + '[acces]\nkeys = "k"\n', "acces: unknown key"),
        (MODEL + '[records]\nidempotency_password = "hunter2"\n', "is a secret"),
        (MODEL + "[answers.scale]\npdo = 0\n", "answers.scale.pdo"),
        (MODEL + "[answers.scale]\nbse = 1\n", "answers.scale.bse: unknown key"),
        ("model = ", "not TOML"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason) as caught:
        read(tmp_path, text)
    assert "scoring.toml" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_an_open_service_stays_on_loopback(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nobody would have to say who they are"):
        service_of(read(tmp_path, MODEL + '[listen]\nhost = "0.0.0.0"\n'))
    assert not (tmp_path / "scoring").exists()


def test_a_broken_part_lets_go_of_the_audit_log(tmp_path: Path) -> None:
    settings = read(tmp_path, MODEL + '[answers]\ntexts = "absent.toml"\n')
    for _ in range(2):  # the second time would find the log still held
        with pytest.raises(ConfigurationError, match="absent.toml"):
            service_of(settings)
