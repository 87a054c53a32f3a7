"""The log of what a feature holder has answered: a hash chain (`riskfed.hash_chain`) in one file a day.

Events: ``opened`` (who may ask, and how much) and ``answered`` (client, sha256 of the part, whether the customer was known). A customer's
id is not in it, nor a hash of one: ids are few enough to be guessed, and with the key of a keyed hash beside the log it would list who
asked for credit when. Whoever has to know that asks the label holder, which has its own audit log.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final, Self

from riskfed.errors import ConfigurationError
from riskfed.hash_chain import START, ChainWriter, Head, cut_torn_line, open_alone, read_lines

_NAME: Final = re.compile(r"answers-\d{4}-\d{2}-\d{2}\.log")
_CALLED: Final = "a log of answers"


class AnswersLog:
    """Writes the log of one endpoint. Only one process may hold it.

    Args:
        folder: made (mode 0700) where absent. The latest file is verified and continued.
        today: the day (UTC).

    Attributes:
        answered_today: client -> answers of today, as they were when the log was opened.

    Raises:
        ProtectionError: the latest file is broken.
        ConfigurationError: the log cannot be read or written, or another process writes it.
    """

    def __init__(self, folder: Path, today: Callable[[], date] = lambda: datetime.now(UTC).date()) -> None:
        self._folder, self._today = folder, today
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            days = [path for path in sorted(folder.iterdir()) if _NAME.fullmatch(path.name)]
            # A clock that was set back does not begin a file before the latest one: the chain follows the names.
            self._day = max(today(), _day_of(days[-1])) if days else today()
            self._descriptor = open_alone(self._path)
            self._chain = ChainWriter(self._descriptor, self._continued(days))
        except BlockingIOError:
            raise ConfigurationError(f"another process writes the log of answers {folder}; stop it") from None
        except OSError as error:
            raise ConfigurationError(f"cannot write the log of answers {folder}: {error.strerror}") from None

    @property
    def head(self) -> Head:
        """Where the log ends."""
        return self._chain.head

    def record(self, event: str, **fields: Any) -> None:
        """Append one line. It survives the end of this process; a power failure may lose the last seconds.

        Raises:
            OSError: it could not be written; what it was to tell must not leave.
        """
        if self._today() > self._day:
            self._turn()
        self._chain.append(event, (fields,))

    def close(self) -> None:
        """Bring the log to the disk and let go of it."""
        os.fsync(self._descriptor)
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _path(self) -> Path:
        return self._folder / f"answers-{self._day.isoformat()}.log"

    def _continued(self, days: list[Path]) -> Head:
        """Where the chain ends; today's answers are counted on the way."""
        cut_torn_line(self._path)
        self.answered_today = Counter[str]()
        before = [path for path in days if path != self._path]
        head: Head | None = None
        for path in (*before[-1:], self._path):
            for reached, entry in _entries(path, head):
                head = reached
                if path == self._path and entry["event"] == "answered":
                    self.answered_today[str(entry["client"])] += 1
        return head or Head()

    def _turn(self) -> None:
        """Go on in the file of the new day."""
        before, self._day = self._descriptor, self._today()
        self._descriptor = open_alone(self._path)
        self._chain = ChainWriter(self._descriptor, self._chain.head)
        os.fsync(before)
        os.close(before)


def read_answers(folder: Path) -> Iterator[dict[str, Any]]:
    """All entries of a log, verified as they are read: every file follows the one before.

    Raises:
        ProtectionError: names the first bad line.
        ConfigurationError: a file cannot be read.
    """
    head: Head | None = None
    try:
        for path in sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name)):
            for reached, entry in _entries(path, head):
                head = reached
                yield entry
    except OSError as error:
        raise ConfigurationError(f"cannot read the log of answers {folder}: {error.strerror}") from None


def summary(folder: Path) -> Iterator[str]:
    """Lines for people: answers by client and part, how many of them to unknown customers, and where the chain ends.

    Raises:
        ProtectionError, ConfigurationError: as `read_answers`.
    """
    told: Counter[tuple[str, str, bool]] = Counter()
    lines, last = 0, START
    for entry in read_answers(folder):
        lines, last = lines + 1, entry["hash"]
        if entry["event"] == "answered":
            told[str(entry["client"]), str(entry["part"]), bool(entry["known"])] += 1
    for client, part in sorted({(client, part) for client, part, _ in told}):
        known, unknown = told[client, part, True], told[client, part, False]
        yield f"{client}: {known:,} known and {unknown:,} unknown customers of part {part[:16]}"
    yield f"{lines:,} lines, unbroken; the last hash is {last}"


def _entries(path: Path, head: Head | None) -> Iterator[tuple[Head, dict[str, Any]]]:
    """Entries of a file that begins at `head`; None: at the place that its first line names, for older files may have been put away."""
    with path.open("rb") as file:
        if head is None:
            head = _before(file.readline())
            file.seek(0)
        yield from read_lines(path, file, head, _CALLED)


def _before(line: bytes) -> Head:
    try:
        entry = json.loads(line)
        return Head(int(entry["sequence"]), str(entry["previous"]))
    except (ValueError, TypeError, KeyError):
        return Head()


def _day_of(path: Path) -> date:
    return date.fromisoformat(path.stem.removeprefix("answers-"))
