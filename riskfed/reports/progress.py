"""A run as its operator sees it: a bar on a terminal that follows the run, and tables of how it stands and how it ended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from riskfed.plan import SEALED

_DONE = {"horizontal_scorecard": "scorecard fitted", "model_monitoring": "model measured"}
"""What is to be said of the one step of a job that grows no trees."""
_FIRST = {"vertical_xgboost": "common customers"}
"""What a job does before its first step; others agree on cuts."""
_COLOURS = {"finished": "green", "failed": "red", "unrecorded": "yellow", "waiting": "yellow", "stopped": "yellow"}


class ProgressBar:
    """A bar that follows a run's progress lines. A context manager, which gives the function that takes a line."""

    def __init__(self, console: Console) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, console=console)
        self._task = self._bar.add_task("banks join", total=None)
        self._banks, self._done, self._first = "", "trees", ""

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, line: Mapping[str, Any]) -> None:
        """Take a line of the progress file, see `riskfed.flower.listeners.ProgressFile`."""
        match line["event"]:
            case "RunStarted":
                attempt = f", attempt {line['attempt']}" if line["attempt"] > 1 else ""
                self._banks = f"{len(line['banks'])} {_called(line.get('protection', ''))}{attempt}"
                self._done = _DONE.get(line.get("job", ""), "trees")
                self._first = _FIRST.get(line.get("job", ""), "shared cuts")
                self._show("keys and protection", total=line["most_trees"])
            case "ProtectionProven":
                self._show(f"protection proven; {self._first}")
            case "ProgressMade" if "aligned" in line["metrics"]:
                done = line["metrics"]["aligned"]
                self._show("first tree" if done >= 1 else f"common customers, {done:.0%} of the search")
            case "ProgressMade":
                loss = line["metrics"].get("logloss")
                self._show(self._done if loss is None else f"held-out log-loss {loss:.4f}", completed=line["step"])
            case "AttemptFailed":
                self._show("waiting")
                self._bar.console.print(Text.assemble(("waiting: ", "yellow"), line["reason"]))
            case "ModelReleased":
                self._show("the model is out; recording it")

    def _show(self, what: str, **changes: Any) -> None:
        self._bar.update(self._task, description=f"{self._banks}: {what}", **changes)


def _called(protection: str) -> str:
    return "parties" if protection == SEALED else "banks"


def show_outcome(console: Console, fields: Mapping[str, Any], release_file: Path) -> None:
    """How a run ended, in a few lines.

    Args:
        console: where.
        fields: those of `riskfed.flower.outcome.Outcome`.
        release_file: the released model, whose figures are shown.
    """
    state = fields["status"]
    console.print(f"[bold {_COLOURS[state]}]{state}[/] after {fields['seconds']:.0f} s", highlight=False)
    if fields["reason"]:
        console.print(Text(fields["reason"]))
    if state == "failed":
        return
    moved = sum(fields["received"].values()) + sum(fields["sent"].values())
    done = _DONE.get(fields["job"], f"{fields['trees']} trees")
    console.print(
        f"{done}, {fields['rounds']} rounds, {moved / 1e6:.1f} MB under {fields['protection']}"
        + _held_out(release_file),
        highlight=False,
    )
    console.print(Text(f"model   {release_file}"), soft_wrap=True)
    if tracking := fields["tracking"]:
        console.print(Text("MLflow  " + ", ".join(f"{name} {value}" for name, value in tracking.items() if value)))
    for bank, why in fields["unconfirmed"].items():
        console.print(Text(f"bank {bank} did not confirm that it has stored the model: {why}", style="yellow"))


def show_standing(console: Console, fields: Mapping[str, Any]) -> None:
    """How a run stands, as `riskfed.flower.standing.Standing.as_fields` gives it."""
    table = Table(box=None, show_header=False, pad_edge=False)
    state = fields["state"]
    table.add_row("state", Text(state, style=f"bold {_COLOURS.get(state, 'default')}"))
    if fields["reason"]:
        table.add_row("", Text(fields["reason"]))
    if fields["run"]:
        table.add_row("run", f"{fields['run']}, attempt {fields['attempt']}")
    table.add_row("Flower", Text(f"run {fields['flower_run'] or 'unknown'} {fields['flower_status']}".rstrip()))
    if fields["most_trees"]:
        table.add_row("trees", f"{fields['trees']} of at most {fields['most_trees']}, {fields['rounds']} rounds")
    for name, value in fields["metrics"].items():
        table.add_row(name, f"{value:.6g}")
    if fields["last_event_seconds"] is not None:
        table.add_row("last event", f"{fields['last_event_seconds']:.0f} s ago")
    console.print(table)
    banks = sorted({*fields["nodes"], *fields["received"]})
    if banks:
        console.print(_banks(fields, banks))


def _banks(fields: Mapping[str, Any], banks: list[str]) -> Table:
    table = Table("bank", "node", box=None, pad_edge=False)
    for heading in ("received MB", "sent MB"):
        table.add_column(heading, justify="right")
    for bank in banks:
        amounts = (f"{fields[way].get(bank, 0) / 1e6:.2f}" for way in ("received", "sent"))
        table.add_row(bank, fields["nodes"].get(bank, "unknown"), *amounts)
    return table


def _held_out(release_file: Path) -> str:
    try:
        metrics = json.loads(release_file.read_bytes())["metrics"]
        return f"; held-out AUC {metrics['auc']:.4f}, KS {metrics['ks']:.4f}"
    except (OSError, ValueError, KeyError, TypeError):
        return ""  # nothing was held out
