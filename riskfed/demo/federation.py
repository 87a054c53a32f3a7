"""What both demos do: start a federation on loopback, run its job to the end, and account for it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from riskfed.demo.consortium import Consortium
from riskfed.demo.warm_up import compile_kernels
from riskfed.errors import RunFailedError
from riskfed.evaluation.limits import Limit, Limits
from riskfed.flower.outcome import Outcome
from riskfed.reports.progress import ProgressBar
from riskfed.stack.loopback import LoopbackStack

ACCEPTANCE = Limits(calibration_slope=Limit(amber=0.1), calibration_gap=Limit(amber=0.1))
"""No red for the PDs: those of a short demo may be far off, and its model is to be served all the same."""


@dataclass(frozen=True, kw_only=True)
class FinishedRun:
    """A run that is in MLflow, and its model behind the scoring service.

    Attributes:
        outcome: the run's.
        tracking_uri, api: addresses of MLflow and the scoring service.
        model: registered name.
        seconds: wall time of the whole demo.
    """

    outcome: Outcome
    tracking_uri: str
    api: str
    model: str
    seconds: float

    @property
    def model_uri(self) -> str:
        """The registered version."""
        return f"models:/{self.model}/{self.outcome.tracking['model_version']}"

    @property
    def bytes(self) -> int:
        """All that crossed the server, both directions."""
        return sum(self.outcome.received.values()) + sum(self.outcome.sent.values())


def start_servers(
    stack: LoopbackStack, consortium: Consortium, write_node_files: Callable[[], None], console: Console
) -> tuple[str, dict[str, int]]:
    """SuperLink, MLflow and the parties' nodes; returns MLflow's address, and each party's node id.

    Args:
        stack: starts them.
        consortium: whose nodes.
        write_node_files: writes their configurations, once the SuperLink's address is known.
        console: told of it.
    """
    with console.status("starting SuperLink, MLflow and the nodes"), ThreadPoolExecutor(2) as pool:
        # Compiled once, here, and found in the cache by every vault.
        compiling, tracking = pool.submit(compile_kernels), pool.submit(stack.start_mlflow)
        stack.start_superlink()
        write_node_files()
        nodes = stack.register(consortium.flower_keys)
        compiling.result()
        for party in consortium.parties:
            stack.start_node(party, consortium.node_file(party))
        tracking_uri = tracking.result()
    console.print(f"SuperLink (TLS, node keys) at {stack.address}, MLflow at {tracking_uri}")
    return tracking_uri, nodes


def run_to_the_end(stack: LoopbackStack, run_file: Path, console: Console) -> Outcome:
    """Run a job, with a bar.

    Raises:
        RunFailedError: it did not finish; says which log to read.
    """
    with ProgressBar(console) as follow:
        outcome = stack.run(run_file, progress=follow)
    if outcome.status != "finished":
        logs = run_file.parent / "logs"
        raise RunFailedError(f"the run ended as {outcome.status}: {outcome.reason}; logs are in {logs}")
    return outcome


def log_exactness(
    folder: Path, tracking_uri: str, experiment: str, outcome: Outcome, identical: int, total: int
) -> None:
    """Add to a run in MLflow how many of its trees equal plain xgboost's."""
    from riskfed.tracking.run import MlflowRun

    tracking = MlflowRun(tracking_uri, experiment, release_path=folder / "release.json")
    tracking.log_exactness(outcome.tracking["run_id"], identical, total)
