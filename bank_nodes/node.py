"""The supervisor: keeps a bank's vault and its courier (the stock flower-supernode) running, and stops both together.

The courier gets an environment of its own without any secret of the bank: whoever commands the operator's SuperLink can start code
there. In production it runs as another user, and the vault alone may read records and keys: either as two services (`riskfed node vault`
and `riskfed node courier`), or by this supervisor, started as root.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

import structlog

from bank_nodes.config import NodeConfig, load_config
from bank_nodes.node_metrics import watched
from bank_nodes.settings import FlowerConfig
from bank_nodes.supervised import Supervised
from bank_nodes.users import Account, accounts, check_separation
from riskfed.errors import ConfigurationError
from riskfed.log_output import configure_logging

_POLL_SECONDS: Final = 0.2
_PASSED_ON: Final = (
    *("PATH", "HOME", "USER", "LOGNAME", "LANG", "TMPDIR", "TZ", "VIRTUAL_ENV", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    *("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"),
)
_PASSED_ON_PREFIXES: Final = ("LC_", "PYTHON", "FLWR_")

diary = structlog.get_logger("node")


def run_node(config_path: Path) -> int:
    """Run a bank's node until SIGTERM or SIGINT, or until one of its two processes cannot be kept running.

    Returns:
        The exit code: 0 stopped as asked, 1 a process died for good.

    Raises:
        ConfigurationError: the node file is wrong; nothing has been started.
    """
    configure_logging()
    config = load_config(config_path)
    flower_files(config)
    asked = _Asked()
    vault, courier = _both(config_path, config)
    with asked, watched(config, {"vault": vault, "courier": courier}) as tick:
        try:
            return _supervise(vault, courier, config.vault.socket, asked, tick)
        finally:
            # The courier first: it then cannot find its vault gone and report that as a failure.
            courier.stop()
            vault.stop()
            diary.info("the node has stopped", bank=config.bank)


def become_courier(config_path: Path) -> NoReturn:
    """Wait until the vault listens, then turn this process into the stock SuperNode; for a service of its own.

    Raises:
        ConfigurationError: the node file is wrong, or this user may not connect to the vault.
    """
    configure_logging()
    config = load_config(config_path)
    flower_files(config)
    command, environment = courier_command(config), courier_environment(config)
    diary.info("waiting for the vault", socket=str(config.vault.socket))
    while not _listens(config.vault.socket):
        time.sleep(_POLL_SECONDS)
    diary.info("the vault listens; starting the SuperNode")
    os.execve(command[0], command, environment)  # noqa: S606  no shell is wanted


def flower_files(config: NodeConfig) -> str:
    """Whether the files for Flower are there and the node's key is the bank's alone; names the SuperLink.

    Raises:
        ConfigurationError: one is absent or can be read by others, or the section is missing.
    """
    flower = _flower(config)
    for key, path in (("root_certificates", flower.root_certificates), ("private_key", flower.private_key)):
        if not os.access(path, os.R_OK):
            raise ConfigurationError(f"flower.{key}: cannot read {path}; correct the node file")
    if flower.private_key.stat().st_mode & 0o077:
        raise ConfigurationError(
            f"flower.private_key: other users may read {flower.private_key}; the bank must run chmod 600"
        )
    return f"SuperLink {flower.superlink}"


def vault_command(config_path: Path) -> list[str]:
    """How the vault is started."""
    return [sys.executable, "-m", "bank_nodes.vault", "--config", str(config_path)]


def courier_command(config: NodeConfig) -> list[str]:
    """How the stock SuperNode is started; it knows the vault by its socket's path, and nothing else of the bank.

    Raises:
        ConfigurationError: the path of the socket cannot be passed on.
    """
    flower, path = _flower(config), str(config.vault.socket)
    if '"' in path or "\\" in path:
        raise ConfigurationError(
            "vault.socket holds a quotation mark or a backslash, which Flower cannot pass on; choose another path"
        )
    options = {
        "superlink": flower.superlink,
        "root-certificates": str(flower.root_certificates),
        "auth-supernode-private-key": str(flower.private_key),
        "host": flower.host,
        "port": str(flower.port or _free_port(flower.host)),
        "node-config": f'vault="{path}"',
    }
    program = str(Path(sys.executable).with_name("flower-supernode"))
    return [program, *(part for name, value in options.items() for part in (f"--{name}", value))]


def courier_environment(config: NodeConfig) -> dict[str, str]:
    """A short list of variables that the SuperNode needs; nothing that starts with RISKFED_NODE__, and no credential but a proxy's."""
    passed = {
        name: value for name, value in os.environ.items() if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES)
    }
    home = _flower(config).home
    # The SuperNode looks for its sister programs in PATH, where the bank's virtual environment may not stand.
    programs = os.fspath(Path(sys.executable).parent)
    passed["PATH"] = os.pathsep.join([programs, passed["PATH"]] if "PATH" in passed else [programs])
    return {**passed, "FLWR_HOME": str(home), "FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1"}


def _both(config_path: Path, config: NodeConfig) -> tuple[Supervised, Supervised]:
    """Vault and courier, each as the user that the node file names."""
    own, other = accounts(config)
    flower = _flower(config)
    if other is not None:
        check_separation(config)
        if not flower.home.exists():
            flower.home.mkdir(parents=True, mode=0o700)
            os.chown(flower.home, other.uid, other.gid)
    vault = Supervised(
        "vault", lambda: vault_command(config_path), environment=_personal(dict(os.environ), own), account=own
    )
    courier = Supervised(
        "courier",
        lambda: courier_command(config),
        environment=_personal(courier_environment(config), other),
        # In a folder that belongs to the courier, root opens no file: it could be a link to any other.
        output=flower.home / "supernode.log" if other is None else None,
        account=other,
    )
    return vault, courier


def _personal(environment: dict[str, str], account: Account | None) -> dict[str, str]:
    if account is None:
        return environment
    return {**environment, "USER": account.name, "LOGNAME": account.name, "HOME": account.home}


class _Asked:
    """Whether SIGTERM or SIGINT has asked the node to stop."""

    def __init__(self) -> None:
        self.to_stop = False

    def __enter__(self) -> None:
        self._before = {number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)}

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        diary.info("stopping", signal=signal.Signals(number).name)
        self.to_stop = True


def _supervise(vault: Supervised, courier: Supervised, path: Path, asked: _Asked, tick: Callable[[], None]) -> int:
    vault.start()
    while not asked.to_stop:
        if not vault.keep_running():
            return 1
        # Records may take minutes to load; without a vault, the courier would only report failures.
        if not courier.started and _listens(path):
            courier.start()
        if courier.started and not courier.keep_running():
            return 1
        tick()
        time.sleep(_POLL_SECONDS)
    return 0


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(os.fspath(path))
        except PermissionError:
            raise ConfigurationError(
                f"this user may not connect to the vault's socket {path}: it must be in vault.socket_group and may need the right "
                "to pass through the folders above"
            ) from None
        except OSError:
            return False
    return True


def _free_port(host: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def _flower(config: NodeConfig) -> FlowerConfig:
    if config.flower is None:
        raise ConfigurationError("the node file has no section flower; a node that runs needs it")
    return config.flower
