"""The journals of unfinished runs, from which another attempt goes on.

    checkpoints/<run>.jsonl     the plan without its attempt, then the program's entries (`riskfed.protocols.checkpoint`), one a line

A line that a crash left unfinished is ignored. A journal is deleted when its run has finished, and the oldest ones when there are many.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bank_nodes.models import check_run_name
from riskfed.files import PRIVATE, write_synced
from riskfed.plan import Plan

_KEPT_RUNS: Final = 20


class Checkpoints:
    """The journals of one vault.

    Args:
        folder: made where absent, for the vault's user alone.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def take_up(self, plan: Plan) -> list[bytes] | None:
        """Start the journal of an attempt, with what earlier ones have kept.

        Returns:
            Those entries, maybe none; None in the first attempt, which has nothing to go on from.

        Raises:
            OSError: the journal cannot be read or written.
        """
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._prune()
        entries = self._kept(plan) if plan.attempt > 1 else None
        draft = self._path(plan).with_suffix(".draft")
        _write(draft, [_identity(plan), *(entries or ())], os.O_TRUNC)
        draft.replace(self._path(plan))
        return entries

    def append(self, plan: Plan, entry: bytes) -> None:
        """Add an entry; it is on the disk when this returns.

        Raises:
            OSError: it cannot be written.
        """
        _write(self._path(plan), [entry], os.O_APPEND)

    def forget(self, plan: Plan) -> None:
        """Delete the journal of a run that has finished."""
        with contextlib.suppress(OSError):
            self._path(plan).unlink()

    def _path(self, plan: Plan) -> Path:
        check_run_name(plan.run)
        return self._folder / f"{plan.run}.jsonl"

    def _kept(self, plan: Plan) -> list[bytes]:
        try:
            lines = self._path(plan).read_bytes().split(b"\n")[:-1]  # the last piece is empty, or torn
        except FileNotFoundError:
            return []
        return lines[1:] if lines and lines[0] == _identity(plan) else []

    def _prune(self) -> None:
        journals = sorted(self._folder.glob("*.jsonl"), key=lambda path: path.stat().st_mtime)
        for path in journals[:-_KEPT_RUNS]:
            path.unlink(missing_ok=True)


def _identity(plan: Plan) -> bytes:
    return plan.model_copy(update={"attempt": 1}).digest.hex().encode()


def _write(path: Path, lines: Sequence[bytes], how: int) -> None:
    write_synced(path, b"".join(line + b"\n" for line in lines), mode=PRIVATE, how=how)
