"""Arrays in memory and in scratch files: the same content, no name in the folder, a clear word when the disk is full."""

from __future__ import annotations

import errno
import gc
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskfed import storage as module
from riskfed.errors import ConfigurationError
from riskfed.storage import MEMORY, Scratch, Storage
from riskfed.trees.pages import release


@pytest.fixture(params=["memory", "scratch"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return MEMORY if request.param == "memory" else Scratch(tmp_path / "scratch")


def test_arrays_hold_what_is_written(storage: Storage) -> None:
    array = storage.empty((3, 5), np.int32)
    array[:] = np.arange(15).reshape(3, 5)
    assert array.flags.c_contiguous
    assert type(array) is np.ndarray
    assert array.sum() == 105
    assert storage.empty(0, np.float64).shape == (0,)
    assert storage.empty((4, 0), np.uint8).shape == (4, 0)


def test_a_scratch_file_has_no_name_and_no_reader(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path / "deep" / "scratch")
    kept = [scratch.empty(1000, np.float32), scratch.table(3)]
    assert (tmp_path / "deep" / "scratch").stat().st_mode & 0o077 == 0
    assert list((tmp_path / "deep" / "scratch").iterdir()) == []
    del kept


@given(sizes=st.lists(st.integers(0, 40), max_size=8), columns=st.integers(1, 4))
def test_a_table_is_its_blocks_one_after_the_other(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], columns: int
) -> None:
    rng = np.random.default_rng(len(sizes))
    blocks = [rng.random((columns, size), dtype=np.float32) for size in sizes]
    expected = np.concatenate([np.empty((columns, 0), dtype=np.float32), *blocks], axis=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_FIRST_ROOM", 8)  # so that small tables grow, more than once
        patch.setattr(module, "_COPIED_AT_ONCE", 12)
        for where in (MEMORY, Scratch(tmp_path_factory.getbasetemp() / "scratch")):
            table = where.table(columns)
            for block in blocks:
                table.append(np.asfortranarray(block))
            finished = table.finish()
            assert np.array_equal(finished, expected)
            finished += 1  # writable
            assert all(column.flags.c_contiguous for column in finished)


def test_what_a_table_is_given_may_change_afterwards(storage: Storage) -> None:
    block = np.ones((2, 3), dtype=np.float32)
    table = storage.table(2)
    table.append(block)
    block[:] = 7
    assert (table.finish() == 1).all()


def test_files_are_closed_with_their_arrays(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path)

    def opened() -> int:
        gc.collect()
        links = [os.readlink(entry) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
        return sum(link.startswith(str(tmp_path)) for link in links)

    table = scratch.table(2)
    table.append(np.ones((2, 10), dtype=np.float32))
    arrays = [scratch.empty(10, np.int64), table.finish()]
    mapped = Path("/proc/self/maps").read_text().count(str(tmp_path))
    assert opened() + mapped > 0
    del arrays, table
    assert opened() == 0
    assert str(tmp_path) not in Path("/proc/self/maps").read_text()


def test_a_tables_columns_can_be_released(tmp_path: Path) -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[2])  # pages of files that are mapped

    table = Scratch(tmp_path).table(3)
    for number in range(4):
        table.append(np.full((3, 300_000), number, dtype=np.float32))
    columns = table.finish()
    total, before = columns.sum(dtype=np.float64), resident()
    for column in columns:
        release(column)
    assert before - resident() > 0.9 * columns.nbytes / 4096
    assert columns.sum(dtype=np.float64) == total == 3 * 300_000 * 6


def test_a_full_disk_is_told_when_writing_not_by_a_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = Scratch(tmp_path).table(2)
    table.append(np.ones((2, 10), dtype=np.float32))

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(ConfigurationError, match=f"{tmp_path} cannot hold .*No space left .*a disk with room"):
        table.append(np.ones((2, 10), dtype=np.float32))
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(ConfigurationError, match="cannot hold 8 MiB: No space left"):
        Scratch(tmp_path).empty((1024, 1024), np.float64)


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="scratch folder"):
        Scratch(tmp_path / "file" / "scratch")
    folder = tmp_path / "gone"
    scratch = Scratch(folder)
    folder.rmdir()
    with pytest.raises(ConfigurationError, match="No such file"):
        scratch.table(1)
