"""The servers of the serving benchmark, on loopback: MLflow's registry, `riskfed serve`, `mlflow models serve`; and what they use."""

from __future__ import annotations

import os
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psutil

from riskfed.flower.control import QUIET
from riskfed.stack.processes import Process, Processes, free_port

_START_SECONDS = 180.0
_TOOLS = Path(sys.executable).parent


def quiet_environment() -> dict[str, str]:
    """This process's environment; nothing calls home, nothing on loopback goes through a proxy, and MLflow runs no job workers."""
    # Bytecode is written as on any machine: it counts as part of what is installed.
    own = ("MLFLOW_", "PYTHONDONTWRITEBYTECODE")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    quiet = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        "PATH": f"{_TOOLS}{os.pathsep}{os.environ.get('PATH', '')}",
    }
    return {**inherited, **QUIET, **quiet}


def answers(url: str) -> bool:
    """Whether a URL on loopback answers 200."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


class Server:
    """One server, which can be killed and started again on its port."""

    def __init__(
        self, processes: Processes, name: str, folder: Path, command: Callable[[int], list[str]], health: str
    ) -> None:
        """Start it and wait until it answers.

        Args:
            processes: its owner.
            name, folder: of its log.
            command: from the port to the command and its arguments.
            health: path that answers 200 once it is ready.

        Raises:
            ConfigurationError: it ended, or did not answer in time.
        """
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self._processes, self._name, self._health = processes, name, health
        self._log = folder / f"{name}.log"
        self._command = command(self.port)
        self._process = self.start()

    def start(self, environment: dict[str, str] | None = None) -> Process:
        """Start it (again) and wait until it answers."""
        settings = environment or quiet_environment()
        self._process = self._processes.start(self._name, self._command, log=self._log, env=settings)
        self._processes.wait_until(self._process, lambda: answers(self.address + self._health), timeout=_START_SECONDS)
        return self._process

    def kill(self) -> None:
        """SIGKILL for it and all its descendants, with no chance to tidy up."""
        members = self.members()
        for member in members:
            member.send_signal(signal.SIGKILL)
        psutil.wait_procs(members, timeout=30)
        self._processes.stop([self._process])

    def stop(self) -> None:
        """SIGTERM, and wait for its end."""
        self._processes.stop([self._process])

    @property
    def pid(self) -> int:
        """Of the process that was started."""
        return self._process.popen.pid

    def members(self) -> list[psutil.Process]:
        """The process and all its descendants."""
        parent = psutil.Process(self.pid)
        return [parent, *parent.children(recursive=True)]

    def cpu_seconds(self) -> float:
        """User and system time of all members so far."""
        return sum(times.user + times.system for times in (member.cpu_times() for member in self.members()))

    def memory(self) -> dict[str, float]:
        """Megabytes (10^6 bytes) of all members together: ``pss`` counts a page that n processes share as 1/n, ``uss`` leaves it out."""
        full = [member.memory_full_info() for member in self.members()]
        return {"pss": sum(each.pss for each in full) / 1e6, "uss": sum(each.uss for each in full) / 1e6}


def tool(name: str) -> str:
    """A command of this interpreter's environment."""
    return str(_TOOLS / name)


def start_registry(processes: Processes, folder: Path) -> Server:
    """An MLflow server with SQLite that keeps the models' files itself."""
    (folder / "artifacts").mkdir(parents=True, exist_ok=True)

    def command(port: int) -> list[str]:
        return [
            *(tool("mlflow"), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
            *("--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"),
            *("--serve-artifacts", "--artifacts-destination", str(folder / "artifacts")),
        ]

    return Server(processes, "registry", folder, command, "/health")


def start_mlflow_scoring(processes: Processes, folder: Path, model: Path, name: str = "mlflow") -> Server:
    """`mlflow models serve` of a saved model, in this environment, with one worker, as riskfed's service has one."""

    def command(port: int) -> list[str]:
        where = ("--host", "127.0.0.1", "--port", str(port), "--workers", "1")
        return [tool("mlflow"), "models", "serve", "--env-manager", "local", "--model-uri", str(model), *where]

    return Server(processes, name, folder, command, "/health")
