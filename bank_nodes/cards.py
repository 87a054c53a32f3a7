"""A bank's card: the small text file in which it sends its public keys to the others, by e-mail or any other way that nobody has to trust.

A card is signed by the signing key that it introduces, and, when it replaces another, by the key before. A signature alone says nothing
about whose key it is: whoever swaps the whole card can sign his own. What binds a first card to a bank is its fingerprint, which people
compare by telephone (the short authentication string of e.g. RFC 6189, section 4.3, with 128 bits because nothing is live here). What
binds a later card is the signature of the key that is pinned already.

All of it is public.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import tomllib
from pathlib import Path
from typing import Annotated, Final, Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from riskfed.errors import ConfigurationError
from riskfed.files import write_whole
from riskfed.secure.keys import Identity, signature_is_valid
from riskfed.secure.primitives import KEY_BYTES, digest, frame
from riskfed.toml_text import toml_lines

_LABEL: Final = b"riskfed card v1"
_FINGERPRINT_LABEL: Final = b"riskfed card fingerprint v1"
_LONGEST_NAME: Final = 64
_LONGEST_CARD: Final = 16 * 1024
_SIGNATURE_BYTES: Final = 64


def bank_name(name: str) -> str:
    """`name`, if a bank may be called so: 1 to 64 bytes of printable text without blanks around it.

    Raises:
        ValueError: it may not.
    """
    if not name.isprintable() or not 1 <= len(name.encode()) <= _LONGEST_NAME or name != name.strip():
        raise ValueError(f"a bank's name must have 1 to {_LONGEST_NAME} printable bytes, no blanks around it: {name!r}")
    return name


def signing_key(public: str) -> str:
    """`public`, if it is a signing key as `Identity.public` gives it; there is one way only to write a key.

    Raises:
        ValueError: it is none.
    """
    _decoded(public, KEY_BYTES, "public key")
    return public


def flower_key(public: str) -> str:
    """An ECDSA P-384 public key in OpenSSH's format, without its comment: there is one way only to write a key.

    Raises:
        ValueError: it is none.
    """
    key = _p384(public)
    if key is None:
        raise ValueError("a Flower key must be an ECDSA P-384 public key in OpenSSH's format; it is malformed")
    return key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()


def card_fingerprint(bank: str, signing: str, flower: str) -> str:
    """128 bits of the SHA-256 of name, signing key and Flower key ("" for none), in groups of four hexadecimal digits.

    Finding other keys with a given fingerprint takes 2^128 tries. A bank could make two cards with one fingerprint in 2^64, but only
    for itself, and gain no more than by handing out its key.
    """
    parts = (part.encode() for part in (bank, signing, flower))
    hexadecimal = digest(_FINGERPRINT_LABEL, *parts).hex()[:32]
    return "-".join(hexadecimal[i : i + 4] for i in range(0, 32, 4))


Name = Annotated[str, AfterValidator(bank_name)]
SigningKey = Annotated[str, AfterValidator(signing_key)]
FlowerKey = Annotated[str, AfterValidator(flower_key)]


class Card(BaseModel):
    """What a bank tells about its keys.

    Attributes:
        bank: its name.
        sequence: 1 for the first card, and one more with every rotation.
        date: when the keys were made.
        signing_key: Ed25519, 32 bytes in base64.
        flower_key: ECDSA P-384, OpenSSH.
        previous_key: the signing key that this one replaces and that vouches for it; "" if none does.
        signature: by `signing_key` over all of the above, 64 bytes in base64.
        previous_signature: by `previous_key` over the same; "" if there is none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    bank: Name
    sequence: int = Field(ge=1, lt=2**32)
    date: datetime.date
    signing_key: SigningKey
    flower_key: FlowerKey
    previous_key: str = ""
    signature: str = ""
    previous_signature: str = ""

    @property
    def fingerprint(self) -> str:
        """See `card_fingerprint`."""
        return card_fingerprint(self.bank, self.signing_key, self.flower_key)

    @property
    def statement(self) -> bytes:
        """What is signed. The label keeps it apart from all else that an identity signs, the hello of a run above all."""
        texts = (self.bank, self.date.isoformat(), self.signing_key, self.flower_key, self.previous_key)
        return frame(_LABEL, self.sequence.to_bytes(4, "big"), *(text.encode() for text in texts))

    def signed(self, identity: Identity, previous: Identity | None = None) -> Self:
        """The same card with its signatures."""
        before = "" if previous is None else _signature(previous, self.statement)
        return self.model_copy(update={"signature": _signature(identity, self.statement), "previous_signature": before})

    def check(self) -> None:
        """Check the signatures that it claims to have.

        Raises:
            ConfigurationError: one is missing or wrong.
        """
        claims = [("its own key", self.signing_key, self.signature)]
        if self.previous_key or self.previous_signature:
            claims.append(("the key before", self.previous_key, self.previous_signature))
        for whose, key, signature in claims:
            if not _is_signed(key, signature, self.statement):
                raise ConfigurationError(
                    f"the card of {self.bank} is not signed by {whose}: it was changed, or its maker does not hold that key. "
                    f"Do not use it; ask {self.bank} for its card again"
                )
        if self.previous_key == self.signing_key:
            raise ConfigurationError(f"the card of {self.bank} replaces a key by itself; {self.bank} must rotate again")

    def check_heard(self, heard: str | None) -> None:
        """Compare a fingerprint as somebody has read it out and somebody typed it; None: nobody has.

        Raises:
            ConfigurationError: it is another.
        """
        # Letter case, blanks and dashes do not count.
        if heard is not None and "".join(heard.split()).replace("-", "").lower() != self.fingerprint.replace("-", ""):
            raise ConfigurationError(
                f"the card of {self.bank} has fingerprint {self.fingerprint}, not the one that was heard. If it was heard rightly, "
                f"this card is not from {self.bank}: do not use it, and tell the others"
            )

    def save(self, path: Path) -> None:
        """Write the card.

        Raises:
            ConfigurationError: it cannot be written.
        """
        lines = toml_lines((name, getattr(self, name)) for name in type(self).model_fields)
        text = "\n".join([f"# Public keys of bank {self.bank}, for: riskfed node pin", *lines, ""])
        try:
            write_whole(path, text.encode())
        except OSError as error:
            raise ConfigurationError(f"cannot write the card {path}: {error.strerror}") from None


def read_card(path: Path) -> Card:
    """Read a card and check its signatures. That does not yet make it the card of the bank that it names.

    Raises:
        ConfigurationError: unreadable, malformed, or wrongly signed.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_LONGEST_CARD + 1)
        if len(raw) > _LONGEST_CARD:
            raise ConfigurationError(f"{path} has more than {_LONGEST_CARD} bytes; that is no card")
        card = Card(**tomllib.loads(raw.decode()))
    except OSError as error:
        raise ConfigurationError(f"cannot read the card {path}: {error.strerror}") from None
    except ValidationError as error:
        raise ConfigurationError(f"{path} is not a bank's card: {reasons(error)}") from None
    except (ValueError, TypeError):
        raise ConfigurationError(f"{path} is not a bank's card: not TOML in UTF-8") from None
    card.check()
    return card


def reasons(error: ValidationError) -> str:
    """What pydantic found, in one line: place and message, never the value."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in found)


def _p384(public: str) -> ec.EllipticCurvePublicKey | None:
    try:
        key = serialization.load_ssh_public_key(public.encode())
    except (ValueError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP384R1) else None


def _signature(identity: Identity, statement: bytes) -> str:
    return base64.b64encode(identity.sign(statement)).decode()


def _is_signed(key: str, signature: str, statement: bytes) -> bool:
    try:
        return signature_is_valid(signing_key(key), _decoded(signature, _SIGNATURE_BYTES, "signature"), statement)
    except ValueError:
        return False


def _decoded(text: str, length: int, what: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != length or base64.b64encode(raw).decode() != text:
        raise ValueError(f"a bank's {what} is malformed; expected {length} bytes in base64")
    return raw
