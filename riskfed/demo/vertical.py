"""Run the vertical demo: a lender and a payments company train one model on their common customers, and score applicants with it.

Alignment, training and registration run over SuperLink, vaults, couriers and MLflow as in production; then the partner's endpoint and the
lender's scoring service answer for applicants. All on loopback, and stopped at the end.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console

from riskfed.datasets.vertical import LENDER, taiwan_parties, taiwan_vertical_schema
from riskfed.demo.consortium import lay_out
from riskfed.demo.federation import ACCEPTANCE, log_exactness, run_to_the_end, start_servers
from riskfed.demo.next_steps import keep_running
from riskfed.demo.vertical_comparison import JoinedTable, compare_jointly, joint_model, parts_of
from riskfed.demo.vertical_layout import PARTNER, JointScoring
from riskfed.demo.vertical_scoring import JointScores, score_jointly
from riskfed.demo.vertical_summary import JointReport, show_jointly, write_joint_summary
from riskfed.flower.run_file import RunFile
from riskfed.jobs import VerticalXgboost
from riskfed.protocols.release import ModelRelease
from riskfed.stack.loopback import LoopbackStack

MODEL = "riskfed-joint-pd"
EXPERIMENT = "Taiwan credit cards, joint"
_SCORED = 250
"""Applicants that are scored over HTTP."""


@dataclass(frozen=True, slots=True)
class JointSettings:
    """What the vertical demo runs.

    Attributes:
        folder: emptied first; everything is written below it.
        job, key_bits, transport: as in a run file.
        rows: people to draw the parties' customers from; None for all 30,000.
        keep: leave all servers running until interrupted.
    """

    folder: Path
    job: VerticalXgboost
    key_bits: int = 2048
    transport: str = "session"
    rows: int | None = None
    keep: bool = False


def run_vertical_demo(settings: JointSettings, console: Console) -> None:
    """Run it, print the table, write ``summary.json``; stops all that it started.

    Raises:
        RiskfedError: something did not come up, or the run failed; says which log to read.
    """
    started, folder = time.monotonic(), settings.folder
    shutil.rmtree(folder, ignore_errors=True)
    parties, schema = taiwan_parties(rows=settings.rows), taiwan_vertical_schema()
    joint = JointScoring.prepare(lay_out(folder, parties, schema))
    held = ", ".join(f"{party} with {len(records):,} customers" for party, records in parties.items())
    console.print(f"[bold]riskfed demo-vertical[/]: {held}")
    with tempfile.TemporaryDirectory(prefix="riskfed-") as sockets, LoopbackStack(folder) as stack:
        write_node_files = partial(joint.write_node_files, stack, Path(sockets))
        tracking_uri, nodes = start_servers(stack, joint.consortium, write_node_files, console)
        _run_file(settings, tracking_uri, nodes).save(folder / "run.json")
        outcome = run_to_the_end(stack, folder / "run.json", console)
        release = ModelRelease.from_bytes((folder / "release.json").read_bytes())
        with console.status("comparing with plain xgboost on the joined table, and each party alone"):
            table, parts = JoinedTable(parties, schema, settings.job), parts_of(release, folder)
            comparison = compare_jointly(table, release, parts)
            log_exactness(folder, tracking_uri, EXPERIMENT, outcome, comparison.trees_identical, comparison.trees)
        with console.status("scoring applicants jointly"):
            stack.start_answers(PARTNER, joint.consortium.node_file(PARTNER), joint.answers_port)
            api = stack.start_scoring_service(joint.write_service_file(tracking_uri, MODEL), joint.service_port)
            scores = _score(api, parties, table, table.pds(joint_model(table, release, parts), *table.order))
        seconds = time.monotonic() - started
        report = JointReport(
            comparison=comparison,
            release=release,
            scores=scores,
            outcome=outcome,
            tracking_uri=tracking_uri,
            api=api,
            model=MODEL,
            seconds=seconds,
        )
        show_jointly(report, console)
        write_joint_summary(report, folder / "summary.json")
        if settings.keep:
            keep_running(folder, console)


def _run_file(settings: JointSettings, tracking_uri: str, nodes: Mapping[str, int]) -> RunFile:
    return RunFile(
        job=settings.job,
        key_bits=settings.key_bits,
        transport=settings.transport,
        roster=nodes,
        schema_file=Path("schema.json"),
        acceptance=ACCEPTANCE,
        tracking={"uri": tracking_uri, "experiment": EXPERIMENT, "model": MODEL},
    )


def _score(api: str, parties: Mapping[str, pd.DataFrame], table: JoinedTable, pds: np.ndarray) -> JointScores:
    """Score held-out customers of both parties as applicants of the lender, and one whom the partner does not know."""
    records = table.written_as(parties[LENDER]).drop(columns="default")
    chosen = np.flatnonzero(table.held_out)[:_SCORED]
    strangers = parties[LENDER].loc[~table.knows(parties[LENDER])].drop(columns="default")
    return score_jointly(api, records.iloc[chosen], pds[chosen], strangers.iloc[0])
