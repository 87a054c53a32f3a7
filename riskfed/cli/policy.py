"""``riskfed node policy | pending | approve | reject``: what a bank lets its records be used for, and who decides on it."""

from __future__ import annotations

import os
import pwd
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from bank_nodes.approvals import Approvals, Asked, Decision
    from bank_nodes.config import NodeConfig

Config = Annotated[Path, typer.Option("--config", "-c", help="The bank's node file.")]
Plan = Annotated[str, typer.Argument(help="First digits of the plan's digest, as the refusal names it.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask again.")]
_NODE_FILE = Path("bank.toml")


def policy(config: Config = _NODE_FILE) -> None:
    """Show the rules in force, and how much of the day's allowance the log says is used."""
    from bank_nodes.config import load_config
    from bank_nodes.history import History
    from bank_nodes.log import read_log

    node, history = load_config(config), History()
    if node.vault.log.exists():
        for entry in read_log(node.vault.log):
            history.note(entry)
    rules = {name: _shown(value) for name, value in node.policy.model_dump(mode="json").items()}
    rules["max_rounds_per_day"] += f" ({history.rounds_today()} in the last 24 hours)"
    rules["max_runs_per_day"] += f" ({history.runs_today()} in the last 24 hours)"
    rules["max_alignments_per_day"] += f" ({history.alignments_today()} in the last 24 hours)"
    _table(list(rules.items()))


def pending(
    config: Config = _NODE_FILE,
    every: Annotated[bool, typer.Option("--all", help="Decided ones too.")] = False,
) -> None:
    """List plans that wait for somebody at the bank."""
    asked = [each for each in _approvals(_load(config)).asked() if every or each.waits]
    for each in asked:
        job, roster = each.plan.job, ", ".join(each.plan.roster)
        typer.echo(f"{_id(each)}  {each.at[:19]}  run {each.plan.run}  {job.kind} with {roster}  {_state(each)}")
    if not asked:
        typer.echo("no plan waits")


def approve(
    plan: Plan,
    config: Config = _NODE_FILE,
    once: Annotated[bool, typer.Option("--once", help="For one run, with all its attempts; the default.")] = False,
    until: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="For every such run up to the end of this day, in UTC."),
    ] = None,
    yes: Yes = False,
) -> None:
    """Show what a plan asks, and approve it. Who and when is noted, and goes to the vault's log once a run opens by it."""
    if once and until is not None:
        raise typer.BadParameter("--once and --until exclude each other")
    end = None if until is None else until.replace(tzinfo=UTC) + timedelta(days=1)
    node = _load(config)
    asked = _approvals(node).find(plan)
    _explain(asked, node)
    how = "for one run" if end is None else f"for every such run before {end:%Y-%m-%d %H:%M} UTC"
    if not yes:
        typer.confirm(f"Approve this plan {how}?", abort=True)
    decision = _approvals(node).decide(asked, "approved", _login(), end)
    typer.echo(f"approved {how}, by {_clean(decision.by)}; the operator can start the run again")


def reject(plan: Plan, config: Config = _NODE_FILE, yes: Yes = False) -> None:
    """Show what a plan asks, and refuse it, or withdraw an approval. Runs that are open go on."""
    node = _load(config)
    asked = _approvals(node).find(plan)
    _explain(asked, node)
    if not yes:
        typer.confirm("Reject this plan?", abort=True)
    decision = _approvals(node).decide(asked, "rejected", _login())
    typer.echo(f"rejected, by {_clean(decision.by)}")


def _load(config: Path) -> NodeConfig:
    from bank_nodes.config import load_config

    return load_config(config)


def _approvals(node: NodeConfig) -> Approvals:
    from bank_nodes.approvals import FOLDER, Approvals

    return Approvals(node.vault.log.parent / FOLDER)


def _id(asked: Asked) -> str:
    from bank_nodes.approvals import SHORT

    return asked.digest[:SHORT]


def _explain(asked: Asked, node: NodeConfig) -> None:
    from bank_nodes.plain_words import describe_plan
    from riskfed.errors import PolicyError

    _table(
        [("plan", asked.digest), ("asked", f"{asked.at[:19]} UTC, by run {asked.plan.run}"), *describe_plan(asked.plan)]
    )
    try:
        node.policy.check_plan(asked.plan, node.bank)
    except PolicyError as error:
        typer.echo(f"The policy refuses it all the same: {error}")


def _state(asked: Asked) -> str:
    if asked.decision is None:
        return "waits"
    return f"waits again, {_told(asked.decision)}" if asked.waits else _told(asked.decision)


def _told(decision: Decision) -> str:
    how = "once" if decision.until is None else f"until {decision.until[:16]}"
    scope = f" {how}" if decision.verdict == "approved" else ""
    return f"{decision.verdict}{scope} by {_clean(decision.by)} on {decision.at[:19]}"


def _login() -> str:
    """Who sits at the terminal, also behind sudo; otherwise the account that this process runs as."""
    account = pwd.getpwuid(os.getuid()).pw_name
    try:
        login = os.getlogin()
    except OSError:
        return account
    return login if login == account else f"{login} as {account}"


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none named"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _clean(text: str) -> str:
    return text if text.isprintable() else ascii(text)


def _table(rows: list[tuple[str, str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table.grid("", "", padding=(0, 2))
    for name, text in rows:
        table.add_row(Text(name), Text(_clean(text), overflow="fold"))
    Console().print(table)
