"""The whole stack on loopback: SuperLink, bank nodes, MLflow, and runs on them. What it starts ends with it.

Control, Fleet and Runtime of Flower share one port, and whoever reaches it can start code on every node; so it listens on loopback, as
it should in production (a reverse proxy there passes the nodes' part only).
"""

from __future__ import annotations

import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from riskfed.errors import ConfigurationError
from riskfed.flower.control import QUIET, Control
from riskfed.flower.outcome import Outcome
from riskfed.flower.progress import Line
from riskfed.flower.watch import launch, watch
from riskfed.stack.keys import ServerFiles, write_server_files
from riskfed.stack.processes import Process, Processes, free_port, port_open

CONNECTION = "loopback"
"""Name of the SuperLink in the operator's Flower configuration."""

_POLL_SECONDS = 0.2
_QUIET = {
    **QUIET,
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "NO_PROXY": "127.0.0.1,localhost",
    "no_proxy": "127.0.0.1,localhost",
}
"""Nothing calls home, and nothing on loopback goes through a proxy."""


class LoopbackStack:
    """Use it as a context manager; leaving it stops all that was started.

    Args:
        folder: for state, logs and keys; made if absent.
        poll_interval: seconds between Flower's looks for work; its own default is 1.
    """

    def __init__(self, folder: Path, *, poll_interval: float = 0.2) -> None:
        self.folder = folder.resolve()
        self._poll_interval = poll_interval
        self._processes = Processes()
        self._nodes: dict[str, Process] = {}
        self._port = 0
        self._superlink_command: list[str] = []
        self._tls: ServerFiles | None = None

    def __enter__(self) -> Self:
        self._processes.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._processes.__exit__(kind, error, traceback)

    @property
    def address(self) -> str:
        """The SuperLink's "host:port"."""
        return f"127.0.0.1:{self._port}"

    @property
    def root_certificates(self) -> Path:
        """What nodes must trust to reach the SuperLink.

        Raises:
            ConfigurationError: there is no SuperLink yet.
        """
        if self._tls is None:
            raise ConfigurationError("the SuperLink is not started; call start_superlink first")
        return self._tls.authority

    def environment(self, role: str) -> dict[str, str]:
        """Environment of a process: this interpreter's tools first in the path, one FLWR_HOME for each role, nothing that calls home."""
        home = self.folder / "flower" / role
        home.mkdir(parents=True, exist_ok=True)
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("FLWR_")}
        interval = {"FLWR_SUPEREXEC_TASK_POLL_INTERVAL": str(self._poll_interval)}
        return {**inherited, **_QUIET, **interval, "FLWR_HOME": str(home), "PATH": path}

    def start_superlink(self, *, persistent: bool = False) -> None:
        """Start a SuperLink with TLS that admits registered nodes only.

        Args:
            persistent: keep its state in SQLite, else in memory.
        """
        self._tls = write_server_files(self.folder / "tls")
        self._port = free_port()
        self._superlink_command = [
            _tool("flower-superlink"),
            *("--host", "127.0.0.1", "--port", str(self._port)),
            *("--ssl-ca-certfile", str(self._tls.authority)),
            *("--ssl-certfile", str(self._tls.certificate), "--ssl-keyfile", str(self._tls.private_key)),
            "--enable-supernode-auth",
            "--disable-runtime-dependency-installation",
            *(("--database", str(self.folder / "superlink.db")) if persistent else ()),
        ]
        self.restart_superlink()
        connection = f'address = "{self.address}"\nroot-certificates = "{self._tls.authority}"\n'
        config = Path(self.environment("operator")["FLWR_HOME"]) / "config.toml"
        config.write_text(f"[superlink.{CONNECTION}]\n{connection}")

    def restart_superlink(self) -> None:
        """Start the SuperLink again, on the same port, after it has ended."""
        superlink = self._start("superlink", self._superlink_command)
        self._processes.wait_until(superlink, lambda: port_open(self._port), timeout=90)

    def register(self, public_keys: Mapping[str, Path]) -> dict[str, int]:
        """Register banks' nodes: bank -> public key file in, bank -> Flower's node id out.

        Raises:
            ConfigurationError: Flower does not take a key; says why.
        """
        with ThreadPoolExecutor(max_workers=2) as pool:
            answers = pool.map(self.control().register, public_keys.values(), public_keys)
            return dict(zip(public_keys, answers, strict=True))

    def start_node(self, bank: str, config: Path) -> None:
        """Start a bank's node: ``riskfed node run --config``."""
        self._nodes[bank] = self._start(f"node-{bank}", [_tool("riskfed"), "node", "run", "--config", str(config)])

    def start_supernode(self, name: str, key: Path) -> None:
        """Start a stock SuperNode without a vault: for benchmarks, and tests of what else Flower may run on a node."""
        where = ("--superlink", self.address, "--root-certificates", str(self.root_certificates))
        own = ("--auth-supernode-private-key", str(key), "--host", "127.0.0.1", "--port", str(free_port()))
        self._nodes[name] = self._start(f"node-{name}", [_tool("flower-supernode"), *where, *own])

    def node_pid(self, bank: str) -> int:
        """Process id of a bank's node, the supervisor."""
        return self._nodes[bank].popen.pid

    def stop_node(self, bank: str) -> None:
        """Stop a bank's node."""
        self._processes.stop([self._nodes.pop(bank)])

    def wait_for_nodes(self, timeout: float = 120.0) -> None:
        """Wait until all started nodes are connected. A run waits for them by itself too.

        Raises:
            ConfigurationError: a node ended, or is not connected in time.
        """
        deadline = time.monotonic() + timeout
        while self._online() < len(self._nodes):
            self._check_nodes()
            if time.monotonic() > deadline:
                raise ConfigurationError(f"not all of {', '.join(self._nodes)} are connected within {timeout:g} s")
            time.sleep(_POLL_SECONDS)

    def start_mlflow(self) -> str:
        """Start an MLflow server that also serves the artifacts; returns its address."""
        home, port = self.folder / "mlflow", free_port()
        (home / "artifacts").mkdir(parents=True, exist_ok=True)
        command = [
            *(_tool("mlflow"), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
            *("--backend-store-uri", f"sqlite:///{home / 'mlflow.db'}"),
            *("--serve-artifacts", "--artifacts-destination", str(home / "artifacts")),
        ]
        server = self._start("mlflow", command)
        self._processes.wait_until(server, lambda: _healthy(f"http://127.0.0.1:{port}/health"), timeout=120)
        return f"http://127.0.0.1:{port}"

    def start_scoring_api(self, tracking_uri: str, model: str) -> str:
        """Start ``riskfed serve`` for the champion of a registered model; returns its address."""
        port = free_port()
        where = (
            "--tracking-uri",
            tracking_uri,
            "--model",
            model,
            "--port",
            str(port),
            "--records",
            str(self.folder / "scoring"),
        )
        server = self._start("scoring-api", [_tool("riskfed"), "serve", *where])
        self._processes.wait_until(server, lambda: _healthy(f"http://127.0.0.1:{port}/readyz"), timeout=60)
        return f"http://127.0.0.1:{port}"

    def start_answers(self, party: str, config: Path, port: int) -> None:
        """Start a feature holder's endpoint, ``riskfed node answer --config``; `port` is the one that its configuration names."""
        endpoint = self._start(f"answers-{party}", [_tool("riskfed"), "node", "answer", "--config", str(config)])
        self._processes.wait_until(endpoint, lambda: port_open(port), timeout=90)

    def start_scoring_service(self, config: Path, port: int) -> str:
        """Start ``riskfed serve --config``; `port` is the one that the service file names. Returns its address."""
        server = self._start("scoring-api", [_tool("riskfed"), "serve", "--config", str(config)])
        self._processes.wait_until(server, lambda: _healthy(f"http://127.0.0.1:{port}/readyz"), timeout=60)
        return f"http://127.0.0.1:{port}"

    def control(self) -> Control:
        """The operator's side of the SuperLink.

        Raises:
            ConfigurationError: there is no SuperLink yet.
        """
        return Control(CONNECTION, self.environment("operator"))

    def run(
        self,
        run_file: Path,
        *,
        progress: Callable[[Line], None] = lambda _: None,
        timeout: float = 3600.0,
        resume: bool = False,
    ) -> Outcome:
        """Run what `run_file` describes, to its end; its log is ``logs/run.log``.

        Args:
            run_file: see `RunFile`; it must be readable in the ServerApp, which runs on this machine.
            progress: called with each line of the run's progress file, where it has one.
            timeout: seconds.
            resume: go on with the run that the run file's state file names.

        Returns:
            How it ended, also where it failed.

        Raises:
            ConfigurationError: the run file is wrong, Flower does not take the run, or a node has ended.
            RunFailedError: there is no outcome within `timeout`.
        """
        control, log = self.control(), self.folder / "logs" / "run.log"
        started = launch(control, run_file, resume=resume)
        return watch(control, started, run_file, progress=progress, check=self._check_nodes, log=log, timeout=timeout)

    def stop(self) -> None:
        """Stop everything. Leaving the context does so too."""
        self._processes.stop()
        self._nodes.clear()

    def _start(self, name: str, command: list[str], role: str | None = None) -> Process:
        return self._processes.start(
            name, command, log=self.folder / "logs" / f"{name}.log", env=self.environment(role or name)
        )

    def _check_nodes(self) -> None:
        for bank, node in self._nodes.items():
            if not node.running:
                raise ConfigurationError(f"the node of {bank} ended with code {node.popen.returncode}:\n{node.tail()}")

    def _online(self) -> int:
        return list(self.control().nodes().values()).count("online")


def _tool(name: str) -> str:
    """A command of this interpreter's environment."""
    return str(Path(sys.executable).parent / name)


def _healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310  our own loopback address
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
