"""The ServerApp: reads the run file, serves the run, and says how it ended."""

from __future__ import annotations

import itertools
import logging
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from riskfed.errors import BankLostError, ConfigurationError, RiskfedError, RunFailedError
from riskfed.flower.attempts import Patience, RunState
from riskfed.flower.carriers import Carrier, MessageCarrier, SessionCarrier
from riskfed.flower.listeners import Announcer, FinishingListener, ProgressFile, ReleaseFile
from riskfed.flower.metrics import RunMetrics
from riskfed.flower.outcome import Outcome
from riskfed.flower.run_file import RunFile
from riskfed.flower.session import SessionServer
from riskfed.flower.strategy import BlindAggregation
from riskfed.log_output import configure_logging
from riskfed.protocols import events
from riskfed.protocols.books import Books
from riskfed.protocols.events import Listener
from riskfed.protocols.switchboard import Switchboard

ListenerFactory = Callable[[RunFile, str], Sequence[Listener]]
"""Makes the listeners of one run, given its file and id. A `FinishingListener` among them is waited for at the end."""

_log = logging.getLogger("riskfed.server")


def make_server_app(listeners: ListenerFactory) -> ServerApp:
    """A ServerApp whose run-config key ``run-file`` names a run file on the server's disk; with ``resume``, it goes on with the
    run that was begun there last.

    A run that fails ends with an exception, so that Flower marks it as failed; the outcome file has the reason.
    """
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        configure_logging()
        path = context.run_config.get("run-file")
        if not isinstance(path, str) or not path:
            raise ConfigurationError(
                "the run's configuration names no run-file; start it with -c 'run-file=\"/path/run.json\"'"
            )
        # Flower's ids can repeat after its state was reset; a bank serves no run twice.
        run = None if context.run_config.get("resume") else f"{context.run_id}-{secrets.token_hex(8)}"
        outcome = serve_run(grid, RunFile.load(Path(path)), run, listeners)
        if outcome.status != "finished":
            raise RunFailedError(outcome.reason)

    return app


def serve_run(grid: Grid, run_file: RunFile, run: str | None, listeners: ListenerFactory) -> Outcome:
    """Serve one run to its end, and write its outcome file.

    Args:
        grid: Flower's.
        run_file: what to do.
        run: a fresh id; None to resume the run that was begun last.
        listeners: told of every event.
    """
    started, books = time.monotonic(), Books()
    heard: list[Listener] = [books]
    unconfirmed: Mapping[str, str] = {}
    reason, state = "", None
    try:
        state = _begin(run_file, run)
        heard += [*_own_listeners(run_file), *listeners(run_file, state.run)]
        unconfirmed = _train(grid, run_file, state, heard)
    except Exception as error:
        reason = _reason(error)
    facts, unrecorded = _finish(heard)
    outcome = Outcome(
        status="failed" if reason else "unrecorded" if unrecorded else "finished",
        reason=reason or unrecorded,
        run=state.run if state is not None else run or "",
        transport=run_file.transport,
        protection=run_file.protection,
        seconds=time.monotonic() - started,
        attempts=books.attempts,
        rounds=books.rounds,
        job=run_file.job.kind,
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


def _begin(run_file: RunFile, run: str | None) -> RunState:
    def agreed(run: str) -> str:
        return run_file.plan(run).digest.hex()

    return RunState.to_resume(run_file.state_file, agreed) if run is None else RunState(run, 0, agreed(run))


def _train(grid: Grid, run_file: RunFile, state: RunState, listeners: Sequence[Listener]) -> dict[str, str]:
    """Attempts until the run is over. Returns: bank -> why it did not confirm the release."""
    patience = Patience(run_file.limits.loss_timeout)
    tell = Announcer([patience, *listeners])
    waits = run_file.on_loss == "wait"
    for attempt in itertools.count(state.attempt + 1):
        # On the disk before any bank hears of the attempt: no bank serves one twice.
        replace(state, attempt=attempt).save(run_file.state_file)
        switchboard = Switchboard(run_file.plan(state.run, attempt), transport=run_file.transport, listener=tell)
        strategy = BlindAggregation(
            switchboard,
            run_file.roster,
            run_file.limits,
            lambda grid: _carrier(grid, run_file),
            waits_for_lost=waits,
        )
        try:
            strategy.start(grid)
        except BankLostError as loss:
            if not waits:
                raise
            _wait(patience, loss, tell)
        else:
            replace(state, attempt=attempt, status="finished").save(run_file.state_file)
            return strategy.unconfirmed
    raise AssertionError("count does not end")


def _wait(patience: Patience, loss: BankLostError, tell: Listener) -> None:
    try:
        patience.wait(loss)
    except BankLostError as given_up:
        tell(events.RunFailed(str(given_up)))
        raise


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
    if run_file.metrics_file is not None:
        own.append(RunMetrics(run_file.metrics_file))
    return own
