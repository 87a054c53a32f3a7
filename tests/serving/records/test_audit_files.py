"""Whatever is done to an audit log is found: to a byte, a line or a file."""

from __future__ import annotations

import random
import select
import shutil
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import IO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskfed.errors import ConfigurationError, ProtectionError
from riskfed.serving.records import audit_files
from riskfed.serving.records.audit import AuditLog, read_audit, verify_audit
from riskfed.serving.records.audit_files import ending_of, file_at, files_of, sequence_of
from tests.serving.records import processes

LINES = 24


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A log of several files, by name."""
    folder = tmp_path_factory.mktemp("sound")
    with AuditLog(folder, rotate_bytes=1200) as log:
        log.record("started")
        for number in range(LINES - 2):
            log.record("score", client=f"desk-{number % 2}", request_id=str(number), pd=0.125, reasons=["R01", "R07"])
        log.record("stopped")
    assert len(files_of(folder)) >= 5
    return {path.name: path.read_bytes() for path in files_of(folder)}


@pytest.fixture
def folder(tmp_path: Path, sound: dict[str, bytes]) -> Path:
    return laid_out(tmp_path / "audit", sound)


def laid_out(folder: Path, files: dict[str, bytes]) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def test_a_sound_log_is_summed_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_files, "_TOLD_BYTES", 1)
    read: list[int] = []
    summary = verify_audit(folder, on_bytes=read.append)
    assert (summary.files, summary.lines, summary.head.lines) == (len(files_of(folder)), LINES, LINES)
    assert summary.events == {"started": 1, "score": LINES - 2, "stopped": 1}
    assert datetime.fromisoformat(summary.first) <= datetime.fromisoformat(summary.last) <= datetime.now(UTC)
    assert summary.unfinished == 0
    assert sum(read) == sum(path.stat().st_size for path in files_of(folder))


@given(st.data())
def test_any_change_of_a_byte_is_found_in_its_file_and_line(
    tmp_path_factory: pytest.TempPathFactory, sound: dict[str, bytes], data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(sound)))
    content = bytearray(sound[name])
    at = data.draw(st.integers(0, len(content) - 1 - (name == max(sound))))  # without the log's last byte, see below
    content[at] ^= data.draw(st.integers(1, 255))
    folder = laid_out(tmp_path_factory.mktemp("changed") / "audit", {**sound, name: bytes(content)})
    line = content[:at].count(b"\n") + 1
    with pytest.raises(ProtectionError, match=f"{name}, line {line}:"):
        verify_audit(folder)


def test_the_last_line_without_its_newline_is_unfinished(folder: Path) -> None:
    path, head = files_of(folder)[-1], verify_audit(folder).head
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    summary = verify_audit(folder)
    assert summary.lines == LINES - 1
    assert summary.unfinished == len(content.splitlines()[-1])
    with pytest.raises(ProtectionError, match="no line with the noted hash"):
        verify_audit(folder, head.hash)


@given(st.sampled_from(["remove", "duplicate", "swap", "move"]), st.integers(0, LINES - 1), st.integers(1, LINES - 1))
def test_lines_removed_duplicated_or_moved_are_found(
    tmp_path_factory: pytest.TempPathFactory, sound: dict[str, bytes], how: str, one: int, away: int
) -> None:
    """Lines of all files, in one row; each file keeps its number of lines, the last one takes what is over."""
    lines = b"".join(sound.values()).splitlines(keepends=True)
    other = (one + away) % LINES
    match how:
        case "remove":
            one = min(one, LINES - 2)  # the last line's is for the noted hash
            del lines[one]
        case "duplicate":
            lines.insert(one, lines[one])
        case "swap":
            lines[one], lines[other] = lines[other], lines[one]
        case "move":
            lines.insert(other, lines.pop(one))
    files = {}
    for name, content in sound.items():
        count = content.count(b"\n")
        files[name], lines = b"".join(lines[:count]), lines[count:]
    files[max(files)] += b"".join(lines)
    with pytest.raises(ProtectionError, match="does not follow"):
        verify_audit(laid_out(tmp_path_factory.mktemp("moved") / "audit", files))


def test_a_file_removed_is_found_wherever_it_was(folder: Path, sound: dict[str, bytes]) -> None:
    head = verify_audit(folder).head
    for name in sound:
        laid_out(folder, {other: content for other, content in sound.items() if other != name})
        with pytest.raises(ProtectionError, match="is missing|are missing"):
            verify_audit(folder, head.hash)


def test_files_swapped_or_renamed_are_found(folder: Path, sound: dict[str, bytes]) -> None:
    one, two, *_ = sorted(sound)[1:]
    laid_out(folder, {**sound, one: sound[two], two: sound[one]})
    with pytest.raises(ProtectionError, match=f"{one}, line 1: does not follow"):
        verify_audit(folder)
    laid_out(folder, sound)
    (folder / one).rename(file_at(folder, sequence_of(folder / one) + 1))
    with pytest.raises(ProtectionError, match="is missing or was renamed"):
        verify_audit(folder)


def test_files_that_the_bank_moved_away(folder: Path) -> None:
    noted, head = verify_audit(folder).head, verify_audit(folder).head
    first, second, *left = files_of(folder)
    last_moved = ending_of(second)
    first.unlink()
    second.unlink()
    with pytest.raises(ProtectionError, match="files are missing at its beginning"):
        verify_audit(folder)
    with pytest.raises(ProtectionError, match="does not follow the line with the hash"):
        verify_audit(folder, after="f" * 64)
    summary = verify_audit(folder, noted.hash, after=last_moved)
    assert summary.head == head
    assert summary.lines < LINES
    left[0].unlink()
    with pytest.raises(ProtectionError, match="does not follow the line with the hash"):
        verify_audit(folder, after=last_moved)


def test_a_log_verifies_while_it_is_written(tmp_path: Path) -> None:
    with AuditLog(tmp_path, rotate_bytes=5000) as log, processes.start(processes.verify, tmp_path) as process:
        assert process.stdout is not None
        sums = []
        while not sums or len(sums) < 5:
            for _ in range(50):
                log.record("score", request_id="x" * random.Random(len(sums)).randrange(200))
            if readable(process.stdout):
                sums.append(int(process.stdout.readline()))
        process.kill()
    assert sums == sorted(sums)
    assert sums[-1] > sums[0]


def readable(pipe: IO[bytes]) -> bool:
    return bool(select.select([pipe], [], [], 0)[0])


def test_lines_since_a_time_need_no_file_that_ended_before(folder: Path) -> None:
    entries = list(read_audit(folder))
    files_of(folder)[0].write_bytes(b"not looked at\n")
    middle = entries[LINES // 2]
    since = datetime.fromisoformat(middle["time"])
    assert list(read_audit(folder, since)) == [entry for entry in entries if entry["time"] >= middle["time"]]
    assert list(read_audit(folder, since.astimezone(timezone(timedelta(hours=5))))) == entries[LINES // 2 :]
    assert list(read_audit(folder, since + timedelta(days=1))) == []
    with pytest.raises(ProtectionError, match="line 1: not an entry"):
        list(read_audit(folder))


def test_no_log_is_no_sound_log(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no audit log"):
        verify_audit(tmp_path)
    assert list(read_audit(tmp_path)) == []
