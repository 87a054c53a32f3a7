"""Answers on disk until all are there.

Beside the file of scores stands a folder ``.<name>.parts``: the order, as run.json, and a file of answers for each piece of the input. Each
is written whole or not at all, so a command that was interrupted, or killed, goes on after the last piece that is there. At the end the
pieces become the file of scores and the file of refusals, and the folder goes. The folder holds scores: only its owner may look into it.
"""

from __future__ import annotations

import csv
import fcntl
import io
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from bank_nodes.settings import FileKind
from bank_nodes.table_file import table_file
from riskfed.errors import ConfigurationError
from riskfed.files import write_whole

PROBLEMS: Final = "problems"
"""Column of a part that is null where a row was scored; otherwise a JSON list of [pointer, code, detail]."""
_REFUSALS: Final = ("pointer", "code", "detail")


class Parts:
    """The folder of one output file; used by one process at a time, as a context manager.

    Raises:
        ConfigurationError: the folder cannot be used, or another process does.
    """

    def __init__(self, output: Path) -> None:
        self._output = output
        self._folder = output.with_name(f".{output.name}.parts")
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            self._lock = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise ConfigurationError(f"cannot write beside {output}: {error.strerror}") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise ConfigurationError(
                f"another command is writing {output}; wait for it, or name another file"
            ) from None

    def __enter__(self) -> Parts:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._lock)
        if not self._order.exists():  # nothing was begun, or all is done
            shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _order(self) -> Path:
        return self._folder / "run.json"

    def order(self) -> dict[str, Any] | None:
        """What was begun here; None where nothing was."""
        try:
            found = json.loads(self._order.read_text())
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def begin(self, order: Mapping[str, Any]) -> None:
        """Forget what was begun, and begin this."""
        self.forget()
        _write(self._order, json.dumps(order, indent=2).encode())

    def forget(self) -> None:
        """Remove what was begun."""
        self._order.unlink(missing_ok=True)
        for path in self._folder.iterdir():
            path.unlink()

    @property
    def rows(self) -> int:
        """How many of the input's first rows have answers here."""
        return max((last for _, last, _ in self._found()), default=0)

    def add(self, first: int, table: pa.Table) -> None:
        """Keep the answers of the rows from number `first`, which must be the next one."""
        sink = io.BytesIO()
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        last = first + table.num_rows - 1
        _write(self._folder / f"{first:012d}-{last:012d}.arrow", sink.getvalue())

    def finish(self, kind: FileKind, refused: Path, id_column: str | None, nobody: pa.Table, delimiter: str) -> int:
        """Write the file of scores, and that of refusals if there are any (an old one goes otherwise); then forget the parts.

        Args:
            kind: of the file of scores.
            refused: the file of refusals, CSV.
            id_column: taken over into it; None where there is none.
            nobody: a part of no rows, for an input without any.
            delimiter: of CSV files.

        Returns:
            How many rows were refused.
        """
        count = self._write_refused(refused, id_column, delimiter)
        with table_file(self._output, kind, delimiter) as scores:
            for table in self._tables() if self.rows else (nobody,):
                scores.write(table.filter(pc.is_null(table[PROBLEMS])).drop_columns(PROBLEMS))
        self.forget()
        return count

    def _write_refused(self, path: Path, id_column: str | None, delimiter: str) -> int:
        named = [] if id_column is None else [id_column]
        columns, count = ["row", *named, PROBLEMS], 0
        draft = path.with_name(f".{path.name}.draft")
        try:
            with draft.open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
                writer.writerow(["row", *named, *_REFUSALS])
                for table in self._tables():
                    refused = table.filter(pc.is_valid(table[PROBLEMS])).select(columns)
                    count += refused.num_rows
                    for *row, problems in zip(*(column.to_pylist() for column in refused.columns), strict=True):
                        writer.writerows([*row, *problem] for problem in json.loads(problems))
            if count:
                draft.replace(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise ConfigurationError(f"cannot write {path}: {error.strerror}") from None
        finally:
            draft.unlink(missing_ok=True)
        return count

    def _tables(self) -> Iterator[pa.Table]:
        for _, _, path in self._found():
            with pa.memory_map(str(path)) as source:
                yield pa.ipc.open_file(source).read_all()

    def _found(self) -> list[tuple[int, int, Path]]:
        """First row, last row and file of each part, without a gap from row 1 on."""
        found: list[tuple[int, int, Path]] = []
        for path in sorted(self._folder.glob("*.arrow")):
            first, _, last = path.stem.partition("-")
            if int(first) != (found[-1][1] if found else 0) + 1:
                break
            found.append((int(first), int(last), path))
        return found


def _write(path: Path, data: bytes) -> None:
    try:
        write_whole(path, data)
    except OSError as error:
        raise ConfigurationError(
            f"cannot write {path}: {error.strerror}; make room, and start the same command again"
        ) from None
