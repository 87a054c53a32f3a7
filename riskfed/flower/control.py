"""The operator's side of a SuperLink, through the ``flwr`` command line: start and stop runs, look at them, register banks' nodes.

The command line is Flower's public interface; the modules beneath it are private. A call takes some seconds, most of them imports.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from riskfed.errors import ConfigurationError

FAB = Path(__file__).parent / "fab"
"""The Flower app to run: references to the installed package, no code."""
QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "DO_NOT_TRACK": "true",
    "PYTHONUNBUFFERED": "1",
}
"""Nothing calls home."""

_SECONDS = 120.0
_LONGEST_COMPLAINT = 500
_STOP_PATIENCE = 10.0
_FINISHED = "finished"
STOPPED = "finished:stopped"
"""Status of a run that `Control.stop` ended."""


@dataclass(frozen=True, slots=True)
class RunStatus:
    """What Flower says of a run.

    Attributes:
        text: such as "running" or "finished:failed".
        details: Flower's own words on how it ended; often empty.
    """

    text: str
    details: str = ""

    @property
    def finished(self) -> bool:
        """It is over, however it ended."""
        return self.text.split(":")[0] == _FINISHED


class Control:
    """A SuperLink, as the operator's Flower configuration names it.

    Args:
        connection: a table ``[superlink.NAME]`` in ``config.toml`` of FLWR_HOME; None takes the default that the file names.
        environment: of Flower's commands, FLWR_HOME among it; None takes this process's own.

    Raises:
        ConfigurationError: no such connection, or one that would start a simulation on this machine.
    """

    def __init__(self, connection: str | None = None, environment: Mapping[str, str] | None = None) -> None:
        self.environment = operator_environment(os.environ if environment is None else environment)
        self.connection = _checked(connection, _home(self.environment) / "config.toml")

    def start(self, run_file: Path, *, resume: bool = False) -> int:
        """Start what `run_file` describes; Flower's id of the run.

        Args:
            run_file: see `riskfed.flower.run_file.RunFile`; the ServerApp, which runs beside the SuperLink, must be able to read it.
            resume: go on with the run that the run file's state file names.

        Raises:
            ConfigurationError: the SuperLink is not reached, or does not take the run; shows what Flower says.
        """
        # JSON's strings are TOML's basic strings, which is what Flower expects here.
        settings = f"run-file={json.dumps(str(run_file.resolve()))}" + (" resume=true" if resume else "")
        answer = self.call("run", str(FAB), self.connection, "-c", settings)
        return int(answer["run-id"])

    def status(self, run: int) -> RunStatus:
        """How a run stands.

        Raises:
            ConfigurationError: the SuperLink is not reached, or knows no such run.
        """
        runs = self.call("list", self.connection, "--run-id", str(run)).get("runs") or [{}]
        return RunStatus(str(runs[0].get("status", "unknown")), str(runs[0].get("status-details") or ""))

    def stop(self, run: int) -> None:
        """End a run; its ServerApp is killed, and banks learn of it when their streams break.

        Raises:
            ConfigurationError: the SuperLink is not reached, or the run is over already.
        """
        self.call("stop", str(run), self.connection)

    def nodes(self) -> dict[int, str]:
        """Registered nodes: id -> "online", "offline" or "registered" (never seen yet).

        Raises:
            ConfigurationError: the SuperLink is not reached.
        """
        found = self.call("supernode", "list", self.connection).get("nodes", [])
        return {int(node["node-id"]): str(node["status"]) for node in found}

    def register(self, public_key: Path, name: str) -> int:
        """Register a node's public key (OpenSSH's format) under a bank's name; Flower's id of the node.

        Raises:
            ConfigurationError: the SuperLink is not reached, or does not take the key; shows what Flower says.
        """
        answer = self.call("supernode", "register", str(public_key), self.connection, "--name", name)
        return int(answer["node-id"])

    def log(self, run: int, output: IO[Any] | int | None = None, *, follow: bool) -> LogStream:
        """A run's log as the SuperLink keeps it: what its ServerApp wrote, from the beginning.

        Args:
            run: Flower's id.
            output: file that gets it; None: this process's standard output.
            follow: go on until the run is over.
        """
        command = [_tool("flwr"), "log", str(run), self.connection, "--stream" if follow else "--show"]
        return LogStream(command, self.environment, output)

    def call(self, *arguments: str) -> dict[str, Any]:
        """Call ``flwr`` and read its JSON.

        Raises:
            ConfigurationError: it failed; shows what Flower says.
        """
        command = [_tool("flwr"), *arguments, "--format", "json"]
        what = " ".join(["flwr", *arguments[: 2 if arguments[0] == "supernode" else 1]])
        try:
            done = subprocess.run(
                command, env=self.environment, capture_output=True, text=True, timeout=_SECONDS, check=False
            )
        except FileNotFoundError:
            raise ConfigurationError(
                "flwr is not installed in this environment; the operator must install riskfed[operator]"
            ) from None
        except subprocess.TimeoutExpired:
            raise ConfigurationError(
                f"{what} took more than {_SECONDS:g} s; the operator must see whether the SuperLink runs"
            ) from None
        answer = _json(done.stdout)
        if done.returncode or not answer.get("success"):
            said = str(answer.get("error-message") or done.stderr or done.stdout).strip()[-_LONGEST_COMPLAINT:]
            raise ConfigurationError(f"{what} over connection {self.connection} failed: {said}")
        return answer


class LogStream:
    """A ``flwr log`` process. Use it as a context manager; leaving it ends the process."""

    def __init__(self, command: list[str], environment: Mapping[str, str], output: IO[Any] | int | None) -> None:
        self._process = subprocess.Popen(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=None if output is None else subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for whoever started this
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.running:
            self._process.terminate()
        try:
            self._process.wait(_STOP_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def running(self) -> bool:
        """There may be more to come."""
        return self._process.poll() is None

    def wait(self) -> None:
        """Wait until all is written."""
        self._process.wait()


def operator_environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """An environment for Flower's commands: this interpreter's programs first in the path, and nothing calls home."""
    path = os.pathsep.join([str(Path(sys.executable).parent), inherited.get("PATH", "")])
    return {**inherited, **QUIET, "PATH": path}


def _home(environment: Mapping[str, str]) -> Path:
    return Path(environment["FLWR_HOME"]) if environment.get("FLWR_HOME") else Path.home() / ".flwr"


def _checked(connection: str | None, config: Path) -> str:
    """The connection's name. Flower itself would take its stock default, and start a simulation on this machine."""
    try:
        tables = tomllib.loads(config.read_text()).get("superlink", {})
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not TOML"
        raise ConfigurationError(
            f"Flower's configuration {config} cannot be read ({reason}); the operator must write it, with the address of the SuperLink"
        ) from None
    name = connection or tables.get("default")
    table = tables.get(name) if isinstance(name, str) else None
    address = table.get("address") if isinstance(table, dict) else None
    if not isinstance(name, str) or not isinstance(address, str):
        known = ", ".join(sorted(key for key, value in tables.items() if isinstance(value, dict))) or "none"
        raise ConfigurationError(
            f"Flower's configuration {config} has no connection {name or '(no default)'} with an address; it has: {known}; "
            "name one by --connection"
        )
    if address.startswith(":"):
        raise ConfigurationError(
            f"connection {name} in {config} is Flower's simulation on this machine, which no bank takes part in; name the "
            "SuperLink's connection by --connection"
        )
    return name


def _json(text: str) -> dict[str, Any]:
    """The JSON object at the end of what Flower prints, which may put remarks before it."""
    try:
        answer = json.loads(text[text.index("{") :])
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _tool(name: str) -> str:
    """A command of this interpreter's environment."""
    return str(Path(sys.executable).parent / name)
