"""The command line: ``riskfed GROUP COMMAND``.

Every error that riskfed raises on purpose becomes one line on standard error and an exit code:

    0  done                      3  records do not meet the schema
    1  failed                    4  a bank's policy refuses
    2  a file or argument is wrong
    10, 20  `riskfed monitor` says amber, red
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperGroup

from riskfed.cli import api_key, audit, demo, monitor, node, operator, promote, report, score_file, serve
from riskfed.errors import ConfigurationError, ContractError, PolicyError, RiskfedError

_EXIT_CODES: tuple[tuple[type[RiskfedError], int], ...] = (
    (ConfigurationError, 2),
    (ContractError, 3),
    (PolicyError, 4),
)


def exit_code(error: RiskfedError) -> int:
    """The process's exit code for an error; see the table above."""
    return next((code for kind, code in _EXIT_CODES if isinstance(error, kind)), 1)


class _Commands(TyperGroup):
    """Shows riskfed's own errors as one line, without a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except RiskfedError as error:
            typer.secho(f"riskfed: {' '.join(str(error).split())}", fg=typer.colors.RED, err=True)
            raise typer.Exit(exit_code(error)) from None


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    # typer's own tracebacks can show local variables, and with them records.
    pretty_exceptions_enable=False,
    help="Banks train one default-prediction model together; no loan record leaves any of them.",
)
app.add_typer(node.app, name="node")
app.add_typer(audit.app, name="audit")
app.add_typer(api_key.app, name="api-key")
_commands: tuple[Callable[..., None], ...] = (
    *operator.COMMANDS,
    monitor.monitor,
    report.report,
    promote.promote,
    serve.serve,
    score_file.score_file,
    demo.demo,
    demo.demo_vertical,
    demo.up,
    demo.down,
)
for command in _commands:
    app.command()(command)
