"""Horizontal scorecard: banks with the same columns of different customers fit one logistic regression on weights of evidence.

    1  pooled counts of rows and defaults
    2  bins of every feature, weights of evidence and information values (`riskfed.protocols.binning`)
    3  each bank replaces its own values by weights of evidence
    4  choice of variables, and the fit (`riskfed.protocols.regression.variable_selection`): the pooled maximum-likelihood fit
    5  coefficients become points
    6  pooled evaluation on the held-out rows
    7  the release: the card, schema and pooled figures

Who learns what: banks learn the pooled counts of 1 and 2, log-likelihood, score and information of each step of 4, and what step 6 tells
(each can subtract its own share, so three banks at least). The server learns what is released. Two jobs whose edges or rows differ a
little disclose the difference; the banks' policies ration jobs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from riskfed.errors import JobError
from riskfed.jobs import HorizontalScorecard
from riskfed.protocols.binning import bin_features, starting_cells
from riskfed.protocols.measuring.measure import Subject
from riskfed.protocols.measuring.validation import measured_release
from riskfed.protocols.points_card import points_card
from riskfed.protocols.program import Program, Progress, Release, Sum
from riskfed.protocols.records import Records
from riskfed.protocols.regression.variable_selection import Selection, select
from riskfed.protocols.release import ModelRelease
from riskfed.protocols.totals import Totals
from riskfed.schema import Schema
from riskfed.scorecard.card import Scorecard
from riskfed.scorecard.woe import BinnedFeature
from riskfed.scoring import ScorecardModel, ScoringModel
from riskfed.trees.workers import Workers


@dataclass(frozen=True, slots=True)
class Fitted:
    """What a bank keeps of a run.

    Attributes:
        release: what was released.
        full: the release as it would be with the whole card, which the bank keeps.
        card: the whole card.
    """

    release: ModelRelease
    full: ModelRelease
    card: Scorecard


def train(
    records: Records,
    schema: Schema,
    job: HorizontalScorecard,
    *,
    journal: Sequence[bytes] | None = None,  # noqa: ARG001
    threads: int = 1,
    champion: ScoringModel | None = None,
) -> Program[Fitted]:
    """One bank's side.

    Args:
        records: this bank's.
        schema, job: the consortium's, and what is fitted.
        journal: not used. A scorecard takes some tens of rounds, so that a later attempt begins anew, and ends with the same card.
        threads: how many work on this bank's records; each bank's own choice, the card does not depend on it.
        champion: the model that `job.champion_sha256` names.

    Raises:
        JobError: the job, or the pooled records, do not suit a scorecard.
        ConfigurationError: optbinning is missing, or not the same at all banks.
    """
    check_job(schema, job)
    development, held_out = records.hold_out(job.validation_fraction, job.validation_seed)
    totals = Totals.from_pooled((yield Sum(Totals.local(development, held_out), 1 << 62)), job)  # 1
    card, selection = yield from fit(development, schema, job, totals, threads)  # 2, 3, 4, 5
    yield Progress(1, _progress(selection))
    full = ModelRelease(card.to_bytes(), schema, {}, [_progress(selection)], [], 0, kind=job.kind)
    if totals.held_out_rows:
        subject = Subject(ScorecardModel(card, schema), held_out, schema, job, card.scale, champion)
        bins = [variable.feature_bins for variable in card.variables]
        full = yield from measured_release(subject, development, bins, full)  # 6
    release = _in_form(full, card, job)
    yield Release(release.to_bytes())  # 7
    return Fitted(release, full, card)


def check_job(schema: Schema, job: HorizontalScorecard) -> None:
    """Refuse what no records could make good.

    Raises:
        JobError: the schema weights rows; or the job names features that are not there, or edges for one whose levels have no order.
    """
    if schema.weight is not None:
        raise JobError(
            f"the schema weights rows by {schema.weight}, which a scorecard cannot do; its counts are of loans. Use a schema without weight"
        )
    starting_cells(schema, job)


def fit(
    development: Records, schema: Schema, job: HorizontalScorecard, totals: Totals, threads: int = 1
) -> Program[tuple[Scorecard, Selection]]:
    """One bank's side of the card alone: nothing is measured or released.

    Args:
        development: the bank's development rows, maybe none.
        schema, job, totals: the same at every bank.
        threads: how many work on this bank's records.

    Returns:
        The card and the fit behind it, the same at every bank.

    Raises:
        JobError: the pooled records do not suit a scorecard.
        ConfigurationError: optbinning is missing, or not the same at all banks.
    """
    binned = yield from bin_features(development, starting_cells(schema, job), job, totals.rows, threads)
    entering = _entering(binned, job)
    design = _design(development, entering, threads)
    selection = yield from _select(design, development.labels, totals.rows, entering, job)
    return points_card(schema, job, binned, entering, selection), selection


def _entering(binned: Sequence[BinnedFeature], job: HorizontalScorecard) -> list[BinnedFeature]:
    """The features that the regression may use.

    Raises:
        JobError: there is none.
    """
    entering = [feature for feature in binned if feature.separates and feature.iv >= job.min_iv]
    if not entering:
        best = max((feature.iv for feature in binned), default=0.0)
        raise JobError(
            f"no feature reaches an information value of {job.min_iv:g} (min_iv); the best has {best:.4f}. Lower min_iv, or add features"
        )
    return entering


def _design(records: Records, entering: Sequence[BinnedFeature], threads: int) -> np.ndarray:
    """(n, k) float64 WoE of this bank's rows."""
    design = records.storage.empty((len(records), len(entering)), np.float64)

    def weigh(number: int) -> None:
        feature = entering[number]
        design[:, number] = feature.weigh(feature.bins.codes(records.column))

    Workers(threads).each(weigh, len(entering))
    return design


def _select(
    design: np.ndarray,
    labels: np.ndarray,
    pooled_rows: int,
    entering: Sequence[BinnedFeature],
    job: HorizontalScorecard,
) -> Program[Selection]:
    """The choice of variables, with features in messages by their names.

    Raises:
        JobError: there is no fit, or no variable is left.
    """
    # Backward selection at a level of 1 removes wrong signs only.
    signs_only = job.selection == "none" and job.sign_check
    try:
        selection = yield from select(
            design,
            labels,
            pooled_rows,
            bound=max(abs(value) for feature in entering for value in feature.woe),
            method="backward" if signs_only else job.selection,
            entry_p=job.entry_p,
            stay_p=1.0 if signs_only else job.stay_p,
            expected_sign=-1 if job.sign_check else 0,
            ridge=job.ridge,
            firth=job.firth,
        )
    except JobError as error:
        names = [feature.bins.feature for feature in entering]
        raise JobError(re.sub(r"column (\d+)", lambda found: names[int(found[1])], str(error))) from None
    if not selection.fit.columns:
        raise JobError("the selection left no variable in the card; raise entry_p and stay_p, or switch sign_check off")
    return selection


def _progress(selection: Selection) -> dict[str, float]:
    """Figures of the fit on the development rows."""
    fit = selection.fit
    return {
        "variables": float(len(fit.columns)),
        "development_logloss": -fit.log_likelihood / fit.rows,
        "rounds_of_fit": float(selection.rounds),
    }


def _in_form(full: ModelRelease, card: Scorecard, job: HorizontalScorecard) -> ModelRelease:
    """What leaves the banks of a full release, by the job's ``release``."""
    match job.release:
        case "full":
            return full
        case "reduced":
            return full.reduced_to(card.without_counts().to_bytes())
        case "withheld":
            return full.withheld()
