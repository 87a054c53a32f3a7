"""The report at the edges: nothing measured but the least, counts of nothing, long and odd names, numbers near 0 and 1."""

from __future__ import annotations

import hashlib
import html
import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import xgboost
from hypothesis import given as any_of
from hypothesis import settings
from hypothesis import strategies as st

from riskfed.evaluation.limits import Limits
from riskfed.evaluation.record import Evaluation, Interval, ScoreCell, Shift
from riskfed.protocols.release import ModelRelease
from riskfed.protocols.release_verdict import judge_release
from riskfed.reports.validation_report import breakable, validation_report
from riskfed.reports.validation_report.report_input import ReportInput
from riskfed.reports.validation_report.svg import Axis, Plot
from riskfed.reports.validation_report.text_format import p_value, percent
from tests.reports.sample import FACTS, scorecard_release, xgboost_release

EMPTY_SHIFT = Shift(name="score", index=None, noise=None, bins=())
NO_COUNTS = {f"{lot}_{kind}": None for lot in ("both", "in", "out", "neither") for kind in ("goods", "bads")}


def text_of(release: ModelRelease) -> str:
    document = validation_report(ReportInput(release, judge_release(release, Limits()), FACTS))
    assert "nan" not in re.sub(r"<[^>]+>", " ", document).lower().split()
    assert "NaN" not in document
    return html.unescape(re.sub(r"<[^>]+>", "", document))


def with_model(release: ModelRelease, model: bytes, **changes: Any) -> ModelRelease:
    return replace(release, model=model, model_sha256=hashlib.sha256(model).hexdigest(), **changes)


def thin(full: Evaluation) -> dict[str, tuple[dict[str, Any], str]]:
    """What can be missing of an evaluation -> (change, what the report says to it)."""
    grade, group = full.grades[0], full.groups[0]
    empty = {"rows": 20, "defaults": 0, "approved": 0, "mean_pd": 0.0}
    certain = tuple(ScoreCell(upper=pd, goods=1, bads=1) for pd in (0.0, 1.0))
    perfect = {"default_rate": 0.0, "slope": Interval(value=1.0), "hosmer_lemeshow": None, "hosmer_lemeshow_p": None}
    return {
        "no grades": ({"grades": ()}, "There is no gains table"),
        "no cells": ({"cells": ()}, "The curves cannot be drawn"),
        "goods alone": ({"cells": (ScoreCell(upper=0.1, goods=9, bads=0),)}, "The curves cannot be drawn"),
        "certain": ({"cells": certain}, "KS"),
        "no recent": ({"score_shift": EMPTY_SHIFT}, "PSI: there are no recent loans"),
        "no features": ({"features": ()}, "CSI: no feature could be compared"),
        "no groups": ({"groups": ()}, "No protected group is large enough"),
        "no vintages": ({"vintages": ()}, "Vintages: no cohort is large enough"),
        "no reasons": ({"reasons": ()}, "Reasons: none were counted"),
        "small swaps": ({"swap": full.swap.model_copy(update=NO_COUNTS)}, "the counts are under the minimum cell"),
        "one of all": (
            {name: getattr(full, name)[:1] for name in ("grades", "vintages", "reasons", "features")},
            "Gains",
        ),
        "empty grade": ({"grades": (grade.model_copy(update={"goods": 0, "bads": 0}), grade)}, "Gains table"),
        "empty group": ({"groups": (group.model_copy(update=empty),)}, "0.00 %"),
        "no defaults": ({"calibration": full.calibration.model_copy(update=perfect)}, "Calibration slope"),
    }


@pytest.mark.parametrize("case", list(thin(scorecard_release().evaluation)))
def test_whatever_is_missing_there_is_a_report(case):
    release = scorecard_release()
    change, said = thin(release.evaluation)[case]
    assert said in text_of(replace(release, evaluation=release.evaluation.model_copy(update=change)))


def test_reduced_card_without_counts_says_so():
    card = json.loads(scorecard_release().model)
    for row in (row for variable in card["variables"] for row in variable["bins"]):
        row["goods"] = row["bads"] = None
    reduced = replace(scorecard_release(), model=json.dumps(card).encode(), form="reduced")
    assert "Counts marked – were not released" in text_of(reduced)


def test_card_without_variables_and_trees_without_splits():
    release = scorecard_release()
    card = json.dumps({**json.loads(release.model), "variables": [], "selection": []}).encode()
    assert "No variable is in the model" in text_of(with_model(release, card))
    names = list(release.schema.columns)
    rows = xgboost.DMatrix(np.zeros((50, len(names))), np.arange(50) % 2, feature_names=names)
    stump = bytes(xgboost.train({"objective": "binary:logistic", "nthread": 1}, rows, 2).save_raw("json"))
    assert "The trees have no split" in text_of(with_model(xgboost_release(), stump, history=[{"logloss": 0.3}]))


@settings(max_examples=100, deadline=None)
@any_of(st.text(st.sampled_from("ab_-./<>&\"' é\n"), max_size=60))
def test_places_to_break_change_no_text(text):
    broken = breakable(text)
    assert html.unescape(broken.replace("<wbr>", "")) == text
    assert not re.search(r"<(?!wbr>)", broken)


@any_of(st.floats(0, 1))
def test_shares_never_round_to_what_they_are_not(share):
    assert (p_value(share) == "<0.001") == (share < 0.001)
    assert (percent(share) == "0.0 %") == (share == 0)


@any_of(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(5, 9))
def test_ticks_are_few_even_and_within_the_axis(low, span, most):
    axis = Axis("", low, low + span)
    ticks = axis.ticks(most)
    assert 2 <= len(ticks) <= most + 1
    assert all(low - 1e-6 * span <= tick <= low + span * (1 + 1e-6) for tick in ticks)


def test_names_in_pictures_are_escaped():
    plot = Plot("<b>&", ["<i>"], Axis("</svg>", 0, 1))
    plot.key("<script>", "#000")
    drawn = plot.svg()
    assert not re.search(r"<(?:b|i|script)>", drawn)
    assert drawn.count("</svg>") == 1
