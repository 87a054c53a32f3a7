"""``riskfed audit``: what its reader sees."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from riskfed.cli import app
from riskfed.serving.records.audit import AuditLog
from riskfed.serving.records.audit_files import ending_of, files_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with AuditLog(tmp_path, rotate_bytes=1500) as log:
        log.record("started")
        for number in range(8):
            log.record(
                "score",
                client=f"desk-{number % 2}",
                request_id=f"r-{number}",
                model="credit",
                sha256="ab" * 32,
                score=600 + number,
                reasons=["R01", "R07"],
            )
        log.record("score", client="desk-0", request_id="\x1b[31mred\x07", score=1)
    return tmp_path


def audit(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["audit", *map(str, arguments)])


def test_verify_counts_and_gives_the_last_hash(folder: Path) -> None:
    result = audit("verify", folder)
    assert result.exit_code == 0
    assert "10 lines in" in result.output
    assert "unbroken: 9 score, 1 started" in result.output
    assert f"last hash {ending_of(files_of(folder)[-1])}" in result.output
    assert audit("verify", folder, "--noted", ending_of(files_of(folder)[0])).exit_code == 0


def test_verify_says_where_a_log_is_broken(folder: Path) -> None:
    second = files_of(folder)[1]
    second.write_bytes(second.read_bytes().replace(b'"score":60', b'"score":70', 1))
    result = audit("verify", folder)
    assert result.exit_code == 1
    assert f"{second.name}, line 1: the line was changed" in result.output
    second.unlink()
    assert audit("verify", folder).exit_code == 1


def test_verify_after_files_were_moved_away(folder: Path) -> None:
    first = files_of(folder)[0]
    last_moved = ending_of(first)
    first.unlink()
    assert audit("verify", folder).exit_code == 1
    assert audit("verify", folder, "--after", last_moved).exit_code == 0
    assert audit("verify", folder, "--after", last_moved, "--noted", "0" * 64).exit_code == 1


def test_verify_without_a_log(tmp_path: Path) -> None:
    assert audit("verify", tmp_path / "nowhere").exit_code == 2


def test_show_chooses_lines(folder: Path) -> None:
    assert len(audit("show", folder).output.splitlines()) == 10
    [line] = audit("show", folder, "--request-id", "r-3").output.splitlines()
    assert line.split()[0] == "4"
    assert "desk-1" in line
    assert "model: credit; reasons: R01, R07; score: 603; sha256: abababababab" in line
    assert len(audit("show", folder, "--client", "desk-1").output.splitlines()) == 4
    assert len(audit("show", folder, "--event", "started").output.splitlines()) == 1
    assert audit("show", folder, "--since", "2999-01-01").output == ""
    assert len(audit("show", folder, "--since", "2020-01-01T10:00:00").output.splitlines()) == 10


def test_what_a_client_wrote_does_not_act_on_the_terminal(folder: Path) -> None:
    output = audit("show", folder).output
    assert "\x1b" not in output
    assert "\\x1b[31mred\\x07" in output
