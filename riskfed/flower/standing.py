"""How the last run of a run file stands, put together from its files and Flower's word: for whoever looks in from outside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from riskfed.errors import ConfigurationError
from riskfed.flower.control import STOPPED, Control
from riskfed.flower.outcome import Outcome
from riskfed.flower.progress import RunProgress
from riskfed.flower.run_file import RunFile
from riskfed.flower.watch import Launch


@dataclass(frozen=True, slots=True)
class Standing:
    """How a run stands.

    Attributes:
        state: as in `riskfed.flower.progress.State`; or the outcome's status; "stopped", "ended" (without an outcome), "never started".
        reason: why, or whom the run waits for; what Flower says where nobody else can.
        flower_run: Flower's id; None where this run file was never started by `riskfed train`.
        flower_status: Flower's word; why it cannot be had, where it cannot.
        progress: what the progress file tells.
        outcome: None until there is one.
        nodes: bank -> Flower's status of its node; empty where the SuperLink is not reached.
    """

    state: str
    reason: str
    flower_run: int | None
    flower_status: str
    progress: RunProgress
    outcome: Outcome | None
    nodes: Mapping[str, str]

    def as_fields(self) -> dict[str, Any]:
        """For programs: names and units as in `RunProgress`, and ``last_event_seconds``."""
        progress, age = self.progress, self.progress.age()
        return {
            "state": self.state,
            "reason": self.reason,
            "run": progress.run,
            "attempt": progress.attempt,
            "flower_run": None if self.flower_run is None else str(self.flower_run),
            "flower_status": self.flower_status,
            "trees": progress.trees,
            "most_trees": progress.most_trees,
            "metrics": dict(progress.metrics),
            "rounds": progress.rounds,
            "last_event_seconds": None if age is None else round(age, 1),
            "nodes": dict(self.nodes),
            "received": progress.received,
            "sent": progress.sent,
        }


def standing(control: Control, run_file: Path) -> Standing:
    """Look at the last run of a run file. A SuperLink that is not reached is a finding, not an error.

    Raises:
        ConfigurationError: the run file is wrong.
    """
    run, launched = RunFile.load(run_file), Launch.load(run_file)
    # What a resumed run did before its last launch still counts.
    start = 0 if launched is None or launched.resumed else launched.progress_start
    progress = RunProgress.read(run.progress_file, start)
    outcome = Outcome.load(run.outcome_file) if run.outcome_file.exists() else None
    nodes: dict[str, str] = {}
    word, details = "", ""
    try:
        known = control.nodes()
        nodes = {bank: known.get(node, "not registered") for bank, node in run.roster.items()}
        if launched is not None and outcome is None:
            found = control.status(launched.flower_run)
            word, details = found.text, found.details
    except ConfigurationError as error:
        word = str(error)
    state, reason = _state(launched, progress, outcome, word)
    flower_run = launched.flower_run if launched else None
    return Standing(state, reason or details, flower_run, word, progress, outcome, nodes)


def _state(launched: Launch | None, progress: RunProgress, outcome: Outcome | None, word: str) -> tuple[str, str]:
    if outcome is not None:
        return outcome.status, outcome.reason
    if word == STOPPED:
        return "stopped", "the operator stopped it; `riskfed train --resume` goes on with it"
    if word.startswith("finished"):
        return "ended", progress.reason
    if launched is None and not progress.run:
        return "never started", ""
    if launched is not None and (progress.at is None or progress.at.timestamp() < launched.started_at):
        return "starting", ""
    return progress.state, progress.reason
