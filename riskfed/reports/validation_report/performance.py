"""Sections 2 and 3: how well the model ranks, and how well its PDs agree with what happened."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from riskfed.evaluation.limits import Colour
from riskfed.evaluation.record import Evaluation, Grade, Interval
from riskfed.reports.plots import wilson_interval
from riskfed.reports.validation_report import charts
from riskfed.reports.validation_report.blocks import (
    Block,
    Column,
    Mark,
    Picture,
    Pictures,
    Section,
    Side,
    Table,
    Terms,
    missing,
)
from riskfed.reports.validation_report.report_input import ReportInput
from riskfed.reports.validation_report.text_format import NONE, count, decimal, interval, p_value, percent, ratio

UNMEASURED = "Not measured: no loans of both kinds, good and default, were held out."
_UNUSUAL = 0.05
"""A Jeffreys p nearer to 0 or 1 is remarked on."""
_GRADE = Column("Grade")
_POINTS = Column("Points")


def discrimination(given: ReportInput) -> Section:
    """AUC, Gini and KS, curves, score distribution, gains."""
    evaluation = given.release.evaluation
    blocks: list[Block] = [missing(UNMEASURED)]
    if evaluation is not None:
        blocks = [Side(_ranking(evaluation), _RANKING_TERMS), *_curves(given, evaluation), _gains(evaluation.grades)]
    return Section("discrimination", "Discrimination: how well the model ranks", blocks)


_RANKING_TERMS = Terms(
    (
        ("AUC", "area under the ROC curve: the chance that a defaulter scores worse than a good loan"),
        ("Gini", "2 AUC − 1: 0 is a coin, 1 perfect"),
        (
            "KS",
            "Kolmogorov-Smirnov distance: the greatest distance between the cumulative distributions of goods and defaults",
        ),
        ("lift", "default rate up to here over that of all loans"),
    )
)


def _ranking(evaluation: Evaluation) -> Table:
    rank = evaluation.discrimination
    columns = (Column("Figure", number=False), Column("Value"), Column("95 % interval"), Column("Standard error"))
    rows = [
        ("AUC", *_estimate(rank.auc)),
        ("Gini", *_estimate(rank.gini)),
        (f"KS, at {rank.ks_points} points", decimal(rank.ks), NONE, NONE),
    ]
    return Table("Ranking of the held-out loans; intervals by DeLong", columns, rows, narrow=True)


def _estimate(estimate: Interval) -> tuple[str, str, str]:
    return decimal(estimate.value), interval(estimate), decimal(estimate.standard_error)


def _curves(given: ReportInput, evaluation: Evaluation) -> list[Block]:
    rank, cells, grades = evaluation.discrimination, evaluation.cells, evaluation.grades
    found: list[Block] = []
    if any(cell.goods for cell in cells) and any(cell.bads for cell in cells):
        roc = Picture(
            charts.roc(cells, rank.auc.value), "ROC: defaults caught for good loans refused, from the worst score on."
        )
        drawn = charts.score_distributions(cells, given.scale, rank.ks, rank.ks_points)
        ks = Picture(
            drawn, "Share of goods and of defaults with fewer points; KS is the greatest distance between the curves."
        )
        found.append(Pictures((roc, ks)))
    else:
        found.append(missing("The curves cannot be drawn: every cell of scores was smaller than the minimum cell."))
    if grades:
        found.append(Pictures((_distribution(grades), _captured(grades))))
    return found


def _distribution(grades: Sequence[Grade]) -> Picture:
    goods, bads = (sum(getattr(grade, kind) for grade in grades) or 1 for kind in ("goods", "bads"))
    shares = [grade.goods / goods for grade in grades], [grade.bads / bads for grade in grades]
    names = [str(number) for number in range(1, len(grades) + 1)]
    title = "Score distribution by grade"
    drawn = charts.paired_bars(title, names, ("repaid", shares[0]), ("default", shares[1]), "grade, from the riskiest")
    return Picture(drawn, "Where good loans and defaults lie: a good model has its defaults on the left.")


def _captured(grades: Sequence[Grade]) -> Picture:
    loans, bads = _cumulated(grades)
    x, y = charts.share_axis("share of loans, from the riskiest"), charts.share_axis("share of defaults caught")
    drawn = charts.curve("Gains", x, y, [0.0, *loans], [0.0, *bads], chance=True, key="model")
    return Picture(drawn, "Gains: defaults among the riskiest loans, grade by grade.")


def _cumulated(grades: Sequence[Grade]) -> tuple[list[float], list[float]]:
    """Shares of all loans and of all defaults up to each grade."""
    loans = list(accumulate(grade.goods + grade.bads for grade in grades))
    bads = list(accumulate(grade.bads for grade in grades))
    return [each / (loans[-1] or 1) for each in loans], [each / (bads[-1] or 1) for each in bads]


def _gains(grades: Sequence[Grade]) -> Block:
    if not grades:
        return missing("There is no gains table: the held-out loans were too few for one grade.")
    columns = (
        _GRADE,
        _POINTS,
        Column("Loans"),
        Column("Goods"),
        Column("Defaults"),
        Column("Default rate"),
        Column("Loans so far"),
        Column("Defaults so far"),
        Column("Lift so far", "times"),
    )
    rows = []
    for number, (grade, loans, bads) in enumerate(zip(grades, *_cumulated(grades), strict=True), 1):
        size = grade.goods + grade.bads
        counts = count(size), count(grade.goods), count(grade.bads), percent(ratio(grade.bads, size))
        rows.append((str(number), band(grade), *counts, percent(loans), percent(bads), decimal(ratio(bads, loans), 2)))
    goods, bad = sum(grade.goods for grade in grades), sum(grade.bads for grade in grades)
    whole = count(goods + bad), count(goods), count(bad), percent(ratio(bad, goods + bad))
    rows.append(("All", "", *whole, "", "", ""))
    return Table("Gains table: held-out loans by grade, from the riskiest", columns, rows, total=True)


def band(grade: Grade) -> str:
    """Points of a grade."""
    return f"{grade.low} to {grade.high}"


def calibration(given: ReportInput) -> Section:
    """Calibration plot, slope and intercept, grades."""
    evaluation = given.release.evaluation
    blocks: list[Block] = [missing(UNMEASURED)]
    if evaluation is not None:
        agreement = Side(_agreement(evaluation), _CALIBRATION_TERMS)
        blocks = [agreement, *_grade_pictures(evaluation.grades), *_grades(given, evaluation)]
    return Section("calibration", "Calibration: how well PDs agree with what happened", blocks)


_CALIBRATION_TERMS = Terms(
    (
        ("slope", "below 1, PDs are too extreme (over-fitted); above 1, too timid"),
        ("intercept", "below 0, PDs are too high on the whole; above 0, too low"),
        ("Brier score, log-loss", "mean squared error of the PD, and mean negative log-likelihood: smaller is better"),
        (
            "Hosmer-Lemeshow",
            "sum of squared deviations over the grades; with many loans it rejects also models that are good enough",
        ),
    )
)


def _agreement(evaluation: Evaluation) -> Table:
    fit = evaluation.calibration
    columns = (Column("Figure", number=False), Column("Value"), Column("95 % interval"), Column("Ideal"))
    rows = [
        ("Calibration slope", decimal(fit.slope.value), interval(fit.slope), "1"),
        ("Calibration intercept", decimal(fit.intercept.value), interval(fit.intercept), "0"),
        ("Mean PD", percent(fit.mean_pd, 2), NONE, percent(fit.default_rate, 2)),
        ("Observed default rate", percent(fit.default_rate, 2), NONE, NONE),
        ("Brier score", decimal(fit.brier), NONE, "0"),
        ("Log-loss", decimal(fit.log_loss), NONE, "0"),
    ]
    if fit.hosmer_lemeshow is not None:
        rows.append(("Hosmer-Lemeshow", decimal(fit.hosmer_lemeshow, 1), NONE, f"near {len(evaluation.grades)}"))
        rows.append(("Its p-value", p_value(fit.hosmer_lemeshow_p), NONE, "above 0.05"))
    return Table("PDs against outcomes of the held-out loans", columns, rows, narrow=True)


def _grade_pictures(grades: Sequence[Grade]) -> list[Block]:
    if not grades:
        return []
    pds, bads = [grade.mean_pd for grade in grades], [grade.bads for grade in grades]
    loans = [grade.goods + grade.bads for grade in grades]
    names = [str(number) for number in range(1, len(grades) + 1)]
    plot = Picture(
        charts.calibration(pds, bads, loans), "Calibration: each point is a grade; it should touch the dashed line."
    )
    drawn = charts.rates("Default rate by grade", names, bads, loans, pds, "grade, from the riskiest")
    return [Pictures((plot, Picture(drawn, "The same grade by grade: the mean PD should lie within the interval.")))]


def _grades(given: ReportInput, evaluation: Evaluation) -> list[Block]:
    if not evaluation.grades:
        return [missing("There is no table by grade: the held-out loans were too few for one grade.")]
    columns = (
        _GRADE,
        _POINTS,
        Column("Loans"),
        Column("Defaults"),
        Column("Mean PD"),
        Column("Observed"),
        Column("95 % interval"),
        Column("Jeffreys p"),
        Column("Reading", number=False),
    )
    rows = []
    for number, grade in enumerate(evaluation.grades, 1):
        loans = grade.goods + grade.bads
        figures = percent(grade.mean_pd, 2), percent(ratio(grade.bads, loans), 2), _wilson(grade.bads, loans)
        counts = count(loans), count(grade.bads)
        rows.append(
            (
                str(number),
                band(grade),
                *counts,
                *figures,
                p_value(grade.jeffreys_p),
                _reading(given, grade.jeffreys_p, len(evaluation.grades)),
            )
        )
    note = (
        "Jeffreys p: probability, after what was observed, that the true default rate is at most the mean PD. Near 0 the grade's PDs "
        "are too low; near 1 they are higher than needed, which is prudent. One grade of many is low or high by chance: PDs are called "
        "too low where p times the number of grades is beyond the limit. Intervals of default rates are Wilson's."
    )
    return [Table("Calibration by grade", columns, rows, note)]


def _wilson(bads: int, loans: int) -> str:
    if not loans:
        return NONE
    low, high = wilson_interval(np.array([float(bads)]), np.array([float(loans)]))
    return f"{decimal(float(low[0]) * 100, 1)} to {percent(float(high[0]))}"


def _reading(given: ReportInput, p: float, grades: int) -> Mark:
    """A grade's Jeffreys p in words. Its colour holds p times the number of grades against the limit, as the verdict does."""
    limit, among_all = given.limit("jeffreys_p"), p * grades
    colour: Colour = "green"
    if limit.amber is not None and among_all < limit.amber:
        colour = "amber"
    if limit.red is not None and among_all < limit.red:
        colour = "red"
    if colour != "green":
        return Mark("PD too low", colour)
    return Mark("PD low" if p < _UNUSUAL else "PD high" if p > 1 - _UNUSUAL else "in line", colour)
