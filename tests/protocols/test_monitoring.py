"""Monitoring: a model on recent loans against the record of its development."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from riskfed.errors import JobError
from riskfed.evaluation.record import Evaluation
from riskfed.jobs import ModelMonitoring
from riskfed.protocols.monitoring import Monitored, monitor
from riskfed.protocols.program import OwnMetrics, Program, Release, Sum
from riskfed.protocols.records import Records
from riskfed.protocols.release import ModelRelease
from riskfed.protocols.rounds import most_rounds
from riskfed.scorecard.points import ScoreScale
from tests.evaluation.loans import SCALE, SCHEMA, Formula, loans, parts, programs
from tests.helpers import add_up

JOB = ModelMonitoring(model_sha256="d" * 64, cohorts=(2023,))
NOW = loans(3000, 9)


@cache
def baseline() -> Evaluation:
    found = add_up(programs(loans(6000, 1), loans(3000, 2), 1))[0]
    assert found is not None
    return found


def sides(frame: pd.DataFrame, banks: int, job: ModelMonitoring = JOB, **more: Any) -> list[Program[Monitored]]:
    settings = {"model": Formula(), "baseline": baseline(), "scale": SCALE, **more}
    return [monitor(Records.from_frame(own, SCHEMA), SCHEMA, job, **settings) for own in parts(frame, banks)]


def monitored(frame: pd.DataFrame = NOW, banks: int = 3, job: ModelMonitoring = JOB, **more: Any) -> Evaluation:
    found = add_up(sides(frame, banks, job, **more))
    assert len({outcome.release.to_bytes() for outcome in found}) == 1
    return found[0].evaluation


def test_recent_loans_are_measured_against_the_development_ones() -> None:
    got, recent = monitored(), NOW[NOW["year"] == 2023]
    margins = Formula().margins(SCHEMA.encode(recent))
    points = SCALE.points_of_log_odds(margins)
    assert (got.population.rows, got.population.development_rows) == (len(recent), 6000)
    assert got.discrimination.auc.value == pytest.approx(roc_auc_score(recent["default"], margins), abs=1e-15)
    assert [(g.low, g.high, g.development) for g in got.grades] == [
        (g.low, g.high, g.development) for g in baseline().grades
    ]
    counts = [((points >= g.low) & (points <= g.high)).sum() for g in got.grades]
    assert [grade.recent for grade in got.grades] == [grade.goods + grade.bads for grade in got.grades] == counts
    p, q = np.array([g.development for g in got.grades]) / 6000, np.array(counts) / len(recent)
    assert got.score_shift.index == pytest.approx(((q - p) * np.log(q / p)).sum(), abs=1e-13)
    assert got.cutoff == baseline().cutoff
    assert got.approval_rate == (points >= got.cutoff).mean()
    assert {vintage.cohort for vintage in got.vintages} == {"2023"}


def test_features_are_binned_as_at_development() -> None:
    got = monitored()
    recent = NOW[NOW["year"] == 2023]
    for now, then in zip(got.features, baseline().features, strict=True):
        assert (now.edges, now.groups, now.special) == (then.edges, then.groups, then.special)
        assert [row.expected for row in now.bins] == [row.expected for row in then.bins]
        assert sum(row.actual for row in now.bins) == len(recent)
    income = got.features[0]
    codes = np.digitize(recent["income"], income.edges)
    assert [row.actual for row in income.bins[:-1]] == [
        ((codes == at) & recent["income"].notna()).sum() for at in range(len(income.edges) + 1)
    ]


def test_a_shift_is_seen() -> None:
    poorer = NOW.assign(income=NOW["income"] * 0.6)
    assert (monitored(poorer).features[0].index or 0) > 0.25
    assert (monitored(poorer).score_shift.index or 0) > 10 * (monitored().score_shift.noise or 0)
    assert (monitored().features[2].index or 0) < 0.02


def test_without_cohorts_all_loans_are_measured_whoever_holds_them() -> None:
    job = ModelMonitoring(model_sha256="d" * 64)
    assert monitored(job=job).population.rows == len(NOW)
    assert monitored(job=job, banks=5).grades == monitored(job=job, banks=2).grades


def test_grades_and_bins_with_few_loans_are_merged_with_the_baselines() -> None:
    got = monitored(NOW[NOW["year"] == 2023][:150])
    assert 1 < len(got.grades) < len(baseline().grades)
    assert min(grade.goods + grade.bads for grade in got.grades) >= JOB.least_cell
    assert sum(grade.development for grade in got.grades) == 6000
    for shift in got.features:
        assert sum(row.expected for row in shift.bins) == 6000
        assert all(row.actual == 0 or row.actual >= JOB.least_cell for row in shift.bins)


def test_the_release_holds_the_record_and_no_model() -> None:
    requests: list[Any] = []

    def watched(program: Program[Monitored]) -> Program[Monitored]:
        answer = None
        while True:
            try:
                request = program.send(answer)
            except StopIteration as stop:
                return stop.value
            requests.append(request)
            answer = yield request

    (outcome,) = add_up([watched(program) for program in sides(NOW, 1)])
    (release,) = [ModelRelease.from_bytes(r.result) for r in requests if isinstance(r, Release)]
    assert (release.model, release.form, release.kind) == (b"", "withheld", "model_monitoring")
    assert (release.model_sha256, release.evaluation) == (JOB.model_sha256, outcome.evaluation)
    assert release.metrics == outcome.evaluation.figures()
    (own,) = [r.metrics for r in requests if isinstance(r, OwnMetrics)]
    assert own["auc"] == outcome.evaluation.discrimination.auc.value
    assert 1 + sum(isinstance(r, Sum) for r in requests) <= most_rounds(JOB)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frame": NOW[NOW["default"] == 0]}, "not defined on these loans"),
        ({"frame": NOW[NOW["year"] < 2023]}, "not defined on these loans"),
        ({"job": ModelMonitoring(model_sha256="d" * 64, cohorts=(2031,))}, "1 cohorts .* 2031"),
        ({"scale": ScoreScale(minimum=0, maximum=1000)}, "not those of its scale"),
    ],
)
def test_what_does_not_suit_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(JobError, match=message):
        monitored(**change)
