"""A release's tables: what an analyst opens under a run's artifacts. Counts are those that the banks released, nothing is computed back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import pandas as pd

from riskfed.evaluation.limits import Verdict
from riskfed.evaluation.record import Evaluation
from riskfed.scorecard.card import Scorecard
from riskfed.scorecard.tables import coefficients_table, points_card

Cell = str | float | None


@dataclass(frozen=True, slots=True)
class Table:
    """Headings and rows; a number that is not defined is None."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[Cell, ...]]

    def to_json(self) -> str:
        """The JSON that MLflow's page shows as a table."""
        data = [[_short(cell) for cell in row] for row in self.rows]
        return json.dumps({"columns": list(self.columns), "data": data}, indent=1)

    def to_markdown(self) -> str:
        """A Markdown table; columns of numbers are aligned right."""
        numeric = [all(not isinstance(row[at], str) for row in self.rows) for at in range(len(self.columns))]
        rule = "|".join("---:" if right else "---" for right in numeric)
        lines = ["| " + " | ".join(_text(cell) for cell in row) + " |" for row in self.rows]
        return "\n".join(["| " + " | ".join(map(_text, self.columns)) + " |", f"|{rule}|", *lines])


def tables_of(evaluation: Evaluation | None, verdict: Verdict | None, card: Scorecard | None) -> dict[str, Table]:
    """Name -> table, of all that there is something to show of."""
    made: dict[str, Table] = {} if verdict is None else {"checks": checks(verdict)}
    if evaluation is not None:
        kinds: Mapping[str, Callable[[Evaluation], Table]] = {
            "grades": grades,
            "gains": gains,
            "score_stability": score_shift,
            "feature_stability": feature_shift,
            "groups": groups,
            "swap_set": swap_set,
            "vintages": vintages,
            "reasons": reasons,
        }
        made |= {name: make(evaluation) for name, make in kinds.items()}
    if card is not None:
        frames = {"points_card": points_card(card), "coefficients": coefficients_table(card)}
        made |= {name: _of_frame(frame) for name, frame in frames.items()}
        made |= {"candidates": candidates(card), "selection": selection(card)}
    return {name: table for name, table in made.items() if table.rows}


def checks(verdict: Verdict) -> Table:
    """Each figure against its limit."""
    rows = [(c.colour, c.what, c.value, c.limit.amber, c.limit.red) for c in verdict.checks]
    return Table(("colour", "check", "value", "amber", "red"), rows)


def grades(evaluation: Evaluation) -> Table:
    """Grades from the riskiest to the safest, with observed default rate, mean PD and Jeffreys' probability."""
    rows: list[tuple[Cell, ...]] = []
    for number, grade in enumerate(evaluation.grades, 1):
        held_out = grade.goods + grade.bads
        rate = grade.bads / held_out if held_out else None
        points = f"{grade.low} to {grade.high}"
        rows.append((number, points, held_out, grade.bads, rate, grade.mean_pd, grade.jeffreys_p))
    return Table(("grade", "points", "loans", "defaults", "default rate", "mean PD", "Jeffreys p"), rows)


def gains(evaluation: Evaluation) -> Table:
    """What declining the riskiest grades would decline of loans and of defaults; lift is the ratio of the two shares."""
    goods, bads = (list(accumulate(getattr(g, side) for g in evaluation.grades)) for side in ("goods", "bads"))
    rows: list[tuple[Cell, ...]] = []
    for number, (good, bad) in enumerate(zip(goods, bads, strict=True), 1):
        loans = (good + bad) / (goods[-1] + bads[-1])
        caught = bad / bads[-1] if bads[-1] else None
        lift = None if caught is None or loans == 0 else caught / loans
        rows.append((f"1 to {number}", good + bad, loans, bad, caught, lift))
    return Table(("grades", "loans", "share of loans", "defaults", "share of defaults", "lift"), rows)


def score_shift(evaluation: Evaluation) -> Table:
    """The score's distribution at development and lately."""
    shift = evaluation.score_shift
    expected, actual = (sum(getattr(row, side) for row in shift.bins) for side in ("expected", "actual"))
    rows = [(b.label, b.expected, _share(b.expected, expected), b.actual, _share(b.actual, actual)) for b in shift.bins]
    return Table(("points", "development", "share", "recent", "recent share"), rows)


def feature_shift(evaluation: Evaluation) -> Table:
    """CSI of each feature, the greatest first, with what sampling alone would give."""
    ordered = sorted(evaluation.features, key=lambda shift: -(shift.index or 0.0))
    return Table(("feature", "CSI", "noise", "bins"), [(s.name, s.index, s.noise, len(s.bins)) for s in ordered])


def groups(evaluation: Evaluation) -> Table:
    """Figures by segment, protected group and cohort."""
    rows = [
        (
            *(group.role, group.attribute, group.level, group.rows, group.defaults / group.rows),
            *(group.mean_pd, group.mean_points, group.approved / group.rows, group.auc, group.air, group.smd),
        )
        for group in evaluation.groups
    ]
    heads = ("role", "attribute", "level", "loans", "default rate", "mean PD", "mean points", "approved", "AUC", "AIR")
    return Table((*heads, "SMD"), rows)


def swap_set(evaluation: Evaluation) -> Table:
    """Loans that model and champion decide alike and differently, at one rate of approval."""
    swap = evaluation.swap
    if swap is None:
        return Table(("approved by", "loans", "defaults", "default rate"), [])
    kinds = {
        "both": (swap.both_goods, swap.both_bads),
        "this model only": (swap.in_goods, swap.in_bads),
        "champion only": (swap.out_goods, swap.out_bads),
        "neither": (swap.neither_goods, swap.neither_bads),
    }
    rows = [
        (name, good + bad, bad, _share(bad, good + bad))
        for name, (good, bad) in kinds.items()
        if good is not None and bad is not None
    ]
    return Table(("approved by", "loans", "defaults", "default rate"), rows)


def vintages(evaluation: Evaluation) -> Table:
    """Default rate by cohort."""
    rows = [(v.cohort, v.rows, v.defaults, _share(v.defaults, v.rows)) for v in evaluation.vintages]
    return Table(("cohort", "loans", "defaults", "default rate"), rows)


def reasons(evaluation: Evaluation) -> Table:
    """How often each feature is an adverse reason."""
    ordered = sorted(evaluation.reasons, key=lambda reason: -reason.among_four)
    rows = [(r.feature, r.first, r.among_four) for r in ordered]
    return Table(("feature", "first reason", "among the first four"), rows)


def _of_frame(frame: pd.DataFrame) -> Table:
    cells = frame.astype(object).where(frame.notna(), None)
    return Table(tuple(map(str, frame.columns)), [tuple(row) for row in cells.itertuples(index=False)])


def candidates(card: Scorecard) -> Table:
    """All features that were looked at, by information value, and why some are not in the model."""
    ordered = sorted(card.candidates, key=lambda candidate: -candidate.iv)
    rows = [(c.feature, c.iv, len(c.bins), c.left_out or "in the model") for c in ordered]
    return Table(("feature", "IV", "bins", "outcome"), rows)


def selection(card: Scorecard) -> Table:
    """The choice of variables, step by step."""
    rows = [(n, s.action, s.feature, s.statistic, s.p_value) for n, s in enumerate(card.selection, 1)]
    return Table(("step", "action", "variable", "statistic", "p"), rows)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _short(cell: Cell) -> Cell:
    """Six digits are enough to read; the page would write a missing value as "null"."""
    return "" if cell is None else float(f"{cell:.6g}") if isinstance(cell, float) else cell


def _text(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, str):
        return cell.replace("|", "\\|").replace("\n", " ")
    return f"{cell:,}" if float(cell).is_integer() else f"{cell:.4g}"
