"""The ServerApp: reads the run file, serves the run, and says how it ended."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from riskfed.errors import ConfigurationError, RiskfedError, RunFailedError
from riskfed.flower.carriers import Carrier, MessageCarrier, SessionCarrier
from riskfed.flower.listeners import Announcer, FinishingListener, ProgressFile, ReleaseFile
from riskfed.flower.outcome import Outcome
from riskfed.flower.run_file import RunFile
from riskfed.flower.session import SessionServer
from riskfed.flower.strategy import BlindAggregation
from riskfed.protocols.books import Books
from riskfed.protocols.events import Listener
from riskfed.protocols.switchboard import Switchboard

ListenerFactory = Callable[[RunFile, str], Sequence[Listener]]
"""Makes the listeners of one run, given its file and id. A `FinishingListener` among them is waited for at the end."""

_log = logging.getLogger("riskfed.server")


def make_server_app(listeners: ListenerFactory) -> ServerApp:
    """A ServerApp whose run-config key ``run-file`` names a run file on the server's disk.

    A run that fails ends with an exception, so that Flower marks it as failed; the outcome file has the reason.
    """
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        path = context.run_config.get("run-file")
        if not isinstance(path, str) or not path:
            raise ConfigurationError(
                "the run's configuration names no run-file; start it with -c 'run-file=\"/path/run.json\"'"
            )
        # Flower's ids can repeat after its state was reset; a bank serves no run twice.
        run = f"{context.run_id}-{secrets.token_hex(8)}"
        outcome = serve_run(grid, RunFile.load(Path(path)), run, listeners)
        if outcome.status != "finished":
            raise RunFailedError(outcome.reason)

    return app


def serve_run(grid: Grid, run_file: RunFile, run: str, listeners: ListenerFactory) -> Outcome:
    """Serve one run to its end, and write its outcome file.

    Args:
        grid: Flower's.
        run_file: what to do.
        run: a fresh id.
        listeners: told of every event.
    """
    started, books = time.monotonic(), Books()
    heard: list[Listener] = [books]
    unconfirmed: Mapping[str, str] = {}
    reason = ""
    try:
        heard += [*_own_listeners(run_file), *listeners(run_file, run)]
        unconfirmed = _train(grid, run_file, run, heard)
    except Exception as error:
        reason = _reason(error)
    facts, unrecorded = _finish(heard)
    outcome = Outcome(
        status="failed" if reason else "unrecorded" if unrecorded else "finished",
        reason=reason or unrecorded,
        run=run,
        transport=run_file.transport,
        protection=run_file.protection,
        seconds=time.monotonic() - started,
        rounds=books.rounds,
        trees=books.trees,
        received=books.received,
        sent=books.sent,
        unconfirmed=unconfirmed,
        tracking=facts,
    )
    outcome.save(run_file.outcome_file)
    return outcome


def _reason(error: Exception) -> str:
    if isinstance(error, RiskfedError):
        return str(error)
    _log.error("internal error of the server", exc_info=error)
    return f"internal error of the server ({type(error).__name__}); its operator must read its log"


def _finish(listeners: Sequence[Listener]) -> tuple[dict[str, str], str]:
    """Wait for those who must be waited for; their facts, and what they could not do."""
    facts: dict[str, str] = {}
    problems: list[str] = []
    for listener in listeners:
        if isinstance(listener, FinishingListener):
            try:
                facts.update(listener.finish())
            except Exception as error:
                problems.append(_reason(error))
    return facts, "; ".join(problems)


def _train(grid: Grid, run_file: RunFile, run: str, listeners: Sequence[Listener]) -> dict[str, str]:
    """Returns: bank -> why it did not confirm the release."""
    switchboard = Switchboard(run_file.plan(run), transport=run_file.transport, listener=Announcer(listeners))
    strategy = BlindAggregation(switchboard, run_file.roster, run_file.limits, lambda grid: _carrier(grid, run_file))
    strategy.start(grid)
    return strategy.unconfirmed


def _carrier(grid: Grid, run_file: RunFile) -> Carrier:
    if run_file.transport == "message":
        return MessageCarrier(grid, run_file.roster, run_file.limits)
    settings = run_file.session

    def server() -> SessionServer:
        return SessionServer(run_file.roster, bind=settings.bind, port=settings.port, address=settings.address)

    return SessionCarrier(grid, run_file.roster, run_file.limits, server)


def _own_listeners(run_file: RunFile) -> list[Listener]:
    own: list[Listener] = [ReleaseFile(run_file.release_file)]
    if run_file.progress_file is not None:
        own.append(ProgressFile(run_file.progress_file))
    return own
