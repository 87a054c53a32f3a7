"""A bank whose plans wait for a person's approval."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from bank_nodes.approvals import FOLDER, Approvals
from bank_nodes.config import load_config
from bank_nodes.log import VaultLog, read_log
from bank_nodes.run_service import RunService
from bank_nodes.vault import make_service
from riskfed.cli import app
from riskfed.plan import Plan
from riskfed.protocols.frames import Kind, decode_batch
from tests.bank_nodes.banks import BANKS, label_of, loans, make_consortium, plan_batch, reason_in

RUNNER = CliRunner()


class Bank:
    """A vault in this process, with manual approval, and its command line."""

    def __init__(self, folder: Path, rules: str = 'approval = "manual"') -> None:
        policy = f"min_rows = 50\n{rules}"
        self.config = make_consortium(folder, {bank: loans(1) for bank in BANKS}, policies={"ash": policy})["ash"]
        self.node = load_config(self.config)
        self.log_path = self.node.vault.log
        self.approvals = Approvals(self.log_path.parent / FOLDER)
        self.start()

    def start(self) -> None:
        self.log = VaultLog(self.log_path)
        self.service: RunService = make_service(self.node, self.log)

    def stop(self) -> None:
        self.service.stop("stopped")
        self.log.close()

    def restart(self) -> None:
        self.stop()
        self.start()

    def ask(self, plan: Plan) -> str | None:
        """Ask for a run; the reason, or None if it opened (it is ended then)."""
        answer = self.service.handle(label_of(plan), plan_batch(plan))
        if decode_batch(answer)[0].kind is Kind.FAILED:
            return reason_in(answer)
        self.service.stop("the test ends it")
        return None

    def command(self, *arguments: str, said: str = "y\n") -> str:
        result = RUNNER.invoke(app, ["node", *arguments, "-c", str(self.config)], input=said)
        assert result.exit_code == 0, result.output + result.stderr
        return result.output

    def events(self, *names: str) -> list[dict[str, Any]]:
        return [entry for entry in read_log(self.log_path) if entry["event"] in names]
