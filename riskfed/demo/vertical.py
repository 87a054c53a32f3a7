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
from riskfed.demo.common_customers import CommonCustomers, parts_of
from riskfed.demo.consortium import lay_out
from riskfed.demo.federation import ACCEPTANCE, log_exactness, run_to_the_end, start_servers
from riskfed.demo.logistic_comparison import LogisticTable, compare_logistic
from riskfed.demo.next_steps import keep_running
from riskfed.demo.vertical_comparison import JoinedTable, JointComparison, compare_jointly, joint_model
from riskfed.demo.vertical_layout import LEAST_ROWS, PARTNER, JointScoring
from riskfed.demo.vertical_scoring import JointScores, score_jointly
from riskfed.demo.vertical_summary import Comparison, JointReport, show_jointly, write_joint_summary
from riskfed.flower.run_file import RunFile
from riskfed.jobs import VerticalLogistic, VerticalXgboost
from riskfed.linear_model import ScorePart
from riskfed.protocols.release import ModelRelease
from riskfed.schema import Schema
from riskfed.stack.loopback import LoopbackStack
from riskfed.vertical_model import FeaturePart

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
    job: VerticalXgboost | VerticalLogistic
    key_bits: int = 2048
    transport: str = "session"
    rows: int | None = None
    keep: bool = False


def joint_trees(trees: int, depth: int, max_bin: int) -> VerticalXgboost:
    """The demo's trees; every node and bin that the partner answers for has `LEAST_ROWS`."""
    return VerticalXgboost(
        label_holder=LENDER,
        n_estimators=trees,
        max_depth=depth,
        max_bin=max_bin,
        learning_rate=0.15,
        validation_fraction=0.2,
        min_child_weight=LEAST_ROWS / 4,
        least_node=LEAST_ROWS,
        least_bin=LEAST_ROWS,
    )


def joint_scorecard() -> VerticalLogistic:
    """The demo's scorecard in two parts."""
    return VerticalLogistic(
        label_holder=LENDER, coordinator="coordinator", validation_fraction=0.2, least_bin=LEAST_ROWS
    )


def run_vertical_demo(settings: JointSettings, console: Console) -> None:
    """Run it, print the table, write ``summary.json``; stops all that it started.

    Raises:
        RiskfedError: something did not come up, or the run failed; says which log to read.
    """
    started, folder = time.monotonic(), settings.folder
    shutil.rmtree(folder, ignore_errors=True)
    parties, schema = taiwan_parties(rows=settings.rows), taiwan_vertical_schema()
    coordinator = "".join(settings.job.parties_without_records)
    joint = JointScoring.prepare(lay_out(folder, parties, schema, coordinator=coordinator))
    console.print(f"[bold]riskfed demo-vertical[/]: {_who(parties, coordinator)}")
    with tempfile.TemporaryDirectory(prefix="riskfed-") as sockets, LoopbackStack(folder) as stack:
        write_node_files = partial(joint.write_node_files, stack, Path(sockets))
        tracking_uri, nodes = start_servers(stack, joint.consortium, write_node_files, console)
        _run_file(settings, tracking_uri, nodes).save(folder / "run.json")
        outcome = run_to_the_end(stack, folder / "run.json", console)
        release = ModelRelease.from_bytes((folder / "release.json").read_bytes())
        with console.status("comparing with the same on the joined table, and each party alone"):
            compared = _compare(settings, parties, schema, release)
        if isinstance(found := compared.comparison, JointComparison):
            log_exactness(folder, tracking_uri, EXPERIMENT, outcome, found.trees_identical, found.trees)
        with console.status("scoring applicants jointly"):
            stack.start_answers(PARTNER, joint.consortium.node_file(PARTNER), joint.answers_port)
            api = stack.start_scoring_service(joint.write_service_file(tracking_uri, MODEL), joint.service_port)
            scores = _score(api, parties, compared)
        seconds = time.monotonic() - started
        report = JointReport(
            comparison=compared.comparison,
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


def _who(parties: Mapping[str, pd.DataFrame], coordinator: str) -> str:
    held = ", ".join(f"{party} with {len(records):,} customers" for party, records in parties.items())
    return f"{held}, and {coordinator}, which holds the key and no records" if coordinator else held


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


@dataclass(frozen=True, slots=True, eq=False)
class _Compared:
    """The joint model beside others, and the (n,) PD that it gives each common customer."""

    table: CommonCustomers
    comparison: Comparison
    pds: np.ndarray


def _compare(
    settings: JointSettings, parties: Mapping[str, pd.DataFrame], schema: Schema, release: ModelRelease
) -> _Compared:
    job, folder = settings.job, settings.folder
    if isinstance(job, VerticalLogistic):
        regression = LogisticTable(parties, schema, job)
        scores = parts_of(release, folder, ScorePart)
        return _Compared(regression, compare_logistic(regression, release, scores), regression.pds(release, scores))
    table = JoinedTable(parties, schema, job)
    splits = parts_of(release, folder, FeaturePart)
    pds = table.pds(joint_model(table, release, splits), *table.order)
    return _Compared(table, compare_jointly(table, release, splits), pds)


def _score(api: str, parties: Mapping[str, pd.DataFrame], compared: _Compared) -> JointScores:
    """Score held-out customers of both parties as applicants of the lender, and one whom the partner does not know."""
    table, pds = compared.table, compared.pds
    records = table.written_as(parties[LENDER]).drop(columns="default")
    chosen = np.flatnonzero(table.held_out)[:_SCORED]
    strangers = parties[LENDER].loc[~table.knows(parties[LENDER])].drop(columns="default")
    return score_jointly(api, records.iloc[chosen], pds[chosen], strangers.iloc[0])
