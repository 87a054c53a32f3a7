"""Sections 6 and 7: what has moved since development, and how the model does in parts of the portfolio and against the champion."""

from __future__ import annotations

from collections.abc import Sequence

from riskfed.evaluation.limits import Colour, Limit
from riskfed.evaluation.record import Evaluation, Group, Shift, SwapSet
from riskfed.reports.validation_report import charts
from riskfed.reports.validation_report.blocks import (
    Block,
    Cell,
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
from riskfed.reports.validation_report.performance import UNMEASURED
from riskfed.reports.validation_report.report_input import ReportInput
from riskfed.reports.validation_report.single_banks import single_banks
from riskfed.reports.validation_report.summary import MEANINGS
from riskfed.reports.validation_report.text_format import NONE, count, decimal, interval, percent, ratio


def stability(given: ReportInput) -> Section:
    """PSI, CSI, concentration."""
    evaluation = given.release.evaluation
    blocks: list[Block] = [missing(UNMEASURED)]
    if evaluation is not None:
        blocks = [*_score(given, evaluation), *_characteristics(given, evaluation), _concentration(given, evaluation)]
    return Section("stability", "Stability: what has moved since development", blocks)


_TERMS = Terms(
    (
        (
            "PSI",
            "population stability index: sum over bins of (recent − development share) × ln(recent / development share)",
        ),
        ("CSI", "the same for one feature (characteristic stability index)"),
        ("convention", "up to 0.10 stable, 0.10 to 0.25 worth a look, above 0.25 moved"),
        ("noise", "what sampling alone would give: about (bins − 1)(1/n + 1/m) for n and m loans"),
    )
)


def _score(given: ReportInput, evaluation: Evaluation) -> list[Block]:
    shift = evaluation.score_shift
    if shift.index is None or not shift.bins:
        return [missing("PSI: there are no recent loans to compare with development."), _TERMS]
    expected, actual = _shares(shift)
    names = [str(number) for number in range(1, len(shift.bins) + 1)]
    title, first, second = "Score at development and lately", ("development", expected), ("recent", actual)
    drawn = charts.paired_bars(title, names, first, second, "grade, from the riskiest")
    mark = _reading(shift, given.limit("psi"))
    caption = f"Shares of loans by grade, at development and lately: {mark.text}."
    return [_TERMS, Side(Pictures((Picture(drawn, caption),)), _score_table(shift))]


def _score_table(shift: Shift) -> Table:
    columns = (
        Column("Points"),
        Column("Development", "loans"),
        Column("Recent", "loans"),
        Column("Development", "share"),
        Column("Recent", "share"),
    )
    rows = [
        (row.label, count(row.expected), count(row.actual), percent(old), percent(new))
        for row, old, new in zip(shift.bins, *_shares(shift), strict=True)
    ]
    return Table(f"Score by grade: PSI {decimal(shift.index)}, noise {decimal(shift.noise)}", columns, rows)


def _shares(shift: Shift) -> tuple[list[float], list[float]]:
    expected, actual = (sum(getattr(row, kind) for row in shift.bins) or 1 for kind in ("expected", "actual"))
    return [row.expected / expected for row in shift.bins], [row.actual / actual for row in shift.bins]


def _bins(shift: Shift, caption: str) -> Table:
    columns = (
        Column("Bin", number=False),
        Column("Development", "loans"),
        Column("Recent", "loans"),
        Column("Development", "share"),
        Column("Recent", "share"),
        Column("Change", "percentage points"),
        Column("Fewer, more", number=False),
    )
    expected, actual = _shares(shift)
    changes = [new - old for old, new in zip(expected, actual, strict=True)]
    largest = max((abs(change) for change in changes), default=0.0)
    rows = [
        (
            row.label,
            count(row.expected),
            count(row.actual),
            percent(old),
            percent(new),
            decimal(change * 100, 1),
            charts.cell_bar(change, largest, signed=True),
        )
        for row, old, new, change in zip(shift.bins, expected, actual, changes, strict=True)
    ]
    return Table(caption, columns, rows)


def _reading(shift: Shift, limit: Limit) -> Mark:
    index = shift.index or 0.0
    colour: Colour = "green"
    if limit.amber is not None and index > limit.amber:
        colour = "amber"
    if limit.red is not None and index > limit.red:
        colour = "red"
    if colour != "green" and shift.noise is not None and index <= shift.noise:
        return Mark("no more than noise", colour)
    return Mark({"green": "stable", "amber": "worth a look", "red": "moved"}[colour], colour)


def _characteristics(given: ReportInput, evaluation: Evaluation) -> list[Block]:
    measured = [shift for shift in evaluation.features if shift.index is not None]
    if not measured:
        return [missing("CSI: no feature could be compared between development and recent loans.")]
    ranked = sorted(measured, key=lambda shift: (-(shift.index or 0.0), shift.name))
    limit, largest = given.limit("csi"), ranked[0].index or 0.0
    rows = [
        (
            shift.name,
            str(len(shift.bins)),
            decimal(shift.index),
            charts.cell_bar(shift.index or 0.0, largest),
            decimal(shift.noise),
            _reading(shift, limit),
        )
        for shift in ranked
    ]
    columns = (
        Column("Feature", number=False),
        Column("Bins"),
        Column("CSI"),
        Column("", number=False),
        Column("Noise"),
        Column("Reading", number=False),
    )
    left = len(evaluation.features) - len(measured)
    note = f"Not comparable, for lack of loans: {left} features." if left else ""
    moved = [shift for shift in ranked if limit.amber is not None and (shift.index or 0.0) > limit.amber]
    detailed = moved or ranked[:1]
    chosen = "moved beyond amber" if moved else "the most of all, yet stable"
    tables = [_bins(s, f"{s.name}: CSI {decimal(s.index)}, {chosen}") for s in detailed]
    return [Table("Features, by how far they have moved since development", columns, rows, note), *tables]


def _concentration(given: ReportInput, evaluation: Evaluation) -> Block:
    grades, limit = len(evaluation.grades), given.limit("hhi")
    least = ratio(1, grades)
    columns = (
        Column("Figure", number=False),
        Column("Value"),
        Column("Least possible"),
        Column("Amber if"),
        Column("Red if"),
    )
    steps = MEANINGS["hhi"].step(limit.amber), MEANINGS["hhi"].step(limit.red)
    rows = [("HHI over the grades", decimal(evaluation.concentration), decimal(least), *steps)]
    note = "Herfindahl-Hirschman index: sum of the squared shares of the grades; high values say that the score hardly parts the loans."
    return Table("Concentration of the held-out loans", columns, rows, note, narrow=True)


def parts(given: ReportInput) -> Section:
    """Segments, and the swap set."""
    evaluation, title = given.release.evaluation, "Parts of the portfolio, and the champion"
    if evaluation is None:
        return Section("parts", title, [missing(UNMEASURED)])
    blocks: list[Block] = []
    found = [group for group in evaluation.groups if group.role == "segment"]
    names = dict.fromkeys(group.attribute for group in found)
    blocks += [group_table(name, [group for group in found if group.attribute == name], evaluation) for name in names]
    if not found and any(attribute.role == "segment" for attribute in given.release.schema.attributes):
        blocks.append(missing("By segment: no level of a segment is large enough to be shown."))
    elif not found:
        blocks.append(missing("By segment: the schema names no attribute with the role segment."))
    blocks.append(missing("By cohort: see the vintages in section 8."))
    blocks.append(single_banks(given))
    blocks += (
        [missing("Swap set: no champion was named to compare with.")]
        if evaluation.swap is None
        else _swap(evaluation.swap)
    )
    return Section("parts", title, blocks)


def group_table(name: str, groups: Sequence[Group], evaluation: Evaluation) -> Table:
    """Figures of the levels of one attribute."""
    columns = (
        Column(name, number=False),
        Column("Loans"),
        Column("Default rate"),
        Column("Mean PD"),
        Column("Observed, and PD |", number=False),
        Column("Observed / PD"),
        Column("AUC"),
        Column("Mean points"),
        Column("Approved"),
    )
    largest = max((max(ratio(g.defaults, g.rows) or 0.0, g.mean_pd) for g in groups), default=0.0)
    rows: list[tuple[Cell, ...]] = []
    for group in groups:
        rate = ratio(group.defaults, group.rows) or 0.0
        drawn = charts.cell_rate(rate, group.mean_pd, largest)
        figures = percent(rate, 2), percent(group.mean_pd, 2), drawn, decimal(ratio(rate, group.mean_pd), 2)
        ends = decimal(group.auc), decimal(group.mean_points, 0), percent(ratio(group.approved, group.rows))
        rows.append((group.level, count(group.rows), *figures, *ends))
    note = (
        f"Bar: observed default rate; upright: mean PD. Approved: {evaluation.cutoff} points or more. AUC {NONE}: too few loans of a "
        f"kind. Levels with fewer than {evaluation.least_cell} loans are left out."
    )
    return Table(f"Held-out loans by {name}", columns, rows, note)


def _swap(swap: SwapSet) -> list[Block]:
    columns = (Column("Figure", number=False), Column("Value"), Column("95 % interval"))
    rows = [
        ("Champion's AUC", decimal(swap.champion_auc), NONE),
        ("New model's AUC over the champion's", decimal(swap.auc_difference.value), interval(swap.auc_difference)),
    ]
    note = "The interval is DeLong's for paired scores; where it holds 0, the two cannot be told apart."
    return [_decisions(swap), Table("AUC on the same held-out loans", columns, rows, note, narrow=True)]


def _decisions(swap: SwapSet) -> Block:
    """Loans by what each model decides."""
    told = {
        "Approved by both": (swap.both_goods, swap.both_bads),
        "Swapped in: by the new model only": (swap.in_goods, swap.in_bads),
        "Swapped out: by the champion only": (swap.out_goods, swap.out_bads),
        "Approved by neither": (swap.neither_goods, swap.neither_bads),
    }
    lots = [(name, goods, bads) for name, (goods, bads) in told.items() if goods is not None and bads is not None]
    if len(lots) < len(told):
        return missing(
            "Swap set: the two models decide so few loans differently that the counts are under the minimum cell."
        )
    whole = sum(goods + bads for _, goods, bads in lots)
    rows = []
    for name, goods, bads in lots:
        loans = goods + bads
        rates = percent(ratio(loans, whole)), count(goods), count(bads), percent(ratio(bads, loans), 2)
        rows.append((name, count(loans), *rates))
    columns = (
        Column("Held-out loans", number=False),
        Column("Loans"),
        Column("Share"),
        Column("Goods"),
        Column("Defaults"),
        Column("Default rate"),
    )
    caption = f"Swap set: decisions of the new model and the champion, when each approves {percent(swap.approval_rate)}"
    into, out = (ratio(bads, goods + bads) or 0.0 for _, goods, bads in lots[1:3])
    compared = "less often than" if into < out else "more often than" if into > out else "as often as"
    note = f"Loans swapped in default {compared} loans swapped out: {percent(into)} against {percent(out)}."
    return Table(caption, columns, rows, note)
