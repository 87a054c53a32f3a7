"""A stand-in for the ``flwr`` command: answers from files, notes what it was asked, and can play a run."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from riskfed.flower.listeners import ProgressFile
from riskfed.flower.outcome import Outcome
from riskfed.protocols import events
from tests.flower.federation import NODES, write_run_file
from tests.helpers import plan_for

CONFIG = """
[superlink]
default = "consortium"
[superlink.consortium]
address = "127.0.0.1:8000"
[superlink.local]
address = ":local:"
"""

_SCRIPT = """#!{python} -IS
import json, pathlib, sys, time
home = pathlib.Path({home!r})
arguments = sys.argv[1:]
with (home / "asked").open("a") as file:
    file.write(json.dumps(arguments) + "\\n")
if arguments[0] == "log":
    print("a line of the ServerApp", flush=True)
    while "--stream" in arguments and not (home / "over").exists():
        time.sleep(0.02)
    raise SystemExit
key = " ".join(arguments[:2]) if arguments[0] == "supernode" else arguments[0]
answer = json.loads((home / "answers").read_text()).get(key, {{"success": False, "error-message": "no such thing"}})
print("Loading...")
print(json.dumps(answer, indent=1))
raise SystemExit(0 if answer["success"] else 1)
"""


class FlowerDouble:
    """Lives in a folder, with an operator's configuration and a run file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "config.toml").write_text(CONFIG)
        self.program = folder / "flwr"
        self.program.write_text(_SCRIPT.format(python=sys.executable, home=str(folder)))
        self.program.chmod(0o755)
        self.environment = {**os.environ, "FLWR_HOME": str(folder)}
        self.run_file = folder / "run.json"
        self.answer(
            run={"success": True, "run-id": "4711"},
            list={"success": True, "runs": [{"run-id": "4711", "status": "running", "status-details": ""}]},
            stop={"success": True},
            **{
                "supernode list": {
                    "success": True,
                    "nodes": [_node(NODES["ash"], "online"), _node(NODES["birch"], "offline")],
                }
            },
        )
        write_run_file(folder)

    def answer(self, **answers: Mapping[str, Any]) -> None:
        """Set what commands answer; those not named stay."""
        path = self.folder / "answers"
        before = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps({**before, **answers}))

    def status(self, text: str) -> None:
        """Set what Flower says of the run."""
        self.answer(list={"success": True, "runs": [{"run-id": "4711", "status": text, "status-details": ""}]})

    @property
    def asked(self) -> list[list[str]]:
        """Arguments of all calls so far."""
        path = self.folder / "asked"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def tell(self, *heard: events.Event) -> None:
        """Append to the run's progress file."""
        progress = ProgressFile(self.folder / "progress.jsonl")
        for event in heard:
            progress(event)

    def end(self, outcome: Outcome | None) -> None:
        """The ServerApp ends, with or without an outcome."""
        if outcome is not None:
            outcome.save(self.folder / "outcome.json")
        (self.folder / "over").touch()


def started(attempt: int = 1, run: str = "r") -> events.RunStarted:
    """An attempt of a run of `NODES` begins."""
    return events.RunStarted(plan_for(tuple(sorted(NODES)), run=run, attempt=attempt), "session")


def a_round(step: int = 0) -> events.RoundFinished:
    """One round."""
    return events.RoundFinished(step, 0.01, dict.fromkeys(NODES, 100), dict.fromkeys(NODES, 10))


def _node(node: int, status: str) -> dict[str, str]:
    return {"node-id": str(node), "status": status}
