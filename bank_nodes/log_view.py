"""A vault's log as lines for people: each decision, and what left, added up between decisions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from bank_nodes.log import read_log
from riskfed.terminal_text import printable

_OF_THE_CHAIN: Final = {"sequence", "time", "event", "previous", "hash", "run", "digest"}
"""Not shown: they stand elsewhere in the line; a digest's first digits are its plan."""
_HEX_SHOWN: Final = 12
_LONG_HEX: Final = {"sha256", "schema", "plan", "model_sha256", "part_sha256", "release_sha256"}


class Row(NamedTuple):
    """One line: number of the log's line (the last one, where several are added up), time in UTC, event, run/attempt, and the rest."""

    line: int
    time: str
    event: str
    run: str
    text: str


def view_log(path: Path, run: str | None = None, *, frames: bool = False) -> Iterator[Row]:
    """The lines of a log, verified as they are read.

    Args:
        path: the vault's log.
        run: only this run, with all its attempts, or only this "run/attempt"; None for all.
        frames: each frame that left on a line of its own, instead of their number and bytes.

    Raises:
        ProtectionError: names the first bad line.
        ConfigurationError: the file cannot be read.
    """
    left: list[dict[str, Any]] = []
    for entry in read_log(path):
        label = str(entry.get("run", ""))
        if run is not None and run not in (label, label.rpartition("/")[0]):
            continue
        if left and (entry["event"] != "left" or label != left[-1]["run"]):
            yield _added_up(left)
            left = []
        if entry["event"] == "left" and not frames:
            left.append(entry)
        else:
            yield _row(entry, _told(entry))
    if left:
        yield _added_up(left)


def _added_up(left: list[dict[str, Any]]) -> Row:
    kinds: dict[str, int] = {}
    for entry in left:
        kinds[entry["frame"]] = kinds.get(entry["frame"], 0) + 1
    told = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    return _row(left[-1], f"{len(left)} frames, {sum(entry['bytes'] for entry in left):,} bytes: {told}")


def _row(entry: dict[str, Any], text: str) -> Row:
    time = entry["time"][:19].replace("T", " ")
    return Row(entry["sequence"] + 1, time, entry["event"], printable(str(entry.get("run", ""))), text)


def _told(entry: dict[str, Any]) -> str:
    told = []
    for name, value in entry.items():
        if name in _OF_THE_CHAIN or value in ("", None):
            continue
        if name in _LONG_HEX:
            value = str(value)[:_HEX_SHOWN]  # noqa: PLW2901  shortened for the eye; the log has it all
        if isinstance(value, dict):
            value = ", ".join(f"{key} {each}" for key, each in value.items())  # noqa: PLW2901
        elif isinstance(value, list):
            value = ", ".join(map(str, value))  # noqa: PLW2901
        told.append(f"{name}: {value}")
    return printable("; ".join(told))
