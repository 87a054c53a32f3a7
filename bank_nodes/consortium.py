"""The consortium file: which keys this bank has pinned for which bank, and which it has revoked. Every bank keeps its own.

It is TOML that people can read. The ceremony (`bank_nodes.ceremony`) writes it; the vault reads it when it starts.
"""

from __future__ import annotations

import datetime
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from bank_nodes.cards import Name, SigningKey, card_fingerprint, flower_key, reasons
from riskfed.errors import ConfigurationError
from riskfed.files import write_whole
from riskfed.plan import MINIMUM_PARTIES
from riskfed.toml_text import toml_key, toml_lines

Trust = Literal["own", "telephone", "chain", "unchecked"]
"""Why a key is believed to be the bank's: made here; its fingerprint was heard; the key before signed it; put in by hand."""
_LONGEST_REASON: Final = 200
_HEADER: Final = (
    "# The banks whose keys this bank has pinned. Written by riskfed node pin, rotate and revoke; see docs/keys.md.\n"
    "# Whoever can write this file decides who takes part: keep it to the vault's user.\n"
)


def _flower_key_if_any(public: str) -> str:
    return flower_key(public) if public else public


def _reason(text: str) -> str:
    if not text.isprintable() or not 1 <= len(text) <= _LONGEST_REASON:
        raise ValueError(f"a reason must have 1 to {_LONGEST_REASON} printable characters")
    return text


class _Keys(BaseModel):
    """Attributes:
    signing_key: Ed25519, 32 bytes in base64.
    flower_key: ECDSA P-384, OpenSSH; "" for a bank that never runs a node, as in simulations.
    sequence: of the card.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    signing_key: SigningKey
    flower_key: Annotated[str, AfterValidator(_flower_key_if_any)] = ""
    sequence: int = Field(default=1, ge=1, lt=2**32)


class PinnedBank(_Keys):
    """A bank's present keys.

    Attributes:
        trust: why they are believed to be its own.
        pinned: when they were pinned; None for those put in by hand.
    """

    trust: Trust = "unchecked"
    pinned: datetime.date | None = None


class Revocation(_Keys):
    """Keys that are never believed again.

    Attributes:
        bank: whose they were.
        revoked: when.
        reason: why, for people.
    """

    bank: Name
    revoked: datetime.date
    reason: Annotated[str, AfterValidator(_reason)]

    @property
    def fingerprint(self) -> str:
        """Of the revoked keys."""
        return card_fingerprint(self.bank, self.signing_key, self.flower_key)


class Consortium(BaseModel):
    """What the file holds.

    Attributes:
        banks: name -> present keys.
        revoked: all keys that were revoked, oldest first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    banks: Mapping[Name, PinnedBank] = Field(default_factory=dict)
    revoked: Sequence[Revocation] = ()

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the file.

        Raises:
            ConfigurationError: absent or malformed.
        """
        try:
            return cls(**tomllib.loads(path.read_text(encoding="utf-8")))
        except OSError as error:
            raise ConfigurationError(f"cannot read the consortium file {path}: {error.strerror}") from None
        except ValidationError as error:
            raise ConfigurationError(
                f"consortium file {path}: {reasons(error)}; riskfed node pin writes what is expected"
            ) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"consortium file {path} is not TOML: {error}") from None
        except TypeError:
            raise ConfigurationError(f"consortium file {path}: expected tables [banks.NAME] and [[revoked]]") from None

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all.

        Raises:
            ConfigurationError: it cannot be written.
        """
        parts = [_HEADER]
        for name in sorted(self.banks):
            parts.append("\n".join([f"[banks.{toml_key(name)}]", *_fields(self.banks[name]), ""]))
        parts += ["\n".join(["[[revoked]]", *_fields(entry), ""]) for entry in self.revoked]
        try:
            write_whole(path, "\n".join(parts).encode())
        except OSError as error:
            raise ConfigurationError(f"cannot write the consortium file {path}: {error.strerror}") from None

    @property
    def keys(self) -> dict[str, str]:
        """bank -> public signing key."""
        return {name: bank.signing_key for name, bank in self.banks.items()}

    def fingerprint(self, bank: str) -> str:
        """Of a pinned bank's present keys."""
        pinned = self.banks[bank]
        return card_fingerprint(bank, pinned.signing_key, pinned.flower_key)

    def revocation(self, *, signing: str, flower: str) -> Revocation | None:
        """The revocation that either key fell under, if any."""
        for entry in self.revoked:
            if entry.signing_key == signing or (flower and entry.flower_key == flower):
                return entry
        return None

    def check(self) -> None:
        """Whether a run is possible at all.

        Raises:
            ConfigurationError: fewer than two banks, two banks with the same key, or a key that was revoked.
        """
        # A vault that knows a revoked bank starts all the same, to refuse the runs that name it.
        if len({*self.banks, *(entry.bank for entry in self.revoked)}) < MINIMUM_PARTIES:
            raise ConfigurationError(
                f"{len(self.banks)} banks are pinned, expected at least {MINIMUM_PARTIES}; pin the others' cards"
            )
        holders: dict[str, str] = {}
        for name, bank in self.banks.items():
            for key in filter(None, (bank.signing_key, bank.flower_key)):
                # One party in two seats would count as two banks, and undo the minimum of three.
                if holders.setdefault(key, name) != name:
                    raise ConfigurationError(
                        f"banks {holders[key]} and {name} have the same key; each must make its own"
                    )
            if entry := self.revocation(signing=bank.signing_key, flower=bank.flower_key):
                raise ConfigurationError(
                    f"bank {name} has a key that was revoked on {entry.revoked} ({entry.reason}); {name} must rotate its keys"
                )


def _fields(entry: _Keys) -> list[str]:
    names = sorted(type(entry).model_fields, key=lambda name: name != "bank")
    return toml_lines((name, value) for name in names if (value := getattr(entry, name)) not in {None, ""})
