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
        "parties",
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
    return [
        "Rejected applicants are not in the records and were not inferred: all figures are about loans that were granted.",
        "An outcome is what the target column said on the day of the run: a loan that may yet default counts as good unless the banks "
        "left it out.",
        *([] if evaluation is None else _cells(evaluation)),
        *(_by_columns(given) if given.release.partners else _by_rows(banks, given.facts.get("protection", ""))),
        _FORMS[given.release.form],
    ]


def _by_rows(banks: list[str], protection: str) -> list[str]:
    """Of a run of banks that hold different customers."""
    under = f" ({protection})" if protection else ""
    return [
        *([f"The loans are those of {listed(banks)}, and of no one else."] if banks else []),
        "The operator saw who took part, the kinds, sizes and times of messages, and this result. Every sum was protected"
        f"{under}: the operator saw no loan, no figure of a single bank that did not choose to show it, and no sum but what the result "
        "holds.",
        "Each bank saw sums over all banks, from which it can subtract its own part; a single other bank's part shows only if all the "
        "rest work together.",
        "The result does not depend on which bank holds which loan: the same loans spread over other banks give the same figures and "
        "the same model.",
    ]


def _by_columns(given: ReportInput) -> list[str]:
    """Of a run of parties that hold different columns of the same customers."""
    names = listed([partner.party for partner in given.release.partners])
    holder = given.facts.get("label_holder", "the label holder")
    linear = all(partner.answers == "partial_score" for partner in given.release.partners)
    return [
        f"All figures are about customers whom {holder} and {names} have in common, and are measured at {holder}.",
        "The operator saw who took part, the kinds, sizes and times of sealed messages, and this result.",
        *(_of_scores(holder, names) if linear else _of_splits(holder, names)),
    ]


def _of_splits(holder: str, names: str) -> list[str]:
    return [
        f"{holder} saw which way each common customer goes at a split of {names}, and sums of its own gradients by their bins: neither "
        f"their values nor their thresholds. {names} saw which customers are common and which of them a node holds: neither labels nor "
        "gradients nor counts of defaults.",
        f"The model is not whole here: what {names} added stands in the trees as columns of zeros and ones.",
    ]


def _of_scores(holder: str, names: str) -> list[str]:
    return [
        f"{holder} and {names} saw the gradients of their own coefficients on each mini-batch. {holder} saw the partial scores of {names} "
        f"for held-out customers, and none of their terms. {names} saw which customers are common and, where its columns are in bins, how "
        "many customers of each of its cells defaulted. The party that holds the key saw masked sums only.",
        f"The model is not whole here: what {names} added stands in it as one partial score each.",
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
