"""Key agreement among the banks of a run, through a server that may read, drop, swap and replay whatever it forwards.

    step  each bank                                                          the server sees
    1     hello(): ephemeral X25519 key, nonce, commitment, all signed       public keys, hashes
    2     receive_hellos(): checks every signature against the pinned keys   -
    3     contributions(): 32 random bytes, sealed to each other bank        ciphertext
    4     receive_contributions(): checks the commitments, gives SessionKeys -

* Pair keys: HKDF(X25519 shared secret, salt = transcript), where the transcript is the hash of context, pinned keys
  and all hellos. Two banks that were shown different hellos have different pair keys, so step 4 fails between them.
* Group key: HKDF(all contributions, salt = transcript). A commitment to each contribution is part of its bank's
  hello, so no bank can choose its own after seeing the others', nor send different ones to different banks. Equal
  transcripts and opened commitments make equal group keys: whoever finishes step 4 shares its key with all that finish.
* A hello is signed over the context's digest (run, attempt, roster, plan), so one from another run or attempt does
  not verify.
* Forward secrecy: the ephemeral key is dropped at step 2 and the contribution at step 4; a signing key that leaks
  later opens nothing of the past. (Python cannot wipe memory; the references are dropped.)

It follows SIGMA's rule (Krawczyk 2003) that what is signed names its signer and that keys depend on the whole exchange.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from enum import Enum, auto
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from riskfed.errors import ConfigurationError, LocalProtocolError, PlanError, ProtectionError, RemoteProtocolError
from riskfed.secure.keys import Context, Identity, SessionKeys, signature_is_valid
from riskfed.secure.primitives import KEY_BYTES, decrypt, digest, encrypt, frame, hkdf

_MAGIC: Final = b"RFH1"
_SIGNED_BYTES: Final = len(_MAGIC) + 3 * KEY_BYTES  # magic, ephemeral key, nonce, commitment
_HELLO_BYTES: Final = _SIGNED_BYTES + 64


class _State(Enum):
    START = auto()
    SENT_HELLO = auto()
    HAS_HELLOS = auto()
    SENT_CONTRIBUTIONS = auto()
    DONE = auto()
    FAILED = auto()


class Handshake:
    """One bank's side, without I/O. Each method is called once, in the order of the table above; a failure ends the
    handshake.

    Args:
        identity: this bank's signing key.
        own_name: this bank's name in the roster.
        pinned: bank -> public key, which the banks exchanged beforehand outside of the server's reach. May name more
            banks.
        context: what the keys will be bound to.

    Raises:
        PlanError: `own_name` is not in the roster.
        ConfigurationError: a bank has no pinned key, or the own one is not that of `identity`.
    """

    def __init__(self, identity: Identity, own_name: str, pinned: Mapping[str, str], context: Context) -> None:
        if own_name not in context.roster:
            raise PlanError(f"{own_name} is not in the roster {', '.join(context.roster)}")
        if unpinned := [name for name in context.roster if name not in pinned]:
            raise ConfigurationError(
                f"no public key is pinned for {', '.join(unpinned)}; {own_name} must obtain and pin it first"
            )
        if pinned[own_name] != identity.public:
            raise ConfigurationError(f"the public key pinned for {own_name} is not that of its own identity key")
        self._identity = identity
        self._own_name = own_name
        self._pinned = {name: pinned[name] for name in context.roster}
        self._context = context
        self._state = _State.START
        self._ephemeral: X25519PrivateKey | None = X25519PrivateKey.generate()
        self._contribution = secrets.token_bytes(KEY_BYTES)
        self._hellos: dict[str, bytes] = {}
        self._pair_keys: dict[str, bytes] = {}
        self._transcript = b""

    def hello(self) -> bytes:
        """Step 1: magic || ephemeral key || nonce || commitment || signature, for every other bank. 164 bytes."""
        self._enter(_State.START, _State.SENT_HELLO)
        assert self._ephemeral is not None
        ephemeral = self._ephemeral.public_key().public_bytes_raw()
        unsigned = (
            _MAGIC + ephemeral + secrets.token_bytes(KEY_BYTES) + self._commitment(self._own_name, self._contribution)
        )
        own = unsigned + self._identity.sign(self._signed(self._own_name, unsigned))
        self._hellos = {self._own_name: own}
        self._state = _State.SENT_HELLO
        return own

    def receive_hellos(self, hellos: Mapping[str, bytes]) -> None:
        """Step 2: verify all hellos and derive the pair keys.

        Args:
            hellos: bank -> its hello; the own one may be among them.

        Raises:
            RemoteProtocolError: a hello is missing, malformed, or of a bank outside the roster.
            ProtectionError: a signature is not the pinned bank's for this context, or a key is unusable.
        """
        self._enter(_State.SENT_HELLO, _State.HAS_HELLOS)
        self._expect_banks(hellos, "hello")
        if hellos.get(self._own_name, self._hellos[self._own_name]) != self._hellos[self._own_name]:
            raise RemoteProtocolError(
                f"the server returned to {self._own_name} a hello of its own that it did not send"
            )
        for name in self._others():
            self._verify_hello(name, hellos[name])
            self._hellos[name] = hellos[name]
        ephemerals = {hello[len(_MAGIC) : len(_MAGIC) + KEY_BYTES] for hello in self._hellos.values()}
        if len(ephemerals) != len(self._hellos):
            raise ProtectionError("two banks sent the same ephemeral key; each must draw its own")
        entries = (frame(n.encode(), self._pinned[n].encode(), self._hellos[n]) for n in self._context.roster)
        self._transcript = digest(b"riskfed handshake v1", self._context.digest, *entries)
        self._pair_keys = {name: self._pair_key(name) for name in self._others()}
        self._ephemeral = None
        self._state = _State.HAS_HELLOS

    def contributions(self) -> dict[str, bytes]:
        """Step 3: other bank -> this bank's 32 random bytes, sealed to it."""
        self._enter(_State.HAS_HELLOS, _State.SENT_CONTRIBUTIONS)
        sealed = {
            name: encrypt(self._pair_keys[name], self._contribution, self._envelope(self._own_name, name))
            for name in self._others()
        }
        self._state = _State.SENT_CONTRIBUTIONS
        return sealed

    def receive_contributions(self, contributions: Mapping[str, bytes]) -> SessionKeys:
        """Step 4: open every bank's contribution and derive the group key.

        Args:
            contributions: other bank -> what it sealed to this one.

        Raises:
            RemoteProtocolError: one is missing, or of a bank outside the roster.
            ProtectionError: one does not open, or is not what its bank committed to.
        """
        self._enter(_State.SENT_CONTRIBUTIONS, _State.DONE)
        self._expect_banks(contributions, "contribution")
        opened = {self._own_name: self._contribution}
        for name in self._others():
            opened[name] = self._open_contribution(name, contributions[name])
        pooled = frame(*(opened[name] for name in self._context.roster))
        group_key = hkdf(pooled, salt=self._transcript, info=frame(b"riskfed group key v1", self._context.digest))
        keys = SessionKeys(self._context, self._own_name, self._pair_keys, group_key)
        self._contribution, self._pair_keys = b"", {}
        self._state = _State.DONE
        return keys

    def _enter(self, expected: _State, following: _State) -> None:
        """Refuse a step out of order. Until the step ends well the state is FAILED, so that a failed one cannot be
        repeated."""
        if self._state is not expected:
            raise LocalProtocolError(
                f"handshake of {self._own_name} is in state {self._state.name}; {following.name} needs {expected.name}"
            )
        self._state = _State.FAILED

    def _others(self) -> list[str]:
        return [name for name in self._context.roster if name != self._own_name]

    def _expect_banks(self, messages: Mapping[str, bytes], what: str) -> None:
        if missing := sorted(set(self._others()) - set(messages)):
            raise RemoteProtocolError(f"no {what} came from {', '.join(missing)}")
        if unknown := sorted(set(messages) - set(self._context.roster)):
            raise RemoteProtocolError(f"a {what} came from {', '.join(unknown)}, outside of the roster")

    def _verify_hello(self, name: str, hello: bytes) -> None:
        if len(hello) != _HELLO_BYTES or not hello.startswith(_MAGIC):
            raise RemoteProtocolError(
                f"the hello of {name} has {len(hello)} bytes or another format; expected {_HELLO_BYTES} bytes"
            )
        unsigned, signature = hello[:_SIGNED_BYTES], hello[_SIGNED_BYTES:]
        if not signature_is_valid(self._pinned[name], signature, self._signed(name, unsigned)):
            raise ProtectionError(
                f"the hello of {name} is not signed by its pinned key for this run, attempt, roster and plan: "
                f"an impostor, a replay, or banks that agreed on different plans; compare both with {name}"
            )

    def _signed(self, name: str, unsigned: bytes) -> bytes:
        return frame(b"riskfed hello v1", self._context.digest, name.encode(), unsigned)

    def _commitment(self, name: str, contribution: bytes) -> bytes:
        # Hiding, because a contribution is 32 uniform bytes; binding, because SHA-256 is collision resistant.
        return digest(b"riskfed commitment v1", self._context.digest, name.encode(), contribution)

    def _pair_key(self, name: str) -> bytes:
        assert self._ephemeral is not None
        theirs = self._hellos[name][len(_MAGIC) : len(_MAGIC) + KEY_BYTES]
        try:
            shared = self._ephemeral.exchange(X25519PublicKey.from_public_bytes(theirs))
        except (
            ValueError
        ):  # a point of small order would give a shared secret that everybody knows (RFC 7748, section 6.1)
            raise ProtectionError(
                f"the ephemeral key of {name} is a point of small order; {name} must start again"
            ) from None
        both = sorted([self._own_name, name])
        return hkdf(
            shared, salt=self._transcript, info=frame(b"riskfed pair key v1", *(bank.encode() for bank in both))
        )

    def _envelope(self, sender: str, recipient: str) -> bytes:
        return frame(b"riskfed contribution v1", self._transcript, sender.encode(), recipient.encode())

    def _open_contribution(self, name: str, sealed: bytes) -> bytes:
        try:
            contribution = decrypt(self._pair_keys[name], sealed, self._envelope(name, self._own_name))
        except InvalidTag:
            raise ProtectionError(
                f"the contribution of {name} does not open: it was changed, "
                f"or the server showed {name} and {self._own_name} different hellos"
            ) from None
        if self._commitment(name, contribution) != self._hellos[name][_SIGNED_BYTES - KEY_BYTES : _SIGNED_BYTES]:
            raise ProtectionError(
                f"the contribution of {name} is not the one that its hello commits to; {name} must explain"
            )
        return contribution


def handshake_in_process(identities: Mapping[str, Identity], context: Context) -> dict[str, SessionKeys]:
    """All sides of a handshake in one process: for simulations, tests and benchmarks.

    Args:
        identities: bank -> identity, for every bank of the roster.
        context: what the keys are bound to.
    """
    pinned = {name: identity.public for name, identity in identities.items()}
    sides = {name: Handshake(identities[name], name, pinned, context) for name in context.roster}
    hellos = {name: side.hello() for name, side in sides.items()}
    for side in sides.values():
        side.receive_hellos(hellos)
    sent = {name: side.contributions() for name, side in sides.items()}
    return {
        name: side.receive_contributions({sender: sealed[name] for sender, sealed in sent.items() if sender != name})
        for name, side in sides.items()
    }
