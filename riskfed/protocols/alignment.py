"""Alignment: parties find the customers that all of them have, and put them into the same order. No id leaves any of them.

    1  the parties learn whether all have kept the same alignment; then it is used again
    2  a salt that only the parties know, and how many customers each has
    3  the label holder learns which of its customers each feature holder has    private set intersection; it asks
    4  each feature holder learns which of its own customers all parties have    the other way round; the label holder answers
    5  every party sorts the common customers by a keyed hash; all learn whether they have the same
    6  every party keeps the result

An item of the intersections is HMAC-SHA256(salt, id), so the library never sees an id. The items are dealt to buckets by their
leading bits, so that memory is bounded and progress can be told, and each bucket is filled up with random items to a size that follows
from the number of customers alone: how many of a party's customers fall into a bucket would tell something about each id.

Secret: ids, items and the keys that make them (from the server), the keys of the intersections (from everyone). Who learns what, where all
are honest: the label holder how many customers each feature holder has, and which of its own customers each of them has; a feature holder
how many the label holder has (of the largest party, to a power of two), and which of its own customers all parties have; the server sizes
of messages. Why step 4 is a second intersection, and not the label holder's list: to a feature holder that answered step 3 in another
order, such a list would tell customers that it does not have. For the same reason digests of alignments are compared by an intersection
too, and never shown. What the result discloses by itself, and what a dishonest party can do: docs/alignment.md.
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from riskfed.errors import ContractError, PolicyError, ProtectionError, RemoteProtocolError
from riskfed.protocols.bucketwise_intersection import Pass, answer, ask
from riskfed.protocols.kept_alignment import Alignment
from riskfed.protocols.program import Exchange, Keep, Program, SharedSecret
from riskfed.secure.intersection_items import ITEM_DIGITS, MOST_ITEMS, AlignmentKeys, Buckets, Items, digest_of
from riskfed.secure.private_set_intersection import library

__all__ = ["MOST_EXCHANGES", "Alignment", "align", "stand_by"]

_KEPT: Final = "alignment, kept"
_CUSTOMERS: Final = "alignment, customers"
_DEALT: Final = "alignment, buckets"
_OF_EACH: Final = "alignment, customers of each"
_OF_ALL: Final = "alignment, customers of all"
_FOUND: Final = "alignment, found"
_EQUAL: Final = b"\x01"
_DIFFERENT: Final = b"\x00"
_SIZE: Final = struct.Struct(">Q")
_BUCKETS: Final = struct.Struct(">QB")
_MOST_BITS: Final = Buckets.for_largest(MOST_ITEMS).bits

MOST_EXCHANGES: Final = 3 + 2 + 2 * ((1 << _MOST_BITS) + 1) + 3
"""Of one alignment: what was kept, numbers of customers, two intersections, what was found."""


def align(
    ids: NDArray[np.bytes_],
    me: str,
    roster: tuple[str, ...],
    label_holder: str,
    *,
    kept: bytes | None,
    again: bool = False,
    may_intersect: bool = True,
    least_common: int = 1,
    bystanders: tuple[str, ...] = (),
) -> Program[Alignment]:
    """One party's side.

    Args:
        ids: (n,) its normalised customer ids, each once (`riskfed.customer_id`).
        me: its name.
        roster: all parties' names, but bystanders.
        label_holder: the one that asks first.
        kept: what it kept of an earlier alignment with this roster (`Alignment.to_bytes`).
        again: make a new alignment in any case; the same at every party.
        may_intersect: whether this party's policy allows a new one now.
        least_common: fewest common customers with which this party goes on.
        bystanders: parties of the run that have no customers; they run `stand_by`.

    Raises:
        ContractError: there are no ids, or some are there twice.
        PolicyError: a new alignment is needed and not allowed, or has too few customers.
        ProtectionError: the parties have found different customers.
        RemoteProtocolError: another party's message is malformed.
        ConfigurationError: what was kept is damaged, or openmined-psi is not installed.
    """
    library()  # refuses now, where it is not installed, and not when others have begun to work
    others = tuple(name for name in roster if name != me)
    found = None if again or kept is None else Alignment.from_bytes(kept)
    if found is not None and not found.is_within(ids):
        found = None
    told = _Told(label_holder, others, bystanders)
    odd = yield from _differing(found, _KEPT, me, told)  # 1
    if found is not None and not odd:
        _check_common(len(found), least_common)
        return found
    _check_may_begin(ids, me, may_intersect=may_intersect)
    yield Keep("intersection", b"")  # before anything is told: policy counts those that were begun, finished or not
    alignment = yield from _new(ids, me, told, least_common)
    yield Keep("alignment", alignment.to_bytes())  # 6
    return alignment


def stand_by(label_holder: str) -> Program[None]:
    """The side of a party without customers: it takes part in every exchange with nothing.

    It learns whether the parties' earlier alignment still holds, and the number of buckets, which the server sees too.

    Raises:
        ProtectionError: the parties have found different customers.
        RemoteProtocolError: the label holder's message is malformed.
    """
    if (yield from _overheard(_KEPT, label_holder)):
        return
    yield Exchange({}, _CUSTOMERS)
    received = yield Exchange({}, _DEALT)
    _, bits = _BUCKETS.unpack(_expect(received, label_holder, _BUCKETS.size))
    if bits > _MOST_BITS:
        raise RemoteProtocolError(f"{label_holder} deals customers to impossibly many buckets; its operator must act")
    for label in (_OF_EACH, _OF_ALL):
        for number in range(len(Buckets(bits)) + 1):
            yield Exchange({}, f"{label}, bucket {number}")
    if not (yield from _overheard(_FOUND, label_holder)):
        raise ProtectionError(
            "the parties found different common customers; nothing is trained, they must find out why"
        )


def _overheard(label: str, label_holder: str) -> Program[bool]:
    """Stand by while digests are compared (`_differing`); whether they are equal."""
    for number in range(len(Buckets(0)) + 1):
        yield Exchange({}, f"{label}, bucket {number}")
    verdict = yield Exchange({}, f"{label}, verdict")
    return _expect(verdict, label_holder, len(_EQUAL)) == _EQUAL


@dataclass(frozen=True, slots=True)
class _Told:
    """Whom a party deals with: the label holder, the others with customers, and bystanders."""

    label_holder: str
    others: tuple[str, ...]
    bystanders: tuple[str, ...]


def _new(ids: NDArray[np.bytes_], me: str, told: _Told, least_common: int) -> Program[Alignment]:
    """Steps 2 to 5."""
    label_holder, others = told.label_holder, told.others
    keys = AlignmentKeys.from_secret((yield SharedSecret("alignment")))  # 2
    items = Items.from_ids(ids, keys.salt)
    leads = me == label_holder
    sizes, buckets = yield from _sizes(len(ids), me, told)
    first = Pass(_OF_EACH, buckets, sizes, me, shown=(0.0, 0.5) if leads else None)
    second = Pass(_OF_ALL, buckets, sizes, me, shown=(0.5, 1.0) if leads else None)
    if leads:
        found = yield from ask(items, others, first)  # 3
        common = items.where(np.logical_and.reduce(list(found.values())))
        _check_common(len(common), least_common)
        yield from answer(common, others, second, fill_up=False)  # 4
    else:
        yield from answer(items, (label_holder,), first, fill_up=True)  # 3
        found = yield from ask(items, (label_holder,), second)  # 4
        common = items.where(found[label_holder])
        _check_common(len(common), least_common)
    common = common.in_order(keys.order)  # 5
    alignment = Alignment(ids[common.rows], digest_of(common.values, keys.digest))
    if odd := (yield from _differing(alignment, _FOUND, me, told)):
        raise ProtectionError(
            f"{', '.join(odd)} found other common customers than {me}: an answer was not honest, or changed; nothing is trained, the "
            "parties must find out why"
        )
    return alignment


def _differing(alignment: Alignment | None, label: str, me: str, told: _Told) -> Program[tuple[str, ...]]:
    """Parties whose alignment is another one than the label holder's, or that have none; empty where all are equal.

    Digests are compared by an intersection of one item each. Whoever saw one that differs could test guesses of the customers in
    which the alignments differ, and a dishonest answer can bring a party to a difference of a single customer.
    """
    digest = secrets.token_hex(ITEM_DIGITS) if alignment is None else alignment.digest
    item = Items(np.array([digest[:ITEM_DIGITS].encode()]), np.zeros(1, dtype=np.int64))
    label_holder, others = told.label_holder, told.others
    one_each = Pass(label, Buckets(0), dict.fromkeys((me, *others), 1), me)
    if me == label_holder:
        same = yield from ask(item, others, one_each)
        odd = tuple(other for other, found in same.items() if not found.all())
        verdicts = dict.fromkeys((*others, *told.bystanders), _DIFFERENT if odd else _EQUAL)
        yield Exchange(verdicts, f"{label}, verdict")
        return odd
    yield from answer(item, (label_holder,), one_each, fill_up=True)
    verdict = yield Exchange({}, f"{label}, verdict")
    return () if _expect(verdict, label_holder, len(_EQUAL)) == _EQUAL else ("another party",)


def _sizes(customers: int, me: str, told: _Told) -> Program[tuple[Mapping[str, int], Buckets]]:
    """How many customers those parties have whose number this one may know, itself among them, and the buckets for the largest of all.

    Feature holders tell the label holder, which tells each its own number and how many buckets there are.
    """
    label_holder, others = told.label_holder, told.others
    if me == label_holder:
        received = yield Exchange({}, _CUSTOMERS)
        stated = {other: _SIZE.unpack(_expect(received, other, _SIZE.size))[0] for other in others}
        buckets = Buckets.for_largest(min(max(customers, *stated.values()), MOST_ITEMS))
        dealt = dict.fromkeys(told.bystanders, _BUCKETS.pack(0, buckets.bits))  # whom the number is not to be told
        yield Exchange(dealt | dict.fromkeys(others, _BUCKETS.pack(customers, buckets.bits)), _DEALT)
    else:
        yield Exchange({label_holder: _SIZE.pack(customers)}, _CUSTOMERS)
        received = yield Exchange({}, _DEALT)
        theirs, bits = _BUCKETS.unpack(_expect(received, label_holder, _BUCKETS.size))
        stated, buckets = {label_holder: theirs}, Buckets(bits)
    sizes = {me: customers, **stated}
    least, most = min(sizes.values()), max(sizes.values())
    if not 1 <= least <= most <= MOST_ITEMS or not Buckets.for_largest(most).bits <= buckets.bits <= _MOST_BITS:
        raise RemoteProtocolError(
            f"the parties state impossible numbers of customers; expected 1 to {MOST_ITEMS} each, their operators must act"
        )
    return sizes, buckets


def _expect(received: Mapping[str, bytes], sender: str, size: int) -> bytes:
    message = received.get(sender, b"")
    if len(message) != size:
        raise RemoteProtocolError(
            f"{sender} sent {len(message)} bytes about its alignment; expected {size}; its operator must act"
        )
    return message


def _check_may_begin(ids: NDArray[np.bytes_], me: str, *, may_intersect: bool) -> None:
    if not may_intersect:
        raise PolicyError(
            f"policy rule max_alignments_per_day: got one more alignment than {me} allows in 24 hours, and no earlier one that all "
            "parties can still use; run again tomorrow; only this party can change its policy",
            "max_alignments_per_day",
        )
    if not len(ids):
        raise ContractError(f"{me} has no customer to align; its data engineer must mend the extract")


def _check_common(common: int, least: int) -> None:
    if not common:
        raise ContractError(
            "the parties have no customer in common; their data engineers must check that ids are of the same kind, and "
            "normalised alike (customer_id in the schema)"
        )
    if common < least:
        raise PolicyError(
            f"policy rule min_common: got fewer customers in common, this party wants at least {least}; "
            "only this party can change its policy",
            "min_common",
        )
