"""The vertical demo's table and its figures as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from riskfed.demo.comparison import Figures
from riskfed.demo.federation import FinishedRun
from riskfed.demo.vertical_comparison import JointComparison
from riskfed.demo.vertical_scoring import JointScores
from riskfed.protocols.release import ModelRelease


@dataclass(frozen=True, kw_only=True)
class JointReport(FinishedRun):
    """All that the vertical demo found.

    Attributes:
        comparison: joint, pooled, each side alone.
        release: the label holder's.
        scores: joint scoring over HTTP.
    """

    comparison: JointComparison
    release: ModelRelease
    scores: JointScores


def show_jointly(report: JointReport, console: Console) -> None:
    """Print the table and where to look."""
    found, run = report.comparison, report.outcome
    console.print(_table(found))
    exact = found.trees_identical == found.trees and found.bytes_identical
    console.print(
        f"trees identical to plain xgboost on the joined table: [bold {'green' if exact else 'red'}]"
        f"{found.trees_identical}/{found.trees}[/]"
        + (", and both parts put together are the same file to the last byte" if found.bytes_identical else "")
    )
    console.print(
        f"{found.common:,} customers in common; {run.seconds:.0f} s training, {report.seconds:.0f} s in all; "
        f"{report.bytes / 1e6:.1f} MB in {run.rounds} rounds; {run.protection}, {run.transport} transport"
    )
    for partner in report.release.partners:
        console.print(
            f"{partner.party} keeps {partner.splits} splits in its vault, part {partner.sha256[:12]}; "
            f"the rest is {report.model_uri} (alias champion) in MLflow"
        )
    scores = report.scores
    console.print(
        f"{scores.scored} applicants scored jointly at {report.api}/v1/score: {scores.agreeing} with the joint model's PD, "
        f"{scores.fell_back} by the fallback; p50 {scores.p50_ms:.1f} ms, p99 {scores.p99_ms:.1f} ms"
    )
    console.print(
        f"an applicant whom the partner does not know: PD {scores.unknown['pd']:.4f}, fallback: {scores.unknown.get('fallback')}"
    )


def write_joint_summary(report: JointReport, path: Path) -> None:
    """Write the figures for programs."""
    found, run, scores = report.comparison, report.outcome, report.scores
    fields = {
        "auc_joint": found.joint.auc,
        "auc_label_holder_alone": found.label_holder_alone.auc,
        "auc_feature_holder_alone": found.feature_holder_alone.auc,
        "auc_pooled": found.pooled.auc,
        "ks_joint": found.joint.ks,
        "trees": found.trees,
        "trees_identical": found.trees_identical,
        "bytes_identical": found.bytes_identical,
        "intersection_rows": found.common,
        "held_out_rows": found.held_out,
        "partner_splits": {partner.party: partner.splits for partner in report.release.partners},
        "seconds": round(report.seconds, 1),
        "training_seconds": round(run.seconds, 1),
        "bytes": report.bytes,
        "rounds": run.rounds,
        "protection": run.protection,
        "transport": run.transport,
        "joint_scores": scores.scored,
        "joint_scores_agreeing": scores.agreeing,
        "joint_scores_by_fallback": scores.fell_back,
        "p50_joint_scoring_ms": round(scores.p50_ms, 2),
        "p99_joint_scoring_ms": round(scores.p99_ms, 2),
        "fallback_of_unknown_customer": scores.unknown.get("fallback"),
        "model_uri": report.model_uri,
    }
    path.write_text(json.dumps(fields, indent=2) + "\n")


def _table(found: JointComparison) -> Table:
    table = Table(title=f"AUC and KS on {found.held_out:,} held-out customers of both parties", title_justify="left")
    for heading in ("model", "AUC", "KS"):
        table.add_column(heading, justify="left" if heading == "model" else "right", no_wrap=True)
    table.add_row("joint, encrypted", *_figures(found.joint), style="bold green")
    table.add_row("plain xgboost on the joined table", *_figures(found.pooled), end_section=True)
    table.add_row("lender alone (the fallback)", *_figures(found.label_holder_alone))
    table.add_row("partner alone, if it had the labels", *_figures(found.feature_holder_alone))
    return table


def _figures(figures: Figures) -> tuple[str, str]:
    return f"{figures.auc:.6f}", f"{figures.ks:.4f}"
