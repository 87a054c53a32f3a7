"""A model card in the order of Mitchell et al. (2019, Model Cards for Model Reporting, FAT* '19, section 4), as Markdown."""

from __future__ import annotations

from collections.abc import Mapping

from riskfed.evaluation.limits import Verdict
from riskfed.evaluation.privacy import privacy_line
from riskfed.evaluation.record import Evaluation, Interval
from riskfed.jobs import grows_trees
from riskfed.protocols.release import ModelRelease
from riskfed.protocols.release_verdict import linear_model_of, scorecard_of
from riskfed.tracking.tables import Table, checks
from riskfed.tracking.verdict import summary
from riskfed.trees.booster_json import parse_booster
from riskfed.vertical_model import PartnerReference

_KINDS = {
    "horizontal_xgboost": "gradient-boosted trees (XGBoost), the same trees that pooling the records would give",
    "vertical_xgboost": "gradient-boosted trees (XGBoost) over several parties' columns, the same trees that joining the tables would give",
    "vertical_logistic": "logistic regression over several parties' columns, each party's terms kept by itself",
    "horizontal_scorecard": "points scorecard: logistic regression on weights of evidence, equal to the pooled fit",
    "model_monitoring": "no model: figures of a model in use, measured on recent loans",
}
_NOT_MEASURED = "Nothing was evaluated: too few loans of both kinds were held out."


def model_card(name: str, line: str, release: ModelRelease, facts: Mapping[str, str], verdict: Verdict | None) -> str:
    """The card.

    Args:
        name: of the model.
        line: headline.
        release: the model.
        facts: of the run, by name.
        verdict: on it.
    """
    evaluation = release.evaluation
    parts = {
        "Model details": _details(release, facts),
        "Intended use": _use(release),
        "Factors": _factors(release, evaluation),
        "Metrics": _metrics(release, evaluation),
        "Evaluation data": _evaluation_data(release, evaluation),
        "Training data": _training_data(release, evaluation, facts),
        "Quantitative analyses": _analyses(evaluation, verdict),
        "Ethical considerations": _ethics(release, evaluation),
        "Caveats and recommendations": _caveats(release, evaluation),
    }
    body = "\n\n".join(f"## {heading}\n{text}" for heading, text in parts.items())
    return f"# {name}\n\n{summary(line, verdict)}\n\n{body}\n"


def _details(release: ModelRelease, facts: Mapping[str, str]) -> str:
    card = scorecard_of(release)
    size = ""
    if card is not None:
        size = (
            f", {len(card.variables)} variables, {card.base_score:g} points at {card.base_odds:g}:1, PDO {card.pdo:g}"
        )
    elif (linear := linear_model_of(release)) is not None:
        scale = f"{linear.base_score:g} points at {linear.base_odds:g}:1, PDO {linear.pdo:g}"
        size = f", {len(linear.own.terms)} terms of the label holder, {scale}"
    elif release.model and grows_trees(release.kind):
        size = f", {len(parse_booster(release.model).trees)} trees"
    told = [f"- {fact}: {value}" for fact, value in facts.items()]
    return "\n".join(
        [
            f"- kind: {_kind(release)}{size}",
            f"- differential privacy: {privacy_line(release.privacy)}",
            f"- consortium: {release.schema.name}, schema version {release.schema.version}; questions go to its members, named below",
            *told,
            *_holders(release),
            f"- what was released: {release.form}; sha256 of the banks' model `{release.model_sha256}`",
        ]
    )


def _kind(release: ModelRelease) -> str:
    if release.privacy is not None:
        return f"gradient-boosted trees (XGBoost's format) of noised sums, {release.privacy.splits} splits"
    return _KINDS.get(release.kind, release.kind)


def _holders(release: ModelRelease) -> list[str]:
    """Who holds what of a vertical model."""
    if not release.partners:
        return []
    linear = all(partner.answers == "partial_score" for partner in release.partners)
    answer = "its partial scores, in log-odds" if linear else "those answers, 1 where the applicant goes right"
    return [
        f"- this model is joint: it needs each partner's answer about an applicant. Its columns named after a partner are {answer}",
        *map(_held, release.partners),
        "- where a partner does not answer or does not know the applicant, the label holder's own model (`fallback.json`) scores",
    ]


def _held(partner: PartnerReference) -> str:
    what = (
        "terms and weights"
        if partner.answers == "partial_score"
        else f"columns and thresholds of {partner.splits} splits"
    )
    answers = partner.answers.replace("_", " ")
    return (
        f"- held by {partner.party}, in its vault only: {what}, part `{partner.sha256[:12]}`; it answers with {answers}"
    )


def _use(release: ModelRelease) -> str:
    default = release.schema.description or f"`{release.schema.target}` = 1 in the members' records"
    return (
        "Ranks applicants by the probability of default, for credit decisions of the consortium's members under their own policies. "
        f"Default and population: {default}. Out of scope: applicants who do not meet the schema, other products or periods than "
        "the training data's, and pricing or provisioning without a calibration for that purpose."
    )


def _factors(release: ModelRelease, evaluation: Evaluation | None) -> str:
    named = {f"{attribute.name} ({attribute.role})" for attribute in release.schema.attributes}
    if not named:
        return "The schema names no segments, protected groups or cohorts, so no figures are broken down."
    shown = sorted({group.attribute for group in evaluation.groups}) if evaluation else []
    return f"Named by the schema: {', '.join(sorted(named))}. Broken down below: {', '.join(shown) or 'none'}."


def _metrics(release: ModelRelease, evaluation: Evaluation | None) -> str:
    if evaluation is None:
        return _NOT_MEASURED
    found = "sums over the banks, equal to those of pooled records"
    if release.partners:
        found = "the label holder's, on customers whom all parties have"
    return (
        "AUC with DeLong's 95 % interval and KS for ranking; slope and intercept of the logistic recalibration, and Jeffreys' test by "
        f"grade, for the level of the PDs; PSI and CSI for stability. All are {found}. "
        f"Groups are compared at the cut-off of {evaluation.cutoff} points, which approves {evaluation.approval_rate:.1%}."
    )


def _evaluation_data(release: ModelRelease, evaluation: Evaluation | None) -> str:
    if evaluation is None:
        return _NOT_MEASURED
    who = evaluation.population
    recent = f" Recent cohorts: {', '.join(map(str, who.recent))}." if who.recent else ""
    found = "measured" if release.kind == "model_monitoring" else "held out by a hash of each loan's own features"
    loans = f"{who.rows:,} loans of {who.banks} banks"
    if release.partners:
        loans, found = f"{who.rows:,} customers whom all parties have", "held out by a hash of the customer's id"
    return f"{loans}, {who.defaults:,} in default ({who.default_rate:.2%}), {found}.{recent}"


def _training_data(release: ModelRelease, evaluation: Evaluation | None, facts: Mapping[str, str]) -> str:
    features = f"{len(release.schema.features)} features of schema `{release.schema.fingerprint[:12]}`"
    named = "Parties" if release.partners else "Banks"
    who = f"{named}: {facts.get('roster', facts.get('banks', 'not stated'))}. Their records never left them."
    cohort = release.schema.cohort
    window = f" Data window: {cohort.name} {cohort.groups[0]} to {cohort.groups[-1]}." if cohort else ""
    if evaluation is None:
        return f"{features}. {who}{window}"
    people = evaluation.population
    rate = people.development_defaults / people.development_rows if people.development_rows else 0.0
    about = "about " * (release.privacy is not None)  # noised counts
    rows = (
        f"{about}{people.development_rows:,} loans, {people.development_defaults:,} in default ({rate:.2%}), {features}"
    )
    return f"{rows}. {who}{window}"


def _analyses(evaluation: Evaluation | None, verdict: Verdict | None) -> str:
    if evaluation is None:
        return _NOT_MEASURED
    rank, fit = evaluation.discrimination, evaluation.calibration
    rows = [
        ("AUC", _estimate(rank.auc)),
        ("Gini", _estimate(rank.gini)),
        ("KS", f"{rank.ks:.4f}"),
        ("calibration slope", _estimate(fit.slope)),
        ("calibration intercept", _estimate(fit.intercept)),
        ("mean PD", f"{fit.mean_pd:.4f}"),
        ("observed default rate", f"{fit.default_rate:.4f}"),
    ]
    figures = Table(("figure", "value (95 % interval)"), rows).to_markdown()
    limits = "" if verdict is None else "\n\n" + checks(verdict).to_markdown()
    return figures + limits


def _ethics(release: ModelRelease, evaluation: Evaluation | None) -> str:
    protected = [attribute.name for attribute in release.schema.attributes if attribute.role == "protected"]
    if not protected or evaluation is None:
        return "No protected group was named and measured, so nothing is known of how the model treats them."
    rows = [(g.attribute, g.level, g.rows, g.air, g.smd) for g in evaluation.groups if g.role == "protected"]
    table = Table(("attribute", "level", "loans", "AIR", "SMD"), rows).to_markdown()
    return f"The model does not use these attributes unless they are features too.\n\n{table}"


def _caveats(release: ModelRelease, evaluation: Evaluation | None) -> str:
    told = ["Rejected applicants have no outcome and are not in the data; no reject inference was made."]
    if evaluation is not None:
        left_out = f"; {evaluation.left_out} were left out" if evaluation.left_out else ""
        told.append(f"No published cell holds fewer than {evaluation.least_cell} loans{left_out}.")
    if release.form == "withheld":
        told.append("The banks withheld the model: it can be scored at the banks only.")
    told.append("Watch stability and calibration on recent loans, and revise the model when a limit turns red.")
    return "\n".join(f"- {line}" for line in told)


def _estimate(estimate: Interval) -> str:
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.4f}"
    return f"{estimate.value:.4f} ({estimate.low:.4f} to {estimate.high:.4f})"
