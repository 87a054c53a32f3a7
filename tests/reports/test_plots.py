"""Pictures show what was released: square, and with the numbers that belong there."""

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from riskfed.errors import ConfigurationError
from riskfed.protocols import events
from riskfed.reports import plots
from riskfed.reports.pictures import run_pictures
from tests.serving.models import SCHEMA, booster_of, make_release
from tests.serving.runs import whole_run

RELEASE = make_release()
HISTORY = [e for e in whole_run(RELEASE) if isinstance(e, events.RoundFinished | events.ProgressMade)]


def test_all_pictures_are_of_one_size() -> None:
    pictures = run_pictures(RELEASE, HISTORY)
    assert set(pictures) == {
        "at a glance/1 roc",
        "at a glance/2 ks",
        "at a glance/3 calibration",
        "at a glance/5 learning curve logloss",
        "at a glance/7 feature gain",
        "at a glance/8 traffic",
        "at a glance/9 time",
    }
    for png in pictures.values():
        image = Image.open(io.BytesIO(png)).convert("L")
        assert image.size == (1224, 612)
        assert np.asarray(image).std() > 5, "the picture is empty"


def test_what_was_not_measured_is_left_out() -> None:
    bare = dataclasses.replace(RELEASE, metrics={}, history=[], score_cells=[])
    assert set(run_pictures(bare, ())) == {"at a glance/7 feature gain"}
    for draw in (plots.roc_curve, plots.ks_curve, plots.calibration, plots.learning_curve):
        with pytest.raises(ConfigurationError, match="validation_fraction"):
            draw(bare)
    for draw in (plots.bytes_per_round, plots.seconds_per_tree):
        with pytest.raises(ConfigurationError, match="the history holds no"):
            draw(())


def test_the_roc_curve_encloses_the_auc() -> None:
    curve = plots.roc_curve(RELEASE).axes[0].lines[0]
    refused, caught = (np.asarray(series) for series in curve.get_data())
    assert (refused[0], caught[0], refused[-1], caught[-1]) == (0, 0, 1, 1)
    # Straight lines between cells take away less than what lies within the cells.
    area = np.trapezoid(caught, refused)
    assert RELEASE.metrics["auc"] - 0.01 < area <= RELEASE.metrics["auc"] + 0.001
    assert curve.get_label() == f"AUC {RELEASE.metrics['auc']:.3f}"


def test_shares_end_at_one_and_part_by_ks() -> None:
    good, bad, _ = plots.ks_curve(RELEASE).axes[0].lines
    assert good.get_ydata()[-1] == pytest.approx(1)
    assert bad.get_ydata()[-1] == pytest.approx(1)
    distance = np.max(np.asarray(good.get_ydata()) - np.asarray(bad.get_ydata()))
    assert distance == pytest.approx(RELEASE.metrics["ks"], abs=0.02)


def test_calibration_boxes_hold_all_loans_and_their_rates() -> None:
    figure = plots.calibration(RELEASE)
    boxes = figure.axes[0].patches
    assert 1 < len(boxes) <= 12
    assert boxes[0].get_x() == 0
    assert boxes[-1].get_x() + boxes[-1].get_width() == pytest.approx(RELEASE.score_cells[-1][0])
    _, goods, bads = plots._grouped(*plots._cells(RELEASE), groups=12)
    assert goods.sum() + bads.sum() == RELEASE.metrics["rows"]
    for box, rate in zip(boxes, bads / (goods + bads), strict=True):
        assert box.get_y() <= rate <= box.get_y() + box.get_height()


def test_wilson_interval_known_answers() -> None:
    low, high = plots.wilson_interval(np.array([0, 5, 81]), np.array([10, 10, 263]))
    np.testing.assert_allclose(low, [0.0, 0.2366, 0.2553], atol=5e-5)
    np.testing.assert_allclose(high, [0.2775, 0.7634, 0.3662], atol=5e-5)


def test_gains_are_xgboosts_by_feature() -> None:
    by_column = booster_of(RELEASE).get_score(importance_type="total_gain")
    expected = {
        feature.name: total
        for feature in SCHEMA.features
        if (total := sum(by_column.get(column, 0.0) for column in feature.columns)) > 0
    }
    assert plots.feature_gains(RELEASE) == pytest.approx(expected, rel=1e-5)


def test_seconds_are_those_of_a_trees_rounds() -> None:
    bars = plots.seconds_per_tree(HISTORY).axes[0].patches
    assert [bar.get_height() for bar in bars] == pytest.approx([0.25 * 5] + [0.25 * 3] * 19)


def test_a_long_opening_does_not_flatten_the_trees() -> None:
    slow = [dataclasses.replace(HISTORY[0], seconds=60.0), *HISTORY[1:]]
    assert plots.seconds_per_tree(slow).axes[0].get_ylim()[1] < 2


def test_bytes_are_those_of_all_banks() -> None:
    received, sent = plots.bytes_per_round(HISTORY).axes[0].collections
    assert set(received.get_offsets()[:, 1]) == {3000.0}
    assert set(sent.get_offsets()[:, 1]) == {2100.0}
