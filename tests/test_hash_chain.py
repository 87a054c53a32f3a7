"""The hash chain: its lines are what its docstring says, and it ends with a whole line whatever happens."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskfed import hash_chain
from riskfed.errors import ProtectionError
from riskfed.hash_chain import START, ChainWriter, Head, cut_torn_line, last_line, open_alone, read_lines, whole_lines

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["hash", "a", "z"]), inner, max_size=2),
    max_leaves=5,
)
# Names on both sides of "hash" in the order of a line, and the chain's own.
names = st.text(max_size=4) | st.sampled_from(["hash", "previous", "has", "hasha", "hash\n", "é", "\ud800", '"hash":"'])
entries = st.dictionaries(names, values, max_size=5)


@contextmanager
def chain(path: Path) -> Iterator[ChainWriter]:
    descriptor = open_alone(path)
    try:
        yield ChainWriter(descriptor, Head())
    finally:
        os.close(descriptor)


def read(path: Path) -> list[dict[str, Any]]:
    with path.open("rb") as file:
        return [entry for _, entry in read_lines(path, file, Head())]


def canonical(entry: dict[str, Any]) -> str:
    return json.dumps(entry, sort_keys=True, separators=(",", ":"))


@given(st.lists(entries, min_size=1, max_size=6))
def test_lines_are_canonical_json_with_the_hash_of_the_rest(
    tmp_path_factory: pytest.TempPathFactory, batch: list[dict[str, Any]]
) -> None:
    path = tmp_path_factory.mktemp("chain") / "log"
    with chain(path) as writer:
        writer.append("one", batch[:1])
        writer.append("rest", batch[1:])
        head = writer.head
    previous = START
    lines = path.read_text().splitlines(keepends=True)
    for sequence, (line, fields) in enumerate(zip(lines, batch, strict=True)):
        entry = json.loads(line)
        own = entry.pop("hash")
        rest = {name: value for name, value in fields.items() if name not in ("hash", "previous")}
        event = "one" if sequence == 0 else "rest"
        # Compared as text: to JSON, 1 and 1.0 and true are three values.
        assert canonical(entry) == canonical(
            {**rest, "sequence": sequence, "previous": previous, "event": event, "time": entry["time"]}
        )
        assert own == hashlib.sha256(canonical(entry).encode()).hexdigest()
        assert line == canonical({**entry, "hash": own}) + "\n"
        previous = own
    assert head == Head(len(batch), previous)
    assert [entry["hash"] for entry in read(path)][-1] == head.hash


@given(st.data())
def test_any_change_of_a_byte_is_found_at_its_line(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("chain") / "log"
    with chain(path) as writer:
        writer.append("score", [{"score": 600 + k, "reasons": ["R01", {"hash": k}]} for k in range(4)])
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    line = content[:at].count(b"\n") + 1
    with pytest.raises(ProtectionError, match=f"line {line}:"):
        read(path)


@pytest.mark.parametrize(
    "garbage", [b"\n", b"[]\n", b"{}\n", b'"x"\n', b"[" * 100_000 + b"\n", b"\0" * 50 + b"\n", b"\xff\n"]
)
def test_what_is_not_an_entry_is_named(tmp_path: Path, garbage: bytes) -> None:
    (tmp_path / "log").write_bytes(garbage)
    with pytest.raises(ProtectionError, match="line 1: not an entry of log"):
        read(tmp_path / "log")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), b"bytes", object()])
def test_what_json_cannot_say_leaves_the_chain_as_it_was(tmp_path: Path, value: object) -> None:
    with chain(tmp_path / "log") as writer:
        writer.append("score", [{"pd": 0.1}])
        with pytest.raises((ValueError, TypeError)):
            writer.append("score", [{"pd": 0.2}, {"pd": value}])
        writer.append("score", [{"pd": 0.3}])
    assert [entry["pd"] for entry in read(tmp_path / "log")] == [0.1, 0.3]


@given(st.lists(st.binary(max_size=20).map(lambda line: line.replace(b"\n", b"")), max_size=6), st.data())
def test_a_torn_last_line_is_cut_and_no_whole_one(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("torn") / "log"
    content = b"".join(line + b"\n" for line in lines)
    content = content[: data.draw(st.integers(0, len(content)))]
    path.write_bytes(content)
    whole = content[: content.rfind(b"\n") + 1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hash_chain, "_BLOCK", data.draw(st.integers(1, 30)))  # lines that lie across blocks
        with path.open("rb") as file:
            assert whole_lines(file, len(content)) == len(whole)
        assert last_line(path) == (whole.split(b"\n")[-2] if whole else b"")
        assert cut_torn_line(path) == len(content) - len(whole)
    assert path.read_bytes() == whole


def test_a_disk_that_refuses_even_the_cut_is_mended_by_the_next_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write

    def half(descriptor: int, data: bytes) -> int:
        if len(data) < 100:
            raise OSError(errno.ENOSPC, "no space left")
        return write(descriptor, data[: len(data) // 2])

    def refuse(descriptor: int, length: int) -> None:
        raise OSError(errno.EIO, "input/output error")

    with chain(tmp_path / "log") as writer:
        writer.append("score", [{"pd": 0.1}])
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", half)
            patch.setattr(os, "ftruncate", refuse)
            for _ in range(2):
                with pytest.raises(OSError, match="input/output"):
                    writer.append("score", [{"pd": 0.2}])
        writer.append("score", [{"pd": 0.3}])
    assert [entry["pd"] for entry in read(tmp_path / "log")] == [0.1, 0.3]


def test_a_file_is_open_for_one_writer(tmp_path: Path) -> None:
    first = open_alone(tmp_path / "log")
    with pytest.raises(BlockingIOError):
        open_alone(tmp_path / "log")
    os.close(first)
    os.close(open_alone(tmp_path / "log"))
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600
