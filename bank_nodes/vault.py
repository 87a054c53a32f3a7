"""The vault: the bank's own process, which holds its records and keys and runs its side of a run.

It listens on a UNIX socket inside the bank and opens no connection of its own. It runs programs of the installed release only
(`bank_nodes.programs`); no code that arrives over the network runs where the records are. What is served is in
`bank_nodes.run_service`. Start it by ``python -m bank_nodes.vault --config bank.toml``, or with the courier by ``riskfed node run``.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import structlog

from bank_nodes.checkpoints import Checkpoints
from bank_nodes.config import NodeConfig, load_config
from bank_nodes.holdings import Holdings, load_own_keys
from bank_nodes.kept import Kept
from bank_nodes.listener import Listener
from bank_nodes.log import VaultLog
from bank_nodes.metrics import metered
from bank_nodes.run_service import RunService
from riskfed.errors import ConfigurationError, RiskfedError
from riskfed.log_output import configure_logging

diary = structlog.get_logger("vault")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the vault of one bank until SIGTERM or SIGINT.

    Returns:
        The exit code: 0 stopped as asked, 2 the configuration is wrong, 1 anything else.
    """
    parser = argparse.ArgumentParser(prog="python -m bank_nodes.vault", description="Run the vault of one bank.")
    parser.add_argument("--config", type=Path, required=True, help="the bank's node file")
    configure_logging()
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, _end)
    try:
        _run(load_config(parser.parse_args(arguments).config))
    except ConfigurationError as error:
        diary.error("the vault cannot start", reason=str(error))
        return 2
    except RiskfedError as error:
        diary.error("the vault cannot start", reason=str(error))
        return 1
    return 0


def make_service(config: NodeConfig, log: VaultLog) -> RunService:
    """What the vault of `config` serves; its records are loaded and checked here.

    Raises:
        ConfigurationError: the bank's keys are unfit.
    """
    keys = load_own_keys(config)
    return RunService(
        config.bank,
        keys,
        _load_holdings(config),
        policy=config.policy,
        log=log,
        models=config.vault.models,
        checkpoints=Checkpoints(config.vault.checkpoints),
        kept=Kept(config.vault.kept),
        threads=config.vault.threads,
    )


def _run(config: NodeConfig) -> None:
    with VaultLog(config.vault.log) as log:
        service = make_service(config, log)
        try:
            with (
                metered(service, service.holdings, config) as served,
                Listener(config.vault.socket, served, group=config.vault.socket_group) as listener,
            ):
                diary.info("the vault is listening", bank=config.bank, socket=str(config.vault.socket))
                listener.serve()
        finally:
            service.stop("the vault was stopped")


def _load_holdings(config: NodeConfig) -> Holdings | RiskfedError:
    """Unfit records do not keep the vault from starting: it stays to tell every run why this bank cannot take part."""
    try:
        holdings = Holdings.load(config)
    except RiskfedError as error:
        diary.error("no run can be served", reason=str(error))
        return error
    except Exception:
        diary.exception("no run can be served: internal error while loading the records")
        return RiskfedError("internal error while loading the records; see the log of the bank's vault")
    rows = len(holdings.records or ())
    diary.info("records are loaded", rows=rows, schema=holdings.schema.fingerprint[:16])
    return holdings


def _end(*_: object) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
