"""Items, buckets and keys of an alignment."""

from __future__ import annotations

import hashlib
import hmac

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from riskfed.errors import ContractError, ProtectionError
from riskfed.secure.intersection_items import MOST_ITEMS, AlignmentKeys, Buckets, Items, digest_of, texts

SALT = bytes(range(32))


def some_ids(count: int) -> np.ndarray:
    return np.array([f"id {number}".encode() for number in range(count)])


def test_an_item_is_a_keyed_hash_of_the_id_and_items_ascend() -> None:
    ids = some_ids(50)
    items = Items.from_ids(ids, SALT)
    expected = [hmac.new(SALT, customer, hashlib.sha256).hexdigest()[:32].encode() for customer in ids.tolist()]
    assert items.values.tolist() == sorted(expected)
    assert [expected[row] for row in items.rows] == items.values.tolist()


def test_an_id_that_is_there_twice_is_refused_with_a_count() -> None:
    with pytest.raises(ContractError, match="^2 rows have the customer id of another row") as refused:
        Items.from_ids(np.array([b"secret", b"other", b"secret", b"secret"]), SALT)
    assert "secret" not in str(refused.value)


@given(st.integers(0, 300), st.integers(0, 6))
def test_buckets_part_the_items_by_their_leading_bits(count: int, bits: int) -> None:
    items, buckets = Items.from_ids(some_ids(count), SALT), Buckets(bits)
    slices = items.slices(buckets)
    assert len(slices) == len(buckets) == 2**bits
    assert [number for part in slices for number in range(part.start, part.stop)] == list(range(count))
    for number, part in enumerate(slices):
        assert all(int(value, 16) >> (128 - bits) == number for value in items.values[part].tolist())


@pytest.mark.parametrize(
    ("largest", "buckets"), [(1, 1), (16_384, 1), (16_385, 2), (1_000_000, 64), (MOST_ITEMS, 2048)]
)
def test_the_number_of_buckets(largest: int, buckets: int) -> None:
    assert len(Buckets.for_largest(largest)) == buckets


@pytest.mark.parametrize("bits", [1, 6, 11])
@pytest.mark.parametrize("customers", [1, 100, 20_000, 1_000_000, MOST_ITEMS])
def test_a_bucket_overflows_once_in_ten_to_the_thirteen(customers: int, bits: int) -> None:
    capacity = Buckets(bits).capacity(customers)
    assert stats.binom.sf(capacity, customers, 0.5**bits) < np.exp(-32)
    assert capacity < customers / 2**bits * 1.1 + 200 or customers / 2**bits < 10_000


def test_one_bucket_is_not_filled_up() -> None:
    assert Buckets(0).capacity(77) == 77


def test_a_bucket_is_filled_up_with_items_that_nobody_has() -> None:
    values = Items.from_ids(some_ids(5), SALT).values
    filled, again = texts(values, 9), texts(values, 9)
    assert filled[:5] == again[:5] == [value.decode() for value in values]
    assert len(set(filled) | set(again)) == 5 + 4 + 4
    assert {len(item) for item in filled} == {32}
    with pytest.raises(ProtectionError, match="fuller than chance allows"):
        texts(values, 4)


def test_the_common_order_depends_on_the_key_alone() -> None:
    ids = some_ids(200)
    one, other = Items.from_ids(ids, SALT), Items.from_ids(ids[::-1].copy(), SALT)
    ordered = [items.in_order(b"key").values.tolist() for items in (one, other)]
    assert ordered[0] == ordered[1] != one.values.tolist()
    assert one.in_order(b"another").values.tolist() != ordered[0]
    moved = one.in_order(b"key")
    assert (Items.from_ids(ids[moved.rows], SALT).values == one.values).all()
    assert [hmac.digest(SALT, ids[row], "sha256").hex()[:32].encode() for row in moved.rows] == moved.values.tolist()


def test_keys_and_digests_are_independent() -> None:
    keys = AlignmentKeys.from_secret(bytes(32))
    assert len({keys.salt, keys.order, keys.digest, AlignmentKeys.from_secret(SALT).salt}) == 4
    values = Items.from_ids(some_ids(3), SALT).values
    assert digest_of(values, b"key") == hmac.new(b"key", b"".join(values.tolist()), hashlib.sha256).hexdigest()
    assert len({digest_of(values, b"key"), digest_of(values[::-1], b"key"), digest_of(values, b"other")}) == 3
    assert "salt" not in repr(keys)
