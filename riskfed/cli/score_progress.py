"""What a terminal shows while a file is scored: rows, rows a second, time left; and a line for whatever else is worth knowing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

if TYPE_CHECKING:
    from riskfed.serving.score_file.answers import ServedModel

_SECONDS: Final = 0.1


class ScoreProgress:
    """A `Watch` on standard error. Without a terminal there is no bar.

    Attributes:
        rows: that have answers.
    """

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("looking", total=None, speed="")
        self._shown = self._began = time.monotonic()
        self._before = 0
        self._name = ""
        self.rows = 0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._show()
        self._bar.stop()

    def notice(self, text: str) -> None:
        """A line of its own."""
        self._console.print(Text(text, style="yellow"), soft_wrap=True)

    def begin(self, model: ServedModel, rows: int | None, done: int) -> None:
        """Show model and size."""
        self._name = f"{model.name} version {model.version}"
        self._bar.update(self._task, description=self._name, total=rows, completed=done)
        self.rows = self._before = done
        self._began = time.monotonic()

    def advance(self, rows: int) -> None:
        """More rows have answers; drawn ten times a second at most, because each drawing costs as much as a score."""
        self.rows += rows
        if time.monotonic() - self._shown > _SECONDS:
            self._show()

    def waiting(self, why: str, seconds: float) -> None:
        """Say what is waited for. Once for a terminal's bar, and as a line elsewhere."""
        text = f"waiting {seconds:.1f} s: {why}"
        if self._console.is_terminal:
            self._bar.update(self._task, description=text)
        else:
            self.notice(text)

    def _show(self) -> None:
        self._shown = time.monotonic()
        speed = (self.rows - self._before) / max(self._shown - self._began, 1e-9)
        self._bar.update(self._task, completed=self.rows, description=self._name, speed=f"{speed:,.0f} rows/s")
