"""The one interface of the protection of a sum, and the header that every protected message carries.

    bank:    protect(values, step, bound) -> part            the only thing derived from records that leaves the bank
    server:  combine([part, ...]) -> combined                 holds no key
    bank:    share(combined, step) -> share                   its part of the work of opening; b"" if there is none
    bank:    reveal(combined, shares, step) -> pooled values  checked against the banks' tags

A value takes as many bits as its bound needs, and none if that is 0 (`riskfed.secure.slots`). Bounds are known to the
banks alone: to the server, what it adds is one long integer, or ciphertexts of some.

Who learns what: the banks of the roster learn the pooled values, from which each can subtract its own; the server
learns run, step, number of values, and by the length how many bits all their bounds have together.

A header is not secret and not authenticated. It gives a clear error early. Were it forged, run, attempt, roster, plan
and step are bound into every mask and tag, so that the values come out as noise and the check of the sum fails.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol, Self, runtime_checkable

import numpy as np

from riskfed.errors import LocalProtocolError, PlanError, ProtectionError, RemoteProtocolError
from riskfed.secure.integrity import append_tags, tagged_widths, verify_and_strip
from riskfed.secure.keys import MAXIMUM_BANKS, MINIMUM_BANKS, SessionKeys
from riskfed.secure.slots import Bound, Widths, all_within, slot_widths

_MAGIC: Final = b"RFP2"
_SCHEMES: Final = {"masking": 1, "paillier": 2}
_LAYOUT: Final = struct.Struct("<4sBBHQQ32sQ")  # the fourth field is reserved: it makes the length 64
HEADER_BYTES: Final = _LAYOUT.size


@runtime_checkable
class Protection(Protocol):
    """A bank's side. Holds keys. Steps rise, and each goes protect, share (where there is one), reveal, once."""

    name: str

    def protect(self, values: np.ndarray, step: int, bound: Bound) -> bytes:
        """Encrypt (n,) int64 values. `bound`, one or (n,) int64, is known to all banks alike: no pooled value, nor any
        bank's own, is above it in absolute value."""
        ...

    def share(self, combined: bytes, step: int) -> bytes:
        """This bank's part of the work of opening `combined`, readable for the other banks only."""
        ...

    def reveal(self, combined: bytes, shares: Mapping[str, bytes], step: int) -> np.ndarray:
        """Pooled (n,) int64 values, from `combined` and bank -> share."""
        ...


class Combiner(Protocol):
    """The server's side. Holds no key."""

    def combine(self, parts: Sequence[bytes]) -> bytes:
        """Add protected parts of one step without reading them."""
        ...


def combiner_for(name: str, public_parameters: bytes = b"") -> Combiner:
    """The combiner of a scheme: "masking" (no parameters) or "paillier" (parameters: the public key,
    `serialize_public`).

    Raises:
        PlanError: unknown scheme.
        ProtectionError: the public key is malformed or too short.
    """
    # Imported here, because the schemes are built on this module.
    if name == "masking":
        from riskfed.secure.masking import MaskingCombiner

        return MaskingCombiner()
    if name == "paillier":
        from riskfed.secure.paillier import PaillierCombiner
        from riskfed.secure.paillier_key import parse_public

        return PaillierCombiner(parse_public(public_parameters))
    raise PlanError(f"unknown protection {name!r}; known are {', '.join(_SCHEMES)}")


@dataclass(frozen=True)
class Header:
    """What a protected message says of itself. Public.

    Attributes:
        scheme: "masking" or "paillier".
        parts: number of banks' parts summed in it.
        items: what the body is made of: so many words of 8 bytes (masking), or ciphertexts (Paillier).
        step: the step.
        count: number of values, without the tag's slots.
        context_digest: `Context.digest`.
    """

    scheme: str
    parts: int
    items: int
    step: int
    count: int
    context_digest: bytes

    def to_bytes(self) -> bytes:
        """The header's HEADER_BYTES bytes."""
        scheme = _SCHEMES[self.scheme]
        return _LAYOUT.pack(_MAGIC, scheme, self.parts, 0, self.step, self.count, self.context_digest, self.items)

    @classmethod
    def of(cls, message: bytes) -> Self:
        """Read the header of a protected message.

        Raises:
            RemoteProtocolError: the message is cut or has another format.
        """
        if len(message) < HEADER_BYTES or not message.startswith(_MAGIC):
            raise RemoteProtocolError(
                f"a protected message of {len(message)} bytes does not start with the header of this version"
            )
        _, scheme, parts, reserved, step, count, context_digest, items = _LAYOUT.unpack_from(message)
        names = [name for name, number in _SCHEMES.items() if number == scheme]
        if not names or not parts or reserved:
            raise RemoteProtocolError(f"a protected message has a malformed header: scheme {scheme}, {parts} parts")
        return cls(names[0], parts, items, step, count, context_digest)


def header_of_sum(parts: Sequence[bytes], scheme: str) -> Header:
    """Check that `parts` may be added, and give the header of their sum.

    Raises:
        RemoteProtocolError: there are none, or their headers name another scheme, or differ in anything but the
            number of parts.
    """
    headers = [Header.of(part) for part in parts]
    if not headers:
        raise RemoteProtocolError("there are no protected parts to add")
    first = headers[0]
    if first.scheme != scheme:
        raise RemoteProtocolError(f"protected parts are of scheme {first.scheme}; this server was told to add {scheme}")
    for i, header in enumerate(headers):
        if replace(header, parts=first.parts) != first:
            raise RemoteProtocolError(
                f"protected part {i + 1} of {len(parts)} is of another step, run, scheme or length than the first: "
                f"step {header.step} with {header.count} values against step {first.step} with {first.count}"
            )
    total = sum(header.parts for header in headers)
    if total > MAXIMUM_BANKS:
        raise RemoteProtocolError(f"{total} protected parts were to be added; at most {MAXIMUM_BANKS} can be")
    return replace(first, parts=total)


class StepwiseProtection(ABC):
    """What the schemes have in common: the order of the steps, the headers and the tags.

    Raises:
        PlanError: the keys are of fewer than three banks.
    """

    name: str

    def __init__(self, keys: SessionKeys) -> None:
        if len(keys.context.roster) < MINIMUM_BANKS:
            raise PlanError(
                f"a sum over {len(keys.context.roster)} banks was to be protected, expected {MINIMUM_BANKS} at least"
            )
        self._keys = keys
        self._open_step: Header | None = None
        self._widths: Widths = np.empty(0, dtype=np.uint8)
        self._buffer = np.empty(0, dtype=np.int64)

    def protect(self, values: np.ndarray, step: int, bound: Bound) -> bytes:
        """Protect this bank's values for one sum.

        Args:
            values: (n,) int64, n >= 0, |value| <= bound.
            step: above every step protected before with the same keys.
            bound: one, or (n,) int64 with one for each value, at most 2^62, the same at all banks: neither a pooled
                value nor a bank's own is above it in absolute value.

        Raises:
            ProtectionError: values or bound are not as said; nothing was protected.
            LocalProtocolError: the step was used, or is below one that was.
        """
        widths = tagged_widths(_checked_widths(values, bound))
        self._keys.use_step(step)
        header = Header(self.name, 1, self._items(widths), step, len(values), self._keys.context.digest)
        if len(self._buffer) != len(widths):
            self._buffer = np.empty(len(widths), dtype=np.int64)  # kept from step to step, because new memory is slow
        part = self._encrypt(append_tags(values, self._keys, step, out=self._buffer), widths, header)
        self._open_step, self._widths = header, widths
        return part

    def share(self, combined: bytes, step: int) -> bytes:  # noqa: ARG002  # the interface's names
        """b"": this scheme needs no work of opening."""
        return b""

    def reveal(self, combined: bytes, shares: Mapping[str, bytes], step: int) -> np.ndarray:
        """Open the sum of all banks' parts of a step, once, and check it.

        Args:
            combined: what the server's combiner gave.
            shares: bank -> what its `share` gave.
            step: the step that this bank protected last.

        Returns:
            (n,) int64 pooled values.

        Raises:
            RemoteProtocolError: a malformed message.
            ProtectionError: the sum of another run, attempt, roster, step or length, of too few or too many banks, or
                one that is not the sum of what the banks sent; or a share is missing or corrupt.
            LocalProtocolError: this bank did not protect the step, or revealed it already.
        """
        header = self._expect(combined, step)
        self._open_step = None
        return verify_and_strip(self._decrypt(combined, shares, self._widths, header), self._keys, step)

    def _expect(self, combined: bytes, step: int) -> Header:
        """The header of `combined`, if it is that of the sum of all banks' parts of the step that is open here."""
        own = self._open_step
        if own is None or own.step != step:
            raise LocalProtocolError(
                f"{self._keys.own_name} has no open sum of step {step}; "
                "it must protect that step first, and opens it once"
            )
        got, expected = Header.of(combined), replace(own, parts=len(self._keys.context.roster))
        if got.context_digest != expected.context_digest:
            raise ProtectionError(
                f"the sum for step {step} belongs to another run, attempt, roster or plan than this bank's"
            )
        if got != expected:
            raise ProtectionError(
                f"got the sum of {got.parts} parts for step {got.step} with {got.count} values in {got.items} items "
                f"under {got.scheme}; expected {expected.parts} parts for step {expected.step} with {expected.count} "
                f"values in {expected.items} items under {self.name}"
            )
        return got

    @abstractmethod
    def _items(self, widths: Widths) -> int:
        """Items of a body with slots of these widths; see `Header`."""

    @abstractmethod
    def _encrypt(self, slots: np.ndarray, widths: Widths, header: Header) -> bytes:
        """The protected message of (n,) int64 slots of (n,) widths."""

    @abstractmethod
    def _decrypt(self, combined: bytes, shares: Mapping[str, bytes], widths: Widths, header: Header) -> np.ndarray:
        """(n,) int64 pooled slots, not yet checked."""


def _checked_widths(values: np.ndarray, bound: Bound) -> Widths:
    """The slots' widths, once it is certain that the values fit."""
    if values.dtype != np.int64 or values.ndim != 1:
        raise ProtectionError(
            f"got values of type {values.dtype} in {values.ndim} dimensions; expected one dimension of int64"
        )
    widths = slot_widths(bound, len(values))
    if not all_within(values, bound):
        raise ProtectionError("a value is above the declared bound in absolute value; nothing was protected")
    return widths
