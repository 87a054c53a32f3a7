"""Weight of evidence and information value: definition, empty and pure bins, and the rule for small counts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optbinning.binning.binning_statistics import BinningTable

from riskfed.scorecard.bins import FeatureBins
from riskfed.scorecard.woe import BinnedFeature, published_counts, weights_of_evidence

COUNTS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 40)), min_size=2, max_size=9)


def binned(counts: list[tuple[int, int]], least_cell: int = 20) -> BinnedFeature:
    bins = FeatureBins("x", (0,), edges=tuple(float(edge) for edge in range(len(counts) - 2)))
    return BinnedFeature.of(bins, np.array(counts), least_cell)


def test_by_the_definition() -> None:
    feature = binned([(100, 50), (300, 30), (600, 20), (0, 0)])
    woe = [math.log((g / 1000) / (b / 100)) for g, b in ((100, 50), (300, 30), (600, 20))]
    assert feature.woe == pytest.approx([*woe, 0.0], abs=1e-15)
    assert feature.iv == pytest.approx(0.4 * (woe[2] - woe[0]), abs=1e-15)
    assert feature.mean_woe == pytest.approx((150 * woe[0] + 330 * woe[1] + 620 * woe[2]) / 1100, abs=1e-15)
    assert feature.woe[0] < 0 < feature.woe[2], "a higher WoE is safer"


def test_as_optbinning_has_it() -> None:
    goods, bads = np.array([500, 800, 900, 0, 0]), np.array([200, 100, 50, 0, 0])
    table = BinningTable("x", "numerical", None, np.array([1.0, 2.0]), goods, bads, 0.0, 3.0, None, None, None)
    reference = table.build()
    feature = binned([(500, 200), (800, 100), (900, 50), (0, 0)])
    assert feature.woe[:3] == pytest.approx(reference["WoE"].iloc[:3].astype(float), abs=1e-12)
    assert feature.iv == pytest.approx(table.iv, abs=1e-12)


def test_a_bin_of_goods_only_counts_half_a_loan_more_of_each() -> None:
    feature = binned([(500, 100), (40, 0), (460, 100), (0, 0)])
    assert feature.woe[1] == pytest.approx(math.log((40.5 / 1000) / (0.5 / 200)), abs=1e-15)
    assert math.isfinite(feature.iv)


def test_a_small_bin_is_counted_with_the_largest_and_weighs_nothing() -> None:
    feature = binned([(500, 100), (300, 100), (12, 7), (200, 40)])
    assert feature.counts == ((512, 107), (300, 100), None, (200, 40))
    assert feature.woe[2] == 0
    assert feature.woe[0] == pytest.approx(math.log((512 / 1012) / (107 / 247)), abs=1e-15)


@pytest.mark.parametrize("counts", [[(5, 0), (7, 0)], [(0, 5), (0, 70)], [(3, 3), (4, 2)]])
def test_nothing_is_said_where_nothing_can_be(counts: list[tuple[int, int]]) -> None:
    feature = binned(counts)
    assert feature.woe == (0.0, 0.0)
    assert feature.iv == 0
    assert not feature.separates


@given(COUNTS, st.integers(1, 50))
def test_published_counts_keep_the_rule_and_the_totals(counts: list[tuple[int, int]], least: int) -> None:
    published = published_counts(np.array(counts), least)
    shown = [pair for pair in published if pair is not None]
    assert all(sum(pair) == 0 or sum(pair) >= least for pair in shown)
    if sum(map(sum, counts)) >= least and max(map(sum, counts)) >= least:
        assert [sum(pair[i] for pair in shown) for i in range(2)] == [sum(pair[i] for pair in counts) for i in range(2)]
    for before, after in zip(counts, published, strict=True):
        assert (after is None) <= (0 < sum(before) < least)


@given(COUNTS)
def test_iv_is_never_negative_and_safer_bins_weigh_more(counts: list[tuple[int, int]]) -> None:
    feature = binned(counts, least_cell=1)
    assert feature.iv >= 0
    woe = weights_of_evidence(counts)
    mixed = [(g / (g + b), w) for (g, b), w in zip(counts, woe, strict=True) if g and b]
    if sum(g for g, _ in counts) and sum(b for _, b in counts):
        ordered = [w for _, w in sorted(mixed)]
        assert ordered == sorted(ordered)
