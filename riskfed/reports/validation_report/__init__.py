"""The validation report: one self-contained HTML document in the order in which analysts read it, which a browser prints as a PDF.

Nothing is loaded and nothing runs: pictures are inline SVG, and the page forbids scripts. Texts from files (names of features, levels,
banks) are escaped by the template. Equal inputs give equal bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from riskfed.reports.validation_report.blocks import Section
from riskfed.reports.validation_report.limits import limits
from riskfed.reports.validation_report.model import anatomy, regression
from riskfed.reports.validation_report.performance import calibration, discrimination
from riskfed.reports.validation_report.report_input import MONITORING, ReportInput
from riskfed.reports.validation_report.stability import parts, stability
from riskfed.reports.validation_report.summary import model_in_words, sentence, summary
from riskfed.reports.validation_report.text_format import count, decimal, interval
from riskfed.reports.validation_report.treatment import treatment

if TYPE_CHECKING:
    from jinja2 import Template

_LONGEST_WORD = 12
"""Letters of a word that is never broken."""

__all__ = ["ReportInput", "sections", "validation_report"]


def validation_report(given: ReportInput) -> str:
    """Write the report.

    Args:
        given: a release with or without model and evaluation; see `ReportInput`. What is absent is said in one line, not left blank.

    Returns:
        An HTML document.

    Raises:
        RegistryError: the released model is damaged.
    """
    schema = given.release.schema
    kind = "Monitoring report" if given.release.kind == MONITORING else "Validation report"
    return _template().render(
        title=f"{kind}: {schema.name} {schema.version}",
        model=model_in_words(given),
        colour="none" if given.verdict is None else given.verdict.colour,
        sentence=sentence(given),
        headline=_headline(given),
        sections=sections(given),
    )


def sections(given: ReportInput) -> list[Section]:
    """All sections, in the order of the document."""
    makers = (summary, discrimination, calibration, anatomy, regression, stability, parts, treatment, limits)
    return [make(given) for make in makers]


def _headline(given: ReportInput) -> list[tuple[str, str, str]]:
    """(name, figure, what stands below it) for the boxes at the top."""
    evaluation = given.release.evaluation
    if evaluation is None:
        return []
    rank, fit, shift = evaluation.discrimination, evaluation.calibration, evaluation.score_shift
    who = evaluation.population
    return [
        ("AUC", decimal(rank.auc.value), interval(rank.auc)),
        ("Gini", decimal(rank.gini.value), interval(rank.gini)),
        ("KS", decimal(rank.ks), f"at {rank.ks_points} points"),
        ("Calibration slope", decimal(fit.slope.value, 3), interval(fit.slope, 3)),
        ("PSI", decimal(shift.index), f"noise {decimal(shift.noise)}"),
        ("Held-out loans", count(who.rows), f"{count(who.defaults)} defaults"),
    ]


def breakable(text: str) -> Markup:
    """A text whose long words may be broken, after a sign where there is one, so that no name widens a table beyond the page."""
    if isinstance(text, Markup):
        return text
    pieces = [piece for word in re.split(r"(\s+)", text) for piece in _pieces(word)]
    return Markup("").join(pieces)


def _pieces(word: str) -> Iterator[Markup]:
    """A word, escaped, with places to break it where it is long."""
    if len(word) <= _LONGEST_WORD:
        yield escape(word)
        return
    for piece in re.findall(rf".{{1,{_LONGEST_WORD}}}?(?:[_/.,:=-]|$)|.{{{_LONGEST_WORD}}}", word, re.DOTALL):
        yield escape(piece)
        yield Markup("<wbr>")


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("riskfed.reports.validation_report", "templates")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["breakable"] = breakable
    return environment.get_template("validation_report.html")
