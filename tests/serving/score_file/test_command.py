"""The command `riskfed score-file`: exit codes, what it says, where it sends keys and applicants; and what interrupts it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from riskfed.cli import app
from riskfed.errors import ConfigurationError
from riskfed.serving.score_file.target import Credentials, target
from riskfed.stack.processes import Processes
from tests.serving.models import loans, make_release
from tests.serving.score_file.services import BUSY, ScoringService, broken_line, write


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScoringService]:
    with Processes() as processes:
        yield ScoringService(processes, tmp_path_factory.mktemp("service"), make_release())


@pytest.mark.parametrize(
    ("url", "key", "plain", "reason"),
    [
        ("http://scoring.bank.example", "rf_x", False, "in clear over a network"),
        ("ftp://127.0.0.1", "rf_x", False, "no address"),
        ("http://127.0.0.1:x", "rf_x", False, "no address"),
        ("http://127.0.0.1:8000", "two words", False, "API key"),
    ],
)
def test_what_is_not_safe_is_refused(url: str, key: str, plain: bool, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason) as caught:
        target(url, Credentials(key), plain_http=plain)
    assert key not in str(caught.value)
    assert "rf_x" not in repr(target("http://127.0.0.1", Credentials("rf_x")))
    assert target("http://scoring:8000", Credentials(), plain_http=True).port == 8000
    assert target("https://scoring.bank.example/api/", Credentials()).path == "/api"


def test_the_command(service: ScoringService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = loans(40, 3).astype({"income": object}).assign(note="private")
    frame.loc[3, "income"] = "?"
    arguments = ["score-file", str(write(frame, tmp_path / "new.csv")), "--output", str(tmp_path / "s.csv")]
    monkeypatch.delenv("RISKFED_API_KEY", raising=False)
    refused = CliRunner().invoke(app, [*arguments, "--url", service.url])
    assert refused.exit_code == 2
    assert "refuses the API key" in refused.stderr
    (tmp_path / "key").write_text(service.key + "\n")
    monkeypatch.setenv("RISKFED_API_KEY_FILE", str(tmp_path / "key"))
    done = CliRunner().invoke(app, [*arguments, "--url", service.url])
    assert done.exit_code == 3
    assert re.search(
        r"^39 of 40 applicants scored by test-loans version \w+ .*request ids (\w+):1 to \1:40", done.stdout
    )
    assert "left out: default, note" in done.stderr
    assert "1 refused" in done.stderr
    assert service.key not in done.output
    gone = CliRunner().invoke(app, [*arguments, "--url", service.url, "--model-version", "99"])
    assert gone.exit_code == 2
    assert "not served" in gone.stderr
    absent = CliRunner().invoke(app, [*arguments, "--url", "http://127.0.0.1:1"])
    assert absent.exit_code == 2
    assert "no scoring service at 127.0.0.1 port 1" in absent.stderr


def test_the_command_is_interrupted_and_goes_on(service: ScoringService, tmp_path: Path) -> None:
    given, key = write(loans(600, 4), tmp_path / "new.csv"), tmp_path / "key"
    key.write_text(service.key)
    arguments = [
        "score-file",
        str(given),
        "--output",
        str(tmp_path / "s.csv"),
        "--key-file",
        str(key),
        "--batch",
        "200",
    ]
    with broken_line(service.port, [1 << 30, 1 << 30, 1 << 30, BUSY.replace(b"After: 0", b"After: 99")]) as port:
        command = [str(Path(sys.executable).with_name("riskfed")), *arguments, "--url", f"http://127.0.0.1:{port}"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            told = next(line for line in process.stderr if "waiting" in line)
            process.send_signal(signal.SIGINT)
            rest = process.stderr.read()
    assert re.match(r"waiting (9|1\d)\d\.\d s: ", told)
    assert process.returncode == 130
    assert "the same command goes on" in rest
    assert "Traceback" not in rest
    done = CliRunner().invoke(app, [*arguments, "--url", service.url])
    assert "going on after row 200" in done.stderr
    assert done.stdout.startswith("600 of 600 applicants scored")


def test_a_missing_package_is_named_by_its_extra(tmp_path: Path) -> None:
    code = "import sys; sys.modules['pyarrow'] = None; from riskfed.cli import app; app(sys.argv[1:])"
    command = [sys.executable, "-c", code, "score-file", "a.csv", "--output", "b.csv", "--url", "http://127.0.0.1:1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=dict(os.environ))
    assert done.returncode == 2
    assert "pyarrow is not installed: install riskfed[serving,files]" in done.stderr
