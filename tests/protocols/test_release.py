"""What leaves the banks of a model: the three forms, made by the protocol itself."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import numpy as np
import pandas as pd
import pytest
import xgboost
from hypothesis import given
from hypothesis import strategies as st

from riskfed.errors import JobError, RemoteProtocolError
from riskfed.jobs import HorizontalXgboost
from riskfed.protocols.horizontal_xgboost import Trained, train
from riskfed.protocols.records import Records
from riskfed.protocols.release import ModelRelease
from riskfed.schema import Feature, Schema
from riskfed.trees.booster_json import parse_booster
from riskfed.trees.reduced import COVER_BITS, reduced, round_significant
from tests.helpers import add_up

SCHEMA = Schema(name="s", version="1", target="y", features=tuple(Feature(name=name) for name in ("a", "b", "c")))


def trained(rows: int = 240, **parameters: object) -> list[Trained]:
    """What three banks are left with."""
    job = HorizontalXgboost(
        **{"n_estimators": 8, "max_depth": 4, "max_bin": 16, "validation_fraction": 0.3, **parameters}
    )
    programs = []
    for bank in range(3):
        draw = np.random.default_rng(bank)
        frame = pd.DataFrame(draw.normal(size=(rows, 3)), columns=["a", "b", "c"])
        frame["y"] = (frame["a"] + draw.normal(size=rows) > 0.5).astype(int)
        programs.append(train(Records.from_frame(frame, SCHEMA), SCHEMA, job))
    return add_up(programs)


def booster(release: ModelRelease) -> xgboost.Booster:
    return xgboost.Booster(model_file=bytearray(release.model))


@pytest.fixture(scope="module")
def full() -> ModelRelease:
    return trained()[0].release


@pytest.fixture(scope="module", params=["full", "reduced", "withheld"])
def outcomes(request: pytest.FixtureRequest) -> list[Trained]:
    return trained(release=request.param)


def test_banks_keep_the_full_model_and_release_equal_bytes(outcomes: list[Trained], full: ModelRelease) -> None:
    assert {outcome.full.model for outcome in outcomes} == {full.model}
    assert len({outcome.release.to_bytes() for outcome in outcomes}) == 1
    assert {outcome.release.model_sha256 for outcome in outcomes} == {hashlib.sha256(full.model).hexdigest()}


def test_a_release_comes_back_from_its_bytes_with_all_figures(outcomes: list[Trained], full: ModelRelease) -> None:
    release = ModelRelease.from_bytes(outcomes[0].release.to_bytes())
    assert release == outcomes[0].release
    assert (release.metrics, release.history, release.schema) == (full.metrics, full.history, full.schema)
    assert release.score_cells == full.score_cells


def test_a_reduced_model_predicts_the_same_to_the_last_bit(full: ModelRelease) -> None:
    release = trained(release="reduced")[0].release
    rows = np.random.default_rng(9).normal(size=(5000, 3)).astype(np.float32)
    rows[::7, 1] = np.nan
    data = xgboost.DMatrix(rows, feature_names=["a", "b", "c"])
    ours, theirs = (booster(each).predict(data, output_margin=True) for each in (release, full))
    assert np.array_equal(ours, theirs)
    assert release.model != full.model


def test_a_reduced_model_explains_to_the_same_total(full: ModelRelease) -> None:
    release = trained(release="reduced")[0].release
    data = xgboost.DMatrix(np.random.default_rng(8).normal(size=(300, 3)), feature_names=["a", "b", "c"])
    ours, theirs = (booster(each).predict(data, pred_contribs=True) for each in (release, full))
    assert np.allclose(ours.sum(axis=1), booster(full).predict(data, output_margin=True), atol=1e-5)
    assert 0 < np.abs(ours - theirs).max() < 0.05


def test_a_reduced_tree_states_nothing_but_splits_leaves_and_rounded_covers(full: ModelRelease) -> None:
    release = trained(release="reduced")[0].release
    for before, after in zip(parse_booster(full.model).trees, parse_booster(release.model).trees, strict=True):
        leaf = before.is_leaf
        assert not after.loss_changes.any()
        assert not after.base_weights[~leaf].any()
        for name in ("left_children", "split_indices", "split_conditions", "default_left"):
            assert np.array_equal(getattr(before, name), getattr(after, name))
        assert np.array_equal(after.sum_hessian[leaf], round_significant(before.sum_hessian[leaf], COVER_BITS))
        splits = np.flatnonzero(~leaf)
        children = after.sum_hessian[before.left_children[splits]] + after.sum_hessian[before.right_children[splits]]
        assert np.allclose(children, after.sum_hessian[splits], rtol=1e-6)


def test_what_rounding_takes_cannot_be_read_off_inner_nodes(full: ModelRelease) -> None:
    """Trees whose leaves round alike become the same tree, whatever their inner covers were."""
    tree = parse_booster(full.model).trees[0]
    noise = np.random.default_rng(1).uniform(1, 5, tree.n_nodes).astype(np.float32)
    other = dataclasses.replace(tree, sum_hessian=np.where(tree.is_leaf, tree.sum_hessian, noise), loss_changes=noise)
    one, two = reduced(tree), reduced(other)
    assert np.array_equal(one.sum_hessian, two.sum_hessian)
    assert np.array_equal(one.loss_changes, two.loss_changes)


@given(st.floats(2.0**-100, 2.0**100, width=32), st.integers(1, 23))
def test_rounding_keeps_so_many_binary_digits(value: float, bits: int) -> None:
    (rounded,) = round_significant(np.array([value], dtype=np.float32), bits)
    assert abs(float(rounded) - value) <= value * 2.0**-bits
    mantissa = np.frexp(rounded)[0] * 2.0**bits
    assert mantissa == np.rint(mantissa)


def test_a_withheld_model_is_not_there() -> None:
    release = trained(release="withheld")[0].release
    assert release.model == b""
    text = release.to_bytes().decode()
    assert "split_conditions" not in text
    assert "leaf" not in text


@pytest.mark.parametrize(
    "change",
    [
        {"form": "naked"},
        {"form": "withheld"},
        {"form": "reduced", "model": ""},
        {"model_sha256": "0" * 64},
        {"model_sha256": "?"},
        {"model_sha256": None},
        {"form": ["full"]},
    ],
)
def test_a_release_whose_form_and_model_do_not_go_together_is_refused(full: ModelRelease, change: dict) -> None:
    fields = json.loads(full.to_bytes()) | change
    with pytest.raises(RemoteProtocolError, match="malformed"):
        ModelRelease.from_bytes(json.dumps(fields).encode())


@pytest.mark.parametrize("least", [20, 60])
def test_no_published_cell_is_smaller_than_the_job_says(least: int) -> None:
    cells = trained(least_cell=least)[0].release.score_cells
    assert cells
    assert min(goods + bads for _, goods, bads in cells) >= least


def test_too_few_held_out_rows_are_not_measured() -> None:
    with pytest.raises(JobError, match=r"hold out \d+ rows, figures need 20 .* raise validation_fraction"):
        trained(validation_fraction=0.01)
    assert "auc" in trained(validation_fraction=0.01, least_cell=1)[0].release.metrics


def test_without_held_out_rows_there_is_nothing_to_measure() -> None:
    assert trained(validation_fraction=0.0)[0].release.metrics == {}
