"""Who a bank is, what a run is, and the keys that the banks of a run share.

Secret: the signing key inside an `Identity`, everything inside `SessionKeys`. Public: names, contexts, public keys,
fingerprints.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, NoReturn, Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from riskfed.errors import ConfigurationError, LocalProtocolError, PlanError
from riskfed.secure.primitives import KEY_BYTES, digest, frame, hkdf

MINIMUM_BANKS: Final = 3
"""Under a sum. Of two banks, each would learn the other's values by subtracting its own."""
MINIMUM_PARTIES: Final = 2
"""Of a run that seals envelopes only."""
MAXIMUM_BANKS: Final = 255
"""The check of a sum leaves room for the carries of so many banks, see `riskfed.secure.integrity`."""


class Identity:
    """A bank's long-lived Ed25519 signing key (RFC 8032). It signs the ephemeral keys of a run and never encrypts
    anything."""

    __slots__ = ("_key",)

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @classmethod
    def generate(cls) -> Self:
        """A new identity from the operating system's randomness."""
        return cls(Ed25519PrivateKey.generate())

    def to_pem(self, passphrase: str | None = None) -> bytes:
        """PKCS #8 in PEM, encrypted under `passphrase` if one is given."""
        protection: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if passphrase is not None:
            protection = serialization.BestAvailableEncryption(passphrase.encode())
        return self._key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)

    @classmethod
    def from_pem(cls, pem: bytes, passphrase: str | None = None) -> Self:
        """Read what `to_pem` wrote.

        Raises:
            ConfigurationError: not a PKCS #8 Ed25519 key, or the passphrase is wrong, missing or superfluous.
        """
        try:
            key = serialization.load_pem_private_key(pem, None if passphrase is None else passphrase.encode())
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise ConfigurationError(
                f"the identity key cannot be read ({type(error).__name__}); "
                "expected an Ed25519 key in PKCS #8 PEM and its passphrase"
            ) from None
        if not isinstance(key, Ed25519PrivateKey):
            raise ConfigurationError(
                f"the identity key is a {type(key).__name__}; expected Ed25519: generate a new identity"
            )
        return cls(key)

    @property
    def public(self) -> str:
        """The public key, 32 bytes in base64: what other banks pin."""
        raw = self._key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return base64.b64encode(raw).decode()

    def sign(self, message: bytes) -> bytes:
        """Ed25519 signature of `message`, 64 bytes. Messages must start with a text that says what they are."""
        return self._key.sign(message)

    def __repr__(self) -> str:
        return f"Identity({fingerprint(self.public)})"

    def __reduce__(self) -> NoReturn:
        raise LocalProtocolError("an Identity is not pickled or copied; store it with to_pem()")


def fingerprint(public: str) -> str:
    """128 bits of the SHA-256 of a public key in groups of four hexadecimal digits, for people to compare by
    telephone."""
    hexadecimal = hashlib.sha256(_public_bytes(public)).hexdigest()[:32]
    return "-".join(hexadecimal[i : i + 4] for i in range(0, 32, 4))


def signature_is_valid(public: str, signature: bytes, message: bytes) -> bool:
    """Whether `signature` is the Ed25519 signature of `message` under `public`."""
    try:
        Ed25519PublicKey.from_public_bytes(_public_bytes(public)).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def _public_bytes(public: str) -> bytes:
    try:
        raw = base64.b64decode(public, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != KEY_BYTES:
        raise ConfigurationError(
            "a bank's public key is malformed; expected 32 bytes in base64, as Identity.public gives them"
        )
    return raw


@dataclass(frozen=True)
class Context:
    """What every key, mask, tag and envelope of a run is bound to. Public.

    Attributes:
        run: name of the run, unique for the consortium.
        attempt: 0, 1, ...: grows whenever the banks start again, so that no key is ever used for two conversations.
        roster: names of the banks that take part: sorted, unique, 2 to 255; a protection of sums asks for 3.
        plan_digest: sha256 (32 bytes) of all that the parties agreed on: job, schema, protection.

    Raises:
        PlanError: any of these is malformed.
    """

    run: str
    attempt: int
    roster: tuple[str, ...]
    plan_digest: bytes

    def __post_init__(self) -> None:
        if not self.run:
            raise PlanError("the run has no name")
        if not 0 <= self.attempt < 2**32:
            raise PlanError(f"attempt is {self.attempt}; expected 0 to 2^32 - 1")
        if not MINIMUM_PARTIES <= len(self.roster) <= MAXIMUM_BANKS:
            raise PlanError(
                f"the roster names {len(self.roster)} banks; a run has {MINIMUM_PARTIES} to {MAXIMUM_BANKS}"
            )
        if list(self.roster) != sorted(set(self.roster)) or not all(self.roster):
            raise PlanError(f"the roster must be sorted, without repeated or empty names, got {', '.join(self.roster)}")
        if len(self.plan_digest) != 32:
            raise PlanError(f"plan_digest has {len(self.plan_digest)} bytes; expected the 32 of a sha256")

    @cached_property
    def digest(self) -> bytes:
        """sha256 of all fields in an unambiguous encoding: 32 bytes."""
        names = frame(*(name.encode() for name in self.roster))
        return digest(
            b"riskfed context v1", self.run.encode(), self.attempt.to_bytes(4, "big"), names, self.plan_digest
        )


@dataclass(frozen=True, repr=False, eq=False)
class SessionKeys:
    """One bank's secrets of one run, made by `riskfed.secure.handshake.Handshake`.

    Attributes:
        context: what the keys are bound to.
        own_name: the bank that holds them.
        pair_keys: other bank's name -> 32 bytes that only the two of them know.
        group_key: 32 bytes that all banks of the roster know, and the server does not.
    """

    context: Context
    own_name: str
    pair_keys: Mapping[str, bytes]
    group_key: bytes
    _last_step: list[int] = field(default_factory=lambda: [-1])

    @property
    def others(self) -> tuple[str, ...]:
        """The other banks, in the roster's order."""
        return tuple(name for name in self.context.roster if name != self.own_name)

    def derive(self, label: str, step: int, *, length: int = KEY_BYTES) -> bytes:
        """Key for one purpose and step that all banks of the roster can derive, and nobody else."""
        return hkdf(self.group_key, info=self._info(b"group", label, step), length=length)

    def derive_pair(self, other: str, label: str, step: int, *, length: int = KEY_BYTES) -> bytes:
        """Key for one purpose and step that only this bank and `other` can derive; the same on both sides."""
        if other not in self.pair_keys:
            raise LocalProtocolError(
                f"{self.own_name} shares no key with {other}; the roster is {', '.join(self.context.roster)}"
            )
        return hkdf(self.pair_keys[other], info=self._info(b"pair", label, step), length=length)

    def use_step(self, step: int) -> None:
        """Claim a step number for one protected array; only rising numbers are accepted.

        The register belongs to the keys, not to a protection: two sums under the same masks could be subtracted,
        whichever objects made them.

        Raises:
            LocalProtocolError: the number was used, or is below one that was.
        """
        if not self._last_step[0] < step < 2**63:
            raise LocalProtocolError(
                f"{self.own_name} was to protect step {step} after step {self._last_step[0]}; "
                "each step is answered once, in rising order"
            )
        self._last_step[0] = step

    def _info(self, kind: bytes, label: str, step: int) -> bytes:
        return frame(b"riskfed key v1", kind, self.context.digest, label.encode(), step.to_bytes(8, "big"))

    def __repr__(self) -> str:
        run, attempt = self.context.run, self.context.attempt
        return f"SessionKeys(run={run!r}, attempt={attempt}, own_name={self.own_name!r}, secrets not shown)"

    def __reduce__(self) -> NoReturn:
        raise LocalProtocolError(
            "SessionKeys are not pickled or copied: a run that starts again makes new ones by a new handshake"
        )
