"""The vertical demo's table and its figures as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.table import Table

from riskfed.demo.federation import FinishedRun
from riskfed.demo.vertical_scoring import JointScores
from riskfed.protocols.release import ModelRelease
from riskfed.vertical_model import PartnerReference


class Comparison(Protocol):
    """A joint model beside the pooled one, and beside what each side could do alone."""

    @property
    def common(self) -> int:
        """Customers whom all parties have."""
        ...

    def table(self) -> Table:
        """AUC and KS of each model."""
        ...

    def verdict(self) -> str:
        """How near the joint model is to the pooled one, in rich's markup."""
        ...

    def figures(self) -> Mapping[str, Any]:
        """For programs."""
        ...


@dataclass(frozen=True, kw_only=True)
class JointReport(FinishedRun):
    """All that the vertical demo found.

    Attributes:
        comparison: joint, pooled, each side alone.
        release: the label holder's.
        scores: joint scoring over HTTP.
    """

    comparison: Comparison
    release: ModelRelease
    scores: JointScores


def show_jointly(report: JointReport, console: Console) -> None:
    """Print the table and where to look."""
    found, run = report.comparison, report.outcome
    console.print(found.table())
    console.print(found.verdict())
    console.print(
        f"{found.common:,} customers in common; {run.seconds:.0f} s training, {report.seconds:.0f} s in all; "
        f"{report.bytes / 1e6:.1f} MB in {run.rounds} rounds; {run.protection}, {run.transport} transport"
    )
    for partner in report.release.partners:
        console.print(
            f"{partner.party} keeps its part, {_size(partner)}, in its vault ({partner.sha256[:12]}); "
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
        **found.figures(),
        "intersection_rows": found.common,
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


def _size(partner: PartnerReference) -> str:
    return "a partial score" if partner.answers == "partial_score" else f"{partner.splits} splits"
