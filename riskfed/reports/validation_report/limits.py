"""Section 9: what this report cannot say, who could see what, and what was asked for."""

from __future__ import annotations

from collections.abc import Mapping

from riskfed.evaluation.record import Evaluation
from riskfed.reports.validation_report.blocks import Block, Column, Facts, Section, Statements, Table, missing
from riskfed.reports.validation_report.report_input import ReportInput
from riskfed.reports.validation_report.text_format import listed, plural

_FORMS: Mapping[str, str] = {
    "full": "The released model is the one that the banks keep.",
    "reduced": (
        "The released model predicts as the banks' own does; what would tell more of the loans, such as counts, gains and inner "
        "weights, was left out of it."
    ),
    "withheld": "No model was released by this run; the banks keep it.",
}
_NOTHING = {"null": "none", "None": "none", "{}": "none", "[]": "none", "": "none"}
"""How an empty parameter reads."""
_SHOWN_ELSEWHERE = frozenset(
    {
        "run",
        "banks",
        "roster",
        "protection",
        "key_bits",
        "transport",
        "started",
        "finished",
        "rounds",
        "bytes",
        "champion",
        "bank_figures",
        "registered",
    }
)


def limits(given: ReportInput) -> Section:
    """What was left out, who could see what, parameters and fingerprints."""
    release = given.release
    marks = [
        ("Model of the banks, sha256", release.model_sha256),
        ("Schema, fingerprint", release.schema.fingerprint),
    ]
    if release.fixed_point_bits:
        marks.append(("Fractional bits of the sums", str(release.fixed_point_bits)))
    blocks: list[Block] = [Statements(_statements(given)), Facts(marks)]
    parameters = sorted(
        (name, _NOTHING.get(text, text)) for name, text in given.facts.items() if name not in _SHOWN_ELSEWHERE
    )
    if parameters:
        columns = (Column("Parameter", number=False), Column("Value", number=False))
        blocks.append(Table("Parameters of the job", columns, parameters, narrow=True))
    else:
        blocks.append(missing("The parameters of the job were not given to this report."))
    return Section("limits", "Limits of this report", blocks)


def _statements(given: ReportInput) -> list[str]:
    evaluation, roster = given.release.evaluation, given.facts.get("roster", "")
    banks = [name.strip() for name in roster.split(",") if name.strip()]
    protection = given.facts.get("protection", "")
    under = f" ({protection})" if protection else ""
    return [
        "Rejected applicants are not in the records and were not inferred: all figures are about loans that were granted.",
        "An outcome is what the target column said on the day of the run: a loan that may yet default counts as good unless the banks "
        "left it out.",
        *([] if evaluation is None else _cells(evaluation)),
        *([f"The loans are those of {listed(banks)}, and of no one else."] if banks else []),
        "The operator saw who took part, the kinds, sizes and times of messages, and this result. Every sum was protected"
        f"{under}: the operator saw no loan, no figure of a single bank that did not choose to show it, and no sum but what the result "
        "holds.",
        "Each bank saw sums over all banks, from which it can subtract its own part; a single other bank's part shows only if all the "
        "rest work together.",
        "The result does not depend on which bank holds which loan: the same loans spread over other banks give the same figures and "
        "the same model.",
        _FORMS[given.release.form],
    ]


def _cells(evaluation: Evaluation) -> list[str]:
    left = (
        plural(evaluation.left_out, "smaller cell was", "smaller cells were")
        if evaluation.left_out
        else "none had to be"
    )
    return [
        f"Minimum cell: no published cell holds fewer than {plural(evaluation.least_cell, 'loan')}; {left} left out. A count of "
        "defaults within a cell may be smaller.",
        "Curves are exact at the edges of the cells and straight between them; AUC, KS and the other figures do not rest on the pictures.",
    ]
