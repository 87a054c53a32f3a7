"""Any number of threads and segments, in memory or in mapped files: the same sums, margins and trees, to the last bit."""

import mmap
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riskfed.errors import ConfigurationError
from riskfed.jobs import HorizontalXgboost
from riskfed.storage import MEMORY, Scratch
from riskfed.trees import workers
from riskfed.trees.pages import release
from riskfed.trees.reference import identical_trees
from riskfed.trees.workers import Workers, segment_borders
from tests.trees.parties import classification, grow, growers, quantile_cuts

DATA = classification(3001, 5, missing=0.1, seed=3)
CUTS = quantile_cuts(DATA.matrix, 40)


def grown(data, job, monkeypatch, *, segment_rows, least_rows, **options):
    """A grower of small segments after three trees, and all that left it on the way."""
    with monkeypatch.context() as patch:
        patch.setattr(workers, "SEGMENT_ROWS", segment_rows)
        patch.setattr(workers, "LEAST_ROWS", least_rows)
        (grower,) = growers([data], CUTS, job, **options)
    return grower, grow([grower], 3)


@pytest.mark.parametrize("mapped", [False, True])
@settings(max_examples=15)
@given(
    rows=st.integers(1, 3001),
    threads=st.integers(1, 5),
    segment_rows=st.integers(7, 4000),
    least_rows=st.integers(1, 500),
    max_depth=st.integers(1, 8),
)
def test_threads_and_segments_change_nothing(
    mapped, rows, threads, segment_rows, least_rows, max_depth, tmp_path_factory
):
    job = HorizontalXgboost(max_depth=max_depth, base_score=0.3, scale_pos_weight=2)
    storage = Scratch(tmp_path_factory.mktemp("scratch")) if mapped else MEMORY
    data, patch = DATA.rows(slice(rows)), pytest.MonkeyPatch()
    plain, plain_sums = grown(data, job, patch, segment_rows=rows, least_rows=rows)
    other, other_sums = grown(
        data, job, patch, segment_rows=segment_rows, least_rows=least_rows, threads=threads, storage=storage
    )
    assert len(plain_sums) == len(other_sums)
    for one, several in zip(plain_sums, other_sums, strict=True):
        np.testing.assert_array_equal(one, several)
    np.testing.assert_array_equal(plain.margins, other.margins)
    assert identical_trees(plain.trees, other.trees) == 3


def test_many_candidates_are_tried_by_several_threads(monkeypatch):
    data = classification(4000, 40, missing=0.05, seed=1)
    cuts, job = quantile_cuts(data.matrix, 250), HorizontalXgboost(max_depth=7)
    (one,), (several,) = (growers([data], cuts, job, threads=threads) for threads in (1, 3))
    monkeypatch.setattr("riskfed.trees.levelwise._CELLS_FOR_THREADS", 1)
    for grower in (one, several):
        grow([grower], 2)
    assert identical_trees(one.trees, several.trees) == 2


def test_a_grower_resumes_whatever_its_threads(monkeypatch):
    job = HorizontalXgboost(max_depth=4)
    whole, _ = grown(DATA, job, monkeypatch, segment_rows=500, least_rows=10, threads=2)
    (resumed,) = growers([DATA], CUTS, job)
    resumed.resume(whole.trees)
    np.testing.assert_array_equal(resumed.margins, whole.margins)


@given(st.integers(0, 10**8), st.integers(1, 64))
def test_segments_are_even_and_complete(rows, threads):
    borders = segment_borders(rows, threads)
    assert borders[0] == 0
    assert borders[-1] == rows
    sizes = np.diff(borders)
    assert sizes.max() - sizes.min() <= 1
    assert sizes.max() <= workers.SEGMENT_ROWS
    assert len(sizes) == 1 or sizes.min() >= workers.LEAST_ROWS


def test_small_banks_stay_on_one_thread():
    assert len(segment_borders(2 * workers.LEAST_ROWS - 1, 8)) == 2
    assert len(segment_borders(1_000_000, 2)) > 4


@given(st.integers(1, 6), st.integers(0, 40))
def test_every_item_is_done_once_and_outcomes_keep_their_order(threads, items):
    assert Workers(threads).each(lambda item: item * item, items) == [item * item for item in range(items)]


def test_work_is_done_at_once():
    """Each waits for the others: on fewer threads this would not end."""
    barrier = threading.Barrier(3, timeout=20)
    assert sorted(Workers(3).map(lambda _: barrier.wait(), [1, 2, 3])) == [0, 1, 2]


def test_an_error_arrives_when_nothing_is_at_work_any_more():
    release_others, done = threading.Event(), []

    def task(share):
        if share == 0:
            release_others.set()
            raise ValueError("first")
        release_others.wait(20)
        done.append(share)

    with pytest.raises(ValueError, match="first"):
        Workers(3).map(task, [0, 1, 2])
    assert sorted(done) == [1, 2]


def test_no_threads_are_refused():
    with pytest.raises(ConfigurationError, match="0 threads"):
        Workers(0)


@pytest.mark.parametrize("rows", [slice(None), slice(1, 2)])
def test_released_pages_leave_memory_and_keep_their_content(tmp_path, rows):
    array = Scratch(tmp_path).empty((3, 2**22), np.uint8)
    array[:] = np.arange(3, dtype=np.uint8)[:, None] + 1
    before = resident_bytes()
    release(array[rows])
    assert before - resident_bytes() > array[rows].nbytes - 2 * mmap.PAGESIZE - 2**20
    assert (array == np.arange(3, dtype=np.uint8)[:, None] + 1).all()


def test_what_release_cannot_give_back_stays_as_it_is(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(2**16))
    private = np.memmap(path, dtype=np.uint8, mode="c")
    for array in (np.empty(2**16, np.uint8), private, np.zeros((300, 300), np.uint8)[:, ::2], np.empty(0)):
        array[:] = 7
        release(array)
        assert (array == 7).all()


def resident_bytes():
    """Memory of this process, pages of mapped files included."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) * 1024
