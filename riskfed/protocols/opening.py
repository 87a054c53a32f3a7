"""How a run opens: keys, protection, and the proof that protection is on. Only then may a byte that derives from a record leave.

    1  every bank signs a fresh key; each checks the others' signatures against the keys it has pinned
    2  every bank seals a secret contribution to every other: together they make the group key
    3  Paillier only: the first bank of the roster makes the key pair and seals the private key to the others
    4  every bank states the same public parameters to the server, which thereby learns how to add, and nothing else
    5  the canary: values that are known to all banks go the way of every later sum; each bank looks for its plaintext in its own
       upload, and the revealed sum must be right
    6  every bank discloses its canary, so that the server can look for the plaintext too

In a sealed run nothing is summed: there is no step 3, nothing is public in step 4, and in step 5 the canaries go from party to party in
envelopes, as everything will.

Who learns what: the server sees public keys, sealed envelopes, the Paillier modulus and, in step 6, canaries that no record went into.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from riskfed.errors import ProtectionError
from riskfed.plan import SEALED, Plan
from riskfed.protocols.frames import EVERYONE, Kind, decode_parts, encode_parts
from riskfed.secure import canary, paillier_key
from riskfed.secure.handshake import Handshake
from riskfed.secure.keys import Context, Identity, SessionKeys
from riskfed.secure.masking import MaskingProtection
from riskfed.secure.paillier import PaillierProtection
from riskfed.secure.protection import Protection
from riskfed.secure.sealed import open_sealed, seal
from riskfed.secure.slots import Bound

CANARY_LENGTH = 1024


@dataclass(frozen=True, slots=True)
class Ask:
    """A frame that waits for the switchboard's answer; the answer is its body (bytes)."""

    kind: Kind
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Tell:
    """A frame that waits for nothing."""

    kind: Kind
    body: bytes = field(default=b"", repr=False)


Conversation = Generator[Ask | Tell, Any, Any]


@dataclass(slots=True)
class Seat:
    """One bank's place in a run.

    Attributes:
        name: the bank's name in the roster.
        identity: its signing key; secret.
        pinned: public keys of all banks of the roster, as this bank has checked them.
        plan: what was agreed.
        step: number of the next question to the switchboard.
    """

    name: str
    identity: Identity = field(repr=False)
    pinned: dict[str, str] = field(repr=False)
    plan: Plan
    step: int = 0

    def ask(self, kind: Kind, body: bytes = b"") -> Generator[Ask, bytes, bytes]:
        """Ask the switchboard, and move on to the next step."""
        answer = yield Ask(kind, body)
        self.step += 1
        return answer

    def exchange(self, payloads: dict[str, bytes]) -> Generator[Ask, bytes, dict[str, bytes]]:
        """Hand payloads to other banks through the switchboard; the answer holds theirs."""
        answer = yield from self.ask(Kind.EXCHANGE, encode_parts(payloads))
        return decode_parts(answer)


def open_protection(seat: Seat) -> Generator[Ask | Tell, Any, tuple[SessionKeys, Protection | None]]:
    """Run the opening (steps 1 to 6 above): the keys that the banks share, and the protection of their sums, if there are to be any.

    Raises:
        ProtectionError: something is missing, weak or wrong; nothing that derives from a record has left.
    """
    keys = yield from _agree_keys(seat)  # 1, 2
    if seat.plan.protection == SEALED:
        yield from seat.ask(Kind.PUBLIC)  # 4
        yield from _prove_seal(seat, keys)  # 5, 6
        return keys, None
    protection: Protection
    if seat.plan.protection == "paillier":
        private_key = yield from _agree_paillier_key(seat, keys)  # 3
        public = paillier_key.serialize_public(private_key.public_key)
        protection = PaillierProtection(keys, private_key)
    else:
        public, protection = b"", MaskingProtection(keys)
    yield from seat.ask(Kind.PUBLIC, public)  # 4
    yield from _prove(seat, keys, protection, modulus_of(seat.plan, public))  # 5, 6
    return keys, protection


def modulus_of(plan: Plan, public: bytes) -> int | None:
    """The Paillier modulus among the public parameters; None under masking.

    Raises:
        ProtectionError: it is malformed, too short, or of another length than planned.
    """
    if plan.protection != "paillier":
        return None
    modulus = int(paillier_key.parse_public(public).n)
    if modulus.bit_length() != plan.key_bits:
        raise ProtectionError(f"the Paillier key has {modulus.bit_length()} bits, agreed were {plan.key_bits}")
    return modulus


def sum_over_banks(
    seat: Seat, protection: Protection, values: np.ndarray, bound: Bound
) -> Generator[Ask | Tell, Any, np.ndarray]:
    """Protect, have added, reveal: the pooled (k,) int64 sum of every bank's `values`."""
    step = seat.step
    combined = yield from seat.ask(Kind.COMBINE, protection.protect(values, step, bound))
    return (yield from _reveal(seat, protection, combined, step))


def exchange_sealed(
    seat: Seat, keys: SessionKeys, payloads: Mapping[str, bytes], label: str
) -> Generator[Ask | Tell, Any, dict[str, bytes]]:
    """Seal each payload to its recipient, have them forwarded, and open what came: sender -> payload.

    Raises:
        ProtectionError: an envelope does not open.
    """
    step = seat.step
    received = yield from seat.exchange({to: seal(keys, to, payload, label, step) for to, payload in payloads.items()})
    return {sender: open_sealed(keys, sender, sealed, label, step) for sender, sealed in received.items()}


def _reveal(seat: Seat, protection: Protection, combined: bytes, step: int) -> Generator[Ask | Tell, Any, np.ndarray]:
    shares: dict[str, bytes] = {}
    if own := protection.share(combined, step):
        shares = yield from seat.exchange({EVERYONE: own})
        shares[seat.name] = own
    return protection.reveal(combined, shares, step)


def _agree_keys(seat: Seat) -> Generator[Ask | Tell, Any, SessionKeys]:
    plan = seat.plan
    context = Context(run=plan.run, attempt=plan.attempt, roster=plan.roster, plan_digest=plan.digest)
    handshake = Handshake(seat.identity, seat.name, seat.pinned, context)
    hellos = yield from seat.exchange({EVERYONE: handshake.hello()})
    handshake.receive_hellos(hellos)
    contributions = yield from seat.exchange(handshake.contributions())
    return handshake.receive_contributions(contributions)


def _agree_paillier_key(seat: Seat, keys: SessionKeys) -> Generator[Ask | Tell, Any, paillier_key.PaillierKey]:
    maker, step = seat.plan.roster[0], seat.step
    if seat.name == maker:
        private_key = paillier_key.generate_paillier_key(seat.plan.key_bits)
        secret = paillier_key.serialize_private(private_key)
        yield from seat.exchange({to: seal(keys, to, secret, "paillier key", step) for to in keys.others})
        return private_key
    received = yield from seat.exchange({})
    if maker not in received:
        raise ProtectionError(f"bank {maker} sent no Paillier key; its operator must restart its node")
    return paillier_key.parse_private(open_sealed(keys, maker, received[maker], "paillier key", step))


def _prove_seal(seat: Seat, keys: SessionKeys) -> Conversation:
    own, label, step = canary.canary_values(keys, seat.name, CANARY_LENGTH), "canary", seat.step
    plain = own.astype("<i8").tobytes()
    envelopes = {to: seal(keys, to, plain, label, step) for to in keys.others}
    if any(canary.plaintext_on_wire(own, envelope) for envelope in envelopes.values()):
        raise ProtectionError(
            "the seal is not on: the canary's plaintext stands in the envelope. Nothing of a record was sent"
        )
    received = yield from seat.exchange(envelopes)
    for sender in keys.others:
        opened = open_sealed(keys, sender, received.get(sender, b""), label, step)
        if opened != canary.canary_values(keys, sender, CANARY_LENGTH).astype("<i8").tobytes():
            raise ProtectionError(
                f"the envelope of {sender} holds another canary than agreed; the seal does not work as agreed"
            )
    yield from seat.ask(Kind.DISCLOSE, plain)


def _prove(seat: Seat, keys: SessionKeys, protection: Protection, modulus: int | None) -> Conversation:
    own = canary.canary_values(keys, seat.name, CANARY_LENGTH)
    step = seat.step
    wire = protection.protect(own, step, canary.CANARY_BOUND)
    canary.check_upload(seat.plan.protection, seat.plan.key_bits, CANARY_LENGTH, wire, modulus=modulus)
    if canary.plaintext_on_wire(own, wire):
        raise ProtectionError(
            f"protection {seat.plan.protection} is not on: the canary's plaintext stands in the upload. Nothing of a record was sent"
        )
    combined = yield from seat.ask(Kind.COMBINE, wire)
    pooled = yield from _reveal(seat, protection, combined, step)
    canary.check_canary_sum(keys, pooled)
    yield from seat.ask(Kind.DISCLOSE, own.astype("<i8").tobytes())
