"""The vault's log: whatever is done to a line of it is found."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bank_nodes.log import Head, VaultLog, read_log, verify_log
from riskfed.errors import ConfigurationError, ProtectionError


def write_log(path: Path, lines: int = 6) -> Head:
    with VaultLog(path) as log:
        log.record("opened", durable=True, run="r/1", roster=["ash", "birch", "cedar"])
        for step in range(lines - 2):
            log.record("left", run="r/1", step=step, frame="COMBINE", bytes=10 * step, sha256="0" * 64)
        log.record("finished", durable=True, run="r/1", model_sha256="f" * 64)
        return log.head


def test_a_sound_log_verifies_to_its_head(tmp_path: Path) -> None:
    head = write_log(tmp_path / "log")
    assert verify_log(tmp_path / "log") == head
    assert head.lines == 6


def test_a_log_is_continued(tmp_path: Path) -> None:
    first = write_log(tmp_path / "log")
    with VaultLog(tmp_path / "log") as log:
        assert log.head == first
        assert log.was_opened("r/1")
        assert not log.was_opened("r/2")
        assert log.was_finished("r")
        log.record("dropped", run="r/2", reason="ü")
    assert verify_log(tmp_path / "log", noted=first.hash).lines == 7


@given(st.data())
def test_any_change_of_a_byte_is_found(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("log") / "log"
    write_log(path)
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 2))
    content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    line = content[:at].count(b"\n") + 1
    with pytest.raises(ProtectionError, match=f"line {line}:"):
        verify_log(path)


@pytest.mark.parametrize("gone", range(5))
def test_a_missing_line_is_found(tmp_path: Path, gone: int) -> None:
    path = tmp_path / "log"
    write_log(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:gone] + lines[gone + 1 :]))
    with pytest.raises(ProtectionError, match=rf"line {gone + 1}: does not follow"):
        verify_log(path)


def test_lines_in_another_order_are_found(tmp_path: Path) -> None:
    path = tmp_path / "log"
    write_log(path)
    lines = path.read_bytes().splitlines(keepends=True)
    shuffled = lines[:1] + random.Random(3).sample(lines[1:], len(lines) - 1)  # a fixed, different order
    path.write_bytes(b"".join(shuffled))
    with pytest.raises(ProtectionError, match="does not follow"):
        verify_log(path)


def test_a_rewritten_line_with_a_hash_of_its_own_is_found_at_the_next(tmp_path: Path) -> None:
    path = tmp_path / "log"
    write_log(path)
    lines = path.read_text().splitlines()
    entry = json.loads(lines[2])
    del entry["hash"]
    entry["bytes"] = 1
    entry["hash"] = hashlib.sha256(json.dumps(entry, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    lines[2] = json.dumps(entry, sort_keys=True, separators=(",", ":"))
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(ProtectionError, match="line 4: does not follow"):
        verify_log(path)


def test_lines_cut_off_at_the_end_are_found_by_a_noted_hash(tmp_path: Path) -> None:
    path = tmp_path / "log"
    head = write_log(path)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    assert verify_log(path).lines == 5
    with pytest.raises(ProtectionError, match="no line with the noted hash"):
        verify_log(path, noted=head.hash)


def test_a_line_torn_by_a_power_failure_is_cut_and_told(tmp_path: Path) -> None:
    path = tmp_path / "log"
    write_log(path)
    with path.open("ab") as file:
        file.write(b'{"event":"left","by')
    with VaultLog(path):
        pass
    *_, last = read_log(path)
    assert (last["event"], last["bytes_cut"]) == ("recovered", 19)


def test_a_broken_log_is_not_continued(tmp_path: Path) -> None:
    path = tmp_path / "log"
    write_log(path)
    path.write_bytes(path.read_bytes().replace(b'"bytes":10,', b'"bytes":11,'))
    with pytest.raises(ProtectionError, match="line 3: the line was changed"):
        VaultLog(path)


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write

    def half(descriptor: int, data: bytes) -> int:
        if len(data) < 60:
            raise OSError(errno.ENOSPC, "no space left")
        return write(descriptor, data[: len(data) // 2])

    with VaultLog(tmp_path / "log") as log:
        log.record("opened", run="r/1")
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", half)
            with pytest.raises(OSError, match="no space"):
                log.record("left", run="r/1")
        log.record("left", run="r/1")
    assert verify_log(tmp_path / "log").lines == 2


def test_two_vaults_cannot_write_one_log(tmp_path: Path) -> None:
    with VaultLog(tmp_path / "log"), pytest.raises(ConfigurationError, match="another vault"):
        VaultLog(tmp_path / "log")


def test_a_log_that_is_not_there_cannot_be_verified(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot read"):
        verify_log(tmp_path / "log")
