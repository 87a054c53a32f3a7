"""The demo's table and its figures as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from riskfed.demo.comparison import Comparison, Figures
from riskfed.demo.federation import FinishedRun
from riskfed.evaluation.limits import Verdict


@dataclass(frozen=True, kw_only=True)
class Report(FinishedRun):
    """All that the demo found.

    Attributes:
        comparison: federated, pooled, alone.
        score: the scoring API's answer.
        applicant: whom it scored.
        verdict: on the model, against the usual limits.
    """

    comparison: Comparison
    score: Mapping[str, Any]
    applicant: Mapping[str, float]
    verdict: Verdict | None


def show(report: Report, console: Console, *, kept: bool) -> None:
    """Print the table and where to look."""
    found = report.comparison
    table = Table(
        title="AUC and KS on the held-out fifth of all applicants; at the right, AUC on each bank's own",
        title_justify="left",
    )
    for heading in ("model", "AUC", "KS", "own: alone", "own: federated"):
        table.add_column(heading, justify="left" if heading == "model" else "right", no_wrap=True)
    table.add_row("federated, encrypted", *_figures(found.federated), "", "", style="bold green")
    table.add_row("pooled xgboost", *_figures(found.pooled), "", "", end_section=True)
    for bank, figures in found.alone.items():
        own, common = found.own_rows[bank]
        table.add_row(f"{bank} alone", *_figures(figures), f"{own.auc:.4f}", f"{common.auc:.4f}")
    console.print(table)
    exact = found.trees_identical == found.trees and found.bytes_identical
    console.print(
        f"trees identical to pooled xgboost: [bold {'green' if exact else 'red'}]{found.trees_identical}/{found.trees}[/]"
        + (", and the model file is the same to the last byte" if found.bytes_identical else "")
    )
    run = report.outcome
    console.print(
        f"{run.seconds:.0f} s training, {report.seconds:.0f} s in all; {report.bytes / 1e6:.1f} MB in {run.rounds} rounds; "
        f"{run.protection}, {run.transport} transport"
    )
    console.print(
        f"applicant scored at {report.api}/v1/score: PD {report.score['pd']:.4f}, {report.score['score']} points; "
        + _first_reason(report.score)
    )
    if report.verdict is not None:
        told = "; ".join(report.verdict.reasons) or f"all {len(report.verdict.checks)} figures keep to their limits"
        console.print(f"verdict: [bold]{report.verdict.colour.upper()}[/] ({told})")
    console.print(f"model: {report.model_uri} (alias champion) in MLflow, with its validation report")
    if kept:
        console.print(f"MLflow: {report.tracking_uri}/#/experiments?workflowType=machine_learning")
        console.print(f"the loan desk's page: {report.api}/ (API: {report.api}/openapi.json)")
    else:
        console.print(
            "to look around in MLflow and on the loan desk's page: [bold]make up[/] keeps all of it running, [bold]make down[/] stops it"
        )


def write_summary(report: Report, path: Path) -> None:
    """Write the figures for programs."""
    found, run = report.comparison, report.outcome
    fields = {
        "trees": found.trees,
        "trees_identical": found.trees_identical,
        "bytes_identical": found.bytes_identical,
        "auc_federated": found.federated.auc,
        "auc_pooled": found.pooled.auc,
        "auc_alone": {bank: figures.auc for bank, figures in found.alone.items()},
        "ks_federated": found.federated.ks,
        "ks_pooled": found.pooled.ks,
        "ks_alone": {bank: figures.ks for bank, figures in found.alone.items()},
        "auc_own_applicants": {b: {"alone": own.auc, "federated": fed.auc} for b, (own, fed) in found.own_rows.items()},
        "seconds": round(report.seconds, 1),
        "training_seconds": round(run.seconds, 1),
        "bytes": report.bytes,
        "rounds": run.rounds,
        "protection": run.protection,
        "transport": run.transport,
        "verdict": None if report.verdict is None else report.verdict.colour,
        "model_uri": report.model_uri,
        "tracking_uri": report.tracking_uri,
        "scoring_api": report.api,
        "applicant_score": report.score,
    }
    path.write_text(json.dumps(fields, indent=2) + "\n")


def _first_reason(score: Mapping[str, Any]) -> str:
    """What costs the applicant the most."""
    if not score["reasons"]:
        return "nothing speaks against it"
    first = score["reasons"][0]
    return f"first reason: {first['text']} ({first['points_lost']:g} points lost)"


def _figures(figures: Figures) -> tuple[str, str]:
    return f"{figures.auc:.6f}", f"{figures.ks:.4f}"
