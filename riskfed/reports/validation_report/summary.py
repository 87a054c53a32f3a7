"""Section 1: the verdict against limits, and what was modelled on whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from riskfed.evaluation.limits import Check, Colour
from riskfed.evaluation.privacy import privacy_line
from riskfed.evaluation.record import Evaluation
from riskfed.reports.validation_report.blocks import Block, Column, Facts, Mark, Section, Table, Terms, missing
from riskfed.reports.validation_report.report_input import MONITORING, SCORECARD, ReportInput
from riskfed.reports.validation_report.text_format import NONE, count, decimal, octets, p_value, percent, plural
from riskfed.trees.tree import NO_PARENT, Tree

_NAMED = 3
"""Figures that the verdict names in its sentence, at most."""
WORDS: dict[Colour, str] = {"green": "within limits", "amber": "to be watched", "red": "beyond the limit"}


@dataclass(frozen=True, slots=True)
class Meaning:
    """How a limit reads: what its figure `says`, whether it is the `least` that is allowed, and how it is written.

    It is written with so many `digits`, `as_percent`, or as a `probability`.
    """

    says: str
    least: bool = False
    digits: int = 4
    as_percent: bool = False
    probability: bool = False

    def written(self, value: float) -> str:
        """A figure in its own unit."""
        if self.as_percent:
            return percent(value, 1)
        return p_value(value) if self.probability else decimal(value, self.digits)

    def step(self, value: float | None) -> str:
        """A step of the limit in words."""
        if value is None:
            return NONE
        plain = percent(value, 0) if self.as_percent else f"{value:g}"
        return f"{'below' if self.least else 'above'} {plain.replace('-', '−')}"


MEANINGS: dict[str, Meaning] = {
    "auc": Meaning("chance that a defaulter scores worse than a good loan; 0.5 is a coin, 1 is perfect", least=True),
    "ks": Meaning("greatest distance between the score distributions of goods and defaults", least=True),
    "auc_difference": Meaning("gain in AUC over the champion on the same loans", least=True),
    "calibration_slope": Meaning("how much too steep or too flat the PDs are; 0 is perfect"),
    "calibration_gap": Meaning("mean PD against the observed default rate, as a share of the latter", as_percent=True),
    "jeffreys_p": Meaning(
        "worst grade: probability that its PD is high enough, times the number of grades", least=True, probability=True
    ),
    "psi": Meaning("population stability index: how far the scores have moved since development"),
    "csi": Meaning("characteristic stability index: how far the feature that moved most has moved"),
    "hhi": Meaning("how much the loans crowd in few grades; 1 is all in one"),
    "air": Meaning("approval rate of the least approved group over the reference group's", least=True),
    "vif": Meaning("how far a variable repeats the others; 1 is not at all", digits=2),
    "p_value": Meaning("chance of a coefficient as large as the weakest one without any effect", probability=True),
}
"""What each limit of `riskfed.evaluation.limits.Limits` is about."""


def summary(given: ReportInput) -> Section:
    """Verdict, definition of default, window, population."""
    evaluation = given.release.evaluation
    blocks: list[Block] = []
    if given.verdict is None or evaluation is None:
        blocks.append(
            missing(
                "There is no verdict: no loans of both kinds, good and default, were held out, so nothing was measured."
            )
        )
    else:
        blocks += [_checks(given.verdict.checks), _terms()]
    blocks.append(Facts(_modelled(given)))
    if evaluation is not None:
        blocks.append(_population(given, evaluation))
    return Section("verdict", "Verdict, definition of default, window and population", blocks)


def sentence(given: ReportInput) -> str:
    """The verdict in one sentence."""
    if given.verdict is None:
        return "Nothing was held out, so the model was not judged."
    checks = given.verdict.checks
    red, amber = (sum(check.colour == colour for check in checks) for colour in ("red", "amber"))
    if given.verdict.colour == "green":
        return f"Acceptable: all {len(checks)} figures keep to their limits."
    failed = f"{plural(red, 'figure is', 'figures are')} beyond the red limit" if red else ""
    watched = f"{plural(amber, 'figure')} to be watched" if amber else ""
    start = "Not acceptable as it stands" if red else "Usable with care"
    which = [check.what for check in _worst_first(checks) if check.colour != "green"]
    counts = f"{' and '.join(filter(None, (failed, watched)))}, of {len(checks)} that were judged"
    return f"{start}: {counts}. Worst: {'; '.join(which[:_NAMED])}{' and others' if len(which) > _NAMED else ''}."


def _worst_first(checks: Sequence[Check]) -> list[Check]:
    return sorted(checks, key=lambda check: ("red", "amber", "green").index(check.colour))


def _checks(checks: tuple[Check, ...]) -> Table:
    columns = (
        Column("Figure", number=False),
        Column("Value"),
        Column("Amber if"),
        Column("Red if"),
        Column("Verdict", number=False),
        Column("What it says", number=False),
    )
    return Table(
        "The model's figures on held-out loans against the limits of the job, the worst first",
        columns,
        [_row(check) for check in _worst_first(checks)],
    )


def _row(check: Check) -> tuple[str | Mark, ...]:
    meaning = MEANINGS.get(check.name, Meaning(""))
    steps = meaning.step(check.limit.amber), meaning.step(check.limit.red)
    what = check.what[:1].upper() + check.what[1:]
    return what, meaning.written(check.value), *steps, Mark(WORDS[check.colour], check.colour), meaning.says


def _terms() -> Terms:
    return Terms(
        (
            ("PD", "probability of default that the model gives a loan"),
            (
                "held-out loans",
                "loans that the model never saw while it was fitted; every figure below is on them unless said otherwise",
            ),
            ("95 % interval", "range that holds the true figure in 95 of 100 such samples"),
            (NONE, "not defined, or not published"),
        )
    )


def model_in_words(given: ReportInput) -> str:
    """What kind of model, and how large."""
    if given.card is not None:
        scale = given.scale
        shape = f"{plural(len(given.card.variables), 'variable')}; {scale.base:g} points at odds of {scale.odds:g} to 1"
        return (
            f"scorecard (logistic regression on weights of evidence) of {shape}, {scale.pdo:g} points double the odds"
        )
    if given.linear is not None:
        terms, scale = plural(len(given.linear.own.terms), "term"), given.scale
        theirs = "".join(f", and the partial score of {partner}" for partner in given.linear.partners)
        return (
            f"logistic regression in parts: {terms} of the label holder{theirs}; {scale.base:g} points at odds of {scale.odds:g} to 1, "
            f"{scale.pdo:g} points double the odds"
        )
    if given.booster is not None:
        depth = max((_depth(tree) for tree in given.booster.trees), default=0)
        trees = plural(len(given.booster.trees), "tree")
        return f"gradient-boosted trees (XGBoost): {trees} of up to {plural(depth, 'level')} of splits"
    kinds = {SCORECARD: "scorecard", MONITORING: "a model in use, measured on recent loans"}
    named = kinds.get(given.release.kind, "gradient-boosted trees (XGBoost)")
    return named if given.release.kind == MONITORING else f"{named}; the banks keep it, this report is without it"


def _depth(tree: Tree) -> int:
    """Levels of splits: a child comes after its parent in the file."""
    depths = [0] * tree.n_nodes
    for node, parent in enumerate(tree.parents.tolist()):
        depths[node] = 0 if parent == NO_PARENT else depths[parent] + 1
    return max(depths)


def _modelled(given: ReportInput) -> list[tuple[str, str]]:
    release, facts = given.release, given.facts
    schema = release.schema
    stated = schema.description or "the schema has no description; the consortium should state it there"
    period = " to ".join(facts[name] for name in ("started", "finished") if name in facts)
    volume = [f"{facts['rounds']} rounds"] if "rounds" in facts else []
    volume += [octets(float(facts["bytes"]))] if facts.get("bytes", "").replace(".", "", 1).isdigit() else []
    rows = [
        ("Model", model_in_words(given)),
        ("Definition of default", f"column “{schema.target}” is 1: {stated}"),
        ("Window", _window(given)),
        ("Features offered", f"{len(schema.features)}, schema {schema.name} {schema.version}"),
        ("Who took part", facts.get("roster") or _banks(given)),
        ("Protection", _sealed(given)) if given.release.partners else ("Protection of sums", _protection(given)),
        ("Differential privacy", "" if release.kind == MONITORING else privacy_line(release.privacy)),
        ("Champion", facts.get("champion", "") or _champion(given)),
        ("Registered as", facts.get("registered", "")),
        ("Run", ", ".join(filter(None, (facts.get("run", ""), period, facts.get("transport", ""), *volume)))),
    ]
    return [(name, text) for name, text in rows if text]


def _banks(given: ReportInput) -> str:
    evaluation = given.release.evaluation
    return given.facts.get("banks", "") or (plural(evaluation.population.banks, "bank") if evaluation else "")


def _protection(given: ReportInput) -> str:
    named, bits = given.facts.get("protection", ""), given.facts.get("key_bits", "")
    return f"{named}, {bits} bits" if named == "paillier" and bits else named


def _sealed(given: ReportInput) -> str:
    bits = given.facts.get("key_bits", "")
    return "sealed envelopes between the parties; gradients under the label holder's Paillier key" + (
        f" of {bits} bits" if bits else ""
    )


def _champion(given: ReportInput) -> str:
    evaluation = given.release.evaluation
    if evaluation is None or evaluation.swap is None:
        return "none was named for comparison"
    return f"model {evaluation.swap.champion_sha256[:12]}"


def _window(given: ReportInput) -> str:
    cohort, evaluation = given.release.schema.cohort, given.release.evaluation
    if cohort is None:
        return "the schema names no cohort, so figures are not split by time; all held-out loans count as recent"
    spans = f"{cohort.groups[0]} to {cohort.groups[-1]} by “{cohort.name}”"
    recent = cohort.recent if evaluation is None else evaluation.population.recent
    if recent:
        return f"{spans}; recent: {', '.join(map(str, recent))}"
    return f"{spans}; the schema marks no cohort as recent, so all held-out loans count as recent"


def _population(given: ReportInput, evaluation: Evaluation) -> Table:
    who = evaluation.population
    lots = [("Development", who.development_rows, who.development_defaults), ("Held out", who.rows, who.defaults)]
    if given.release.kind == MONITORING:
        lots = [("Development of the model", *lots[0][1:]), ("Loans that were monitored", *lots[1][1:])]
    columns = (Column("Population", number=False), Column("Loans"), Column("Defaults"), Column("Default rate"))
    rows = [(name, count(loans), count(bad), percent(bad / loans if loans else None, 2)) for name, loans, bad in lots]
    return Table(f"Loans of all banks together ({plural(who.banks, 'bank')})", columns, rows, narrow=True)
