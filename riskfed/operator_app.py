"""Where the operator's parts meet: the ServerApp, with MLflow listening where the run file has a ``tracking`` table.

The table's keys: ``uri`` and ``experiment``, and ``model``, under which the model is registered and gated; without it, it is only logged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from riskfed.errors import ConfigurationError
from riskfed.evaluation.limits import Verdict
from riskfed.flower.listeners import FinishingListener
from riskfed.flower.run_file import RunFile
from riskfed.flower.server_app import make_server_app
from riskfed.protocols.events import Event, Listener
from riskfed.protocols.release import ModelRelease

_KEYS = {"uri": True, "experiment": True, "model": False}
"""Key -> whether it must be there."""


def tracking_listeners(run_file: RunFile, run: str) -> Sequence[Listener]:
    """The listeners that a run file asks for, besides the server's own.

    Raises:
        ConfigurationError: the tracking table lacks a key, or has one that does not exist.
    """
    del run
    if run_file.tracking is None:
        return ()
    table = dict(run_file.tracking)
    missing = sorted(key for key, needed in _KEYS.items() if needed and key not in table)
    unknown = sorted(set(table) - set(_KEYS))
    if missing or unknown or any(not isinstance(value, str) for value in table.values()):
        raise ConfigurationError(
            f"the run file's tracking table has the texts uri, experiment and, optionally, model; "
            f"missing: {', '.join(missing) or 'none'}, unknown: {', '.join(unknown) or 'none'}"
        )
    return (_Mlflow(run_file, table),)


class _Mlflow(FinishingListener):
    """`MlflowRun` as a listener that is waited for."""

    def __init__(self, run_file: RunFile, table: Mapping[str, str]) -> None:
        # Here and not above: it takes seconds, and a run without tracking does not need it.
        from riskfed.reports.pictures import run_pictures
        from riskfed.tracking.run import MlflowRun

        self._run = MlflowRun(
            table["uri"],
            table["experiment"],
            table.get("model"),
            release_path=run_file.release_file,
            pictures=run_pictures,
            report=write_report,
            acceptance=run_file.acceptance,
        )

    def __call__(self, event: Event) -> None:
        self._run(event)

    def finish(self) -> Mapping[str, str]:
        """See `FinishingListener`."""
        self._run.finish()
        facts = {"run_id": self._run.run_id, "model_version": self._run.version}
        if (verdict := self._run.verdict) is not None:
            facts |= {"verdict": verdict.colour, "verdict_reasons": "; ".join(verdict.reasons)}
        if (gate := self._run.gate_result) is not None:
            facts |= {"gate": "passed" if gate.passed else "not passed", "gate_reasons": "; ".join(gate.reasons)}
        return {name: value for name, value in facts.items() if value is not None}


def write_report(release: ModelRelease, verdict: Verdict | None, facts: Mapping[str, str]) -> str:
    """The validation report of a finished run; see `riskfed.tracking.desk.Report`."""
    from riskfed.reports.validation_report import validation_report
    from riskfed.reports.validation_report.report_input import ReportInput

    return validation_report(ReportInput(release, verdict, facts))


app = make_server_app(tracking_listeners)
