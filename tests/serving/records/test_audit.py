"""The audit log as it is written: nothing that was acknowledged is lost, and the chain goes on whatever happened."""

from __future__ import annotations

import json
import os
import random
import threading
import time
from pathlib import Path

import pytest

from riskfed.errors import AuditError, ConfigurationError, ProtectionError
from riskfed.hash_chain import START
from riskfed.serving.records.audit import AuditLog, read_audit, verify_audit
from riskfed.serving.records.audit_files import file_at, files_of
from tests.serving.records import processes


def ids(folder: Path) -> list[str]:
    return [entry["request_id"] for entry in read_audit(folder) if entry["event"] == "score"]


def write(folder: Path, lines: int, *, rotate_bytes: int = 1000) -> None:
    with AuditLog(folder, rotate_bytes=rotate_bytes) as log:
        for number in range(lines):
            log.record("score", request_id=str(number), pd=0.125)


def test_the_chain_goes_on_over_files_and_restarts(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "audit"
    heads = []
    for start in range(3):
        with AuditLog(folder, rotate_bytes=1000) as log:
            assert log.head.lines == 10 * start
            for number in range(10):
                log.record("score", request_id=f"{start}-{number}")
            heads.append(log.head)
    files = files_of(folder)
    assert len(files) > 5
    assert all(path.stat().st_size < 1300 for path in files)
    assert [json.loads(path.read_text().splitlines()[0])["sequence"] for path in files] == [
        int(path.stem.removeprefix("audit-")) for path in files
    ]
    assert ids(folder) == [f"{start}-{number}" for start in range(3) for number in range(10)]
    for head in heads:
        assert verify_audit(folder, head.hash).head == heads[-1]
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_batch_is_one_write_and_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writes = []
    write = os.write
    monkeypatch.setattr(os, "write", lambda *arguments: writes.append(arguments) or write(*arguments))
    with AuditLog(tmp_path) as log:
        log.record_many("score", [{"request_id": str(number)} for number in range(100)])
        with pytest.raises(ValueError, match="not JSON compliant"):
            log.record_many("score", [{"request_id": "sound"}, {"pd": float("nan")}])
    assert len(writes) == 1
    assert ids(tmp_path) == [str(number) for number in range(100)]


def test_threads_share_a_log(tmp_path: Path) -> None:
    with AuditLog(tmp_path, rotate_bytes=2000) as log:
        threads = [
            threading.Thread(target=lambda: [log.record("score", request_id="x") for _ in range(200)]) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert verify_audit(tmp_path).events == {"score": 800}


def test_a_killed_service_loses_no_line_that_it_acknowledged(tmp_path: Path) -> None:
    acknowledged: list[str] = []
    for number in range(12):
        with processes.start(processes.append, tmp_path, number) as process:
            assert process.stdout is not None
            first = process.stdout.readline()
            time.sleep(random.Random(number).uniform(0, 0.08))
            process.kill()
            acknowledged += (first + process.stdout.read()).decode().split()
    with AuditLog(tmp_path, rotate_bytes=20_000):
        pass
    assert verify_audit(tmp_path).files > 2
    kept = ids(tmp_path)
    assert len(kept) == len(set(kept))
    assert set(acknowledged) <= set(kept)
    # What was written and not acknowledged: at most the one line that each kill came upon.
    assert len(kept) - len(acknowledged) <= 12


@pytest.mark.parametrize("left", [1, 7, 100])
def test_a_line_torn_by_a_crash_is_cut_and_told(tmp_path: Path, left: int) -> None:
    write(tmp_path, 3, rotate_bytes=10_000)
    [path] = files_of(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2]) + lines[2][:left])
    assert verify_audit(tmp_path).unfinished == left
    with AuditLog(tmp_path) as log:
        log.record("score", request_id="next")
    *_, recovered, _ = read_audit(tmp_path)
    assert (recovered["event"], recovered["bytes_cut"]) == ("recovered", left)
    assert ids(tmp_path) == ["0", "1", "next"]
    assert verify_audit(tmp_path).unfinished == 0


@pytest.mark.parametrize("torn", [b"", b'{"client"'])
def test_a_crash_while_a_new_file_began(tmp_path: Path, torn: bytes) -> None:
    write(tmp_path, 8)
    begun = file_at(tmp_path, 8)
    begun.write_bytes(torn)
    with AuditLog(tmp_path, rotate_bytes=1000) as log:
        log.record("score", request_id="next")
    assert ids(tmp_path)[-1] == "next"
    assert verify_audit(tmp_path).events["recovered"] == bool(torn)


def test_an_empty_file_without_the_one_before_begins_no_new_chain(tmp_path: Path) -> None:
    file_at(tmp_path, 8).touch()
    with pytest.raises(ProtectionError, match="put the one just before it back"):
        AuditLog(tmp_path)


def test_a_broken_last_file_is_not_continued(tmp_path: Path) -> None:
    write(tmp_path, 20)
    *_, before, last = files_of(tmp_path)
    kept = last.read_bytes()
    last.write_bytes(kept.replace(b"0.125", b"0.126", 1))
    with pytest.raises(ProtectionError, match="line 1: the line was changed"):
        AuditLog(tmp_path)
    last.write_bytes(kept)
    before.write_bytes(b"".join(before.read_bytes().splitlines(keepends=True)[:-1]))
    with pytest.raises(ProtectionError, match="does not follow"):
        AuditLog(tmp_path)


def test_complete_files_may_be_moved_away(tmp_path: Path) -> None:
    write(tmp_path, 20)
    *moved, _ = files_of(tmp_path)
    for path in moved:
        path.unlink()
    with AuditLog(tmp_path) as log:
        assert log.head.lines == 20
        log.record("score", request_id="20")
    assert ids(tmp_path)[-1] == "20"


def test_a_full_disk_leaves_nothing_half_written_and_the_log_goes_on(tmp_path: Path) -> None:
    written, errors = json.loads(processes.run(processes.fill, tmp_path))
    assert len(errors) == 3
    assert "make room" in errors[0]
    assert ids(tmp_path) == [*map(str, range(written)), "there is room again"]
    assert verify_audit(tmp_path).lines == written + 1


def test_one_process_writes_a_log(tmp_path: Path) -> None:
    with AuditLog(tmp_path) as log:
        assert "another service writes" in processes.run(processes.hold, tmp_path)
        with pytest.raises(ConfigurationError, match="another service"):
            AuditLog(tmp_path)
        log.record("score", request_id="0")
    write(tmp_path, 1)


def test_lines_reach_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = threading.Semaphore(0)
    sync = os.fsync

    def counted(descriptor: int) -> None:
        sync(descriptor)
        synced.release()

    with AuditLog(tmp_path / "second") as log:
        monkeypatch.setattr(os, "fsync", counted)
        log.record("score", request_id="0")
        assert synced.acquire(timeout=30)  # by the thread
    assert synced.acquire(blocking=False)  # by close
    with AuditLog(tmp_path / "each", durable="each") as log:
        while synced.acquire(blocking=False):
            pass
        for _ in range(3):
            log.record("score", request_id="0")
            assert synced.acquire(blocking=False)


@pytest.mark.parametrize("durable", ["each", "second"])
def test_after_a_failed_sync_no_line_follows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durable: str) -> None:
    def failed(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    log = AuditLog(tmp_path, durable=durable)  # type: ignore[arg-type]
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failed)
        deadline = time.monotonic() + 30
        with pytest.raises(AuditError, match=r"Input/output error"):
            while time.monotonic() < deadline:
                log.record("score", request_id="0")
                time.sleep(0.01)
    with pytest.raises(AuditError, match="restart"):
        log.record("score", request_id="after")
    log.close()
    assert "after" not in ids(tmp_path)
    with AuditLog(tmp_path) as log:
        log.record("score", request_id="restarted")


def test_a_closed_log_takes_nothing(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    log.close()
    log.close()
    with pytest.raises(AuditError, match="closed"):
        log.record("score", request_id="0")
    assert log.head.hash == START


def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot use"):
        AuditLog(tmp_path / "file")
    with pytest.raises(ConfigurationError, match="at least one byte"):
        AuditLog(tmp_path, rotate_bytes=0)
