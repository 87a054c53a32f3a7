"""Nodes level by level, and numbers in few bits: known answers, and there and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskfed.errors import RegistryError
from riskfed.trees.bits import from_planes, pack_numbers, packed_size, to_planes, unpack_numbers, width_of
from riskfed.trees.level_order import is_whole, level_order, nodes_of, trees_of
from riskfed.trees.tree import NO_PARENT, Tree

FLOATS = st.lists(st.floats(width=32))


def tree(left: list[int], right: list[int], columns: list[int], values: list[float], default_left: list[int]) -> Tree:
    parents = np.full(len(left), NO_PARENT, dtype=np.int32)
    for node, children in enumerate(zip(left, right, strict=True)):
        parents[[child for child in children if child > 0]] = node
    links = (np.array(link, dtype=np.int32) for link in (left, right, parents, columns))
    floats, zeros = np.array(values, dtype=np.float32), np.zeros(len(left), dtype=np.float32)
    return Tree(*links, floats, np.array(default_left, dtype=np.uint8), floats, zeros, zeros)


#        0: x2 < 5            numbered as it grew, leaf by leaf
#       /         \
#   1: leaf 10    2: x0 < 7, missing goes left
#                 /        \
#           3: leaf 30    4: x1 < 9
#                         /      \
#                    6: leaf 60   5: leaf 50
GROWN = tree(
    [1, -1, 3, -1, 6, -1, -1],
    [2, -1, 4, -1, 5, -1, -1],
    [2, 0, 0, 0, 1, 0, 0],
    [5, 10, 7, 30, 9, 50, 60],
    [0, 0, 1, 0, 0, 0, 0],
)
LEAF = tree([-1], [-1], [0], [-0.5], [0])


def test_a_forest_level_by_level():
    forest = level_order([LEAF, GROWN, LEAF])
    assert forest.is_split.astype(int).tolist() == [0, *[1, 0, 1, 0, 1, 0, 0], 0]
    assert forest.columns.tolist() == [2, 0, 1]
    assert forest.thresholds.tolist() == [5, 7, 9]
    assert forest.default_left.tolist() == [False, True, False]
    assert forest.leaves.tolist() == [-0.5, 10, 30, 60, 50, -0.5]


def test_a_forest_as_trees_and_as_nodes():
    first, middle, last = trees_of(level_order([LEAF, GROWN, LEAF]))
    assert middle.left_children.tolist() == [1, -1, 3, -1, 5, -1, -1]
    assert middle.right_children.tolist() == [2, -1, 4, -1, 6, -1, -1]
    assert middle.parents.tolist() == [NO_PARENT, 0, 0, 2, 2, 4, 4]
    assert middle.split_conditions.tolist() == [5, 10, 7, 30, 9, 60, 50]
    assert (first.n_nodes, last.n_nodes, last.parents.tolist()) == (1, 1, [NO_PARENT])
    nodes = nodes_of(level_order([LEAF, GROWN, LEAF]))
    assert (nodes.roots.tolist(), nodes.depth) == ([0, 1, 8], 3)
    assert nodes.left.tolist() == [0, 2, 2, 4, 4, 6, 6, 7, 8]
    assert nodes.right.tolist() == [0, 3, 2, 5, 4, 7, 6, 7, 8]
    assert nodes.columns.tolist() == [0, 5, 0, 0, 0, 3, 0, 0, 0]


def test_no_trees():
    forest = level_order([])
    assert trees_of(forest) == []
    assert (len(nodes_of(forest).roots), nodes_of(forest).depth) == (0, 0)


@pytest.mark.parametrize(
    ("bits", "whole"),
    [([], True), ([0], True), ([0, 0], True), ([1, 0, 0], True), ([1], False), ([1, 0], False), ([0, 1], False)],
)
def test_the_last_tree_must_be_whole(bits, whole):
    assert is_whole(np.array(bits, dtype=bool)) is whole


def test_numbers_in_bits():
    assert [width_of(n) for n in (0, 1, 2, 3, 4, 5, 256, 257)] == [1, 1, 1, 2, 2, 3, 8, 9]
    assert pack_numbers(np.array([1, 2, 3, 0, 3]), 2) == bytes([0b01_10_11_00, 0b11_000000])
    with pytest.raises(RegistryError, match="bits where there should be none"):
        unpack_numbers(bytes([0b01_10_11_00, 0b11_000001]), 5, 2)


@given(st.integers(1, 21), st.data())
def test_numbers_come_back(width, data):
    numbers = np.array(data.draw(st.lists(st.integers(0, 2**width - 1))), dtype=np.intp)
    packed = pack_numbers(numbers, width)
    assert len(packed) == packed_size(len(numbers), width)
    assert unpack_numbers(packed, len(numbers), width).tolist() == numbers.tolist()


@given(FLOATS)
def test_floats_come_back_to_the_last_bit(floats):
    values = np.array(floats, dtype=np.float32)
    assert from_planes(to_planes(values)).view(np.uint32).tolist() == values.view(np.uint32).tolist()
    assert to_planes(np.array([1, 2], dtype=np.float32)) == bytes([0x3F, 0x40, 0x80, 0, 0, 0, 0, 0])
