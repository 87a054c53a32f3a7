"""Every lie of the server that we could think of, as one list; `docs/threat-model.md` has the same rows.

A lie replaces what the server hands to the banks in one phase of a run. Everything else about the server is honest, so that nothing but
the lie can be what the banks notice.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from riskfed.errors import ProtectionError, RemoteProtocolError, RiskfedError
from riskfed.plan import Plan
from riskfed.protocols.frames import Frame, Kind, decode_batch, decode_parts, encode_batch, encode_parts
from riskfed.protocols.opening import Seat
from riskfed.protocols.party import Party
from riskfed.protocols.program import Program, Release, Sum
from riskfed.protocols.release import ModelRelease
from riskfed.protocols.switchboard import Switchboard
from riskfed.schema import Feature, Schema
from riskfed.secure.handshake import Handshake
from riskfed.secure.keys import Context, Identity
from riskfed.secure.paillier_key import generate_paillier_key
from riskfed.secure.protection import HEADER_BYTES, Header, combiner_for
from tests.helpers import plan_for

BANKS = ("ash", "birch", "cedar", "damson")
VICTIM = "ash"
VALUES = 40
RELEASE = ModelRelease(b"{}", Schema(target="y", features=(Feature(name="x"),)), {"auc": 0.75}, [], [], 40).to_bytes()
IDENTITIES = {name: Identity.generate() for name in BANKS}
PINNED = {name: identity.public for name, identity in IDENTITIES.items()}

_PHASES = {
    "masking": ["hellos", "contributions", "public", "canary", "disclosure", "sum 1", "sum 2", "hashes", "release"],
    "paillier": [
        *("hellos", "contributions", "key", "public", "canary", "canary's shares", "disclosure"),
        *("sum 1", "shares 1", "sum 2", "shares 2", "hashes", "release"),
    ],
}


@dataclass
class Moment:
    """One lock-step as the server sees it: what banks asked, and what it would answer if it were honest."""

    plan: Plan
    phase: str
    questions: Mapping[str, Frame]
    answers: dict[str, Frame]
    past: Mapping[str, Moment]
    earlier: Mapping[str, Moment]
    """The moments of an attempt before, by phase."""

    def body(self, bank: str = VICTIM) -> bytes:
        return self.answers[bank].body


Tamper = Callable[[Moment], Mapping[str, Sequence[Frame] | bytes]]
"""bank -> what is handed to it instead: frames, or the body of the frame that would have been handed to it."""


@dataclass(frozen=True)
class Lie:
    """One lie.

    Attributes:
        tries: what the server tries, as the threat model says it.
        phase: when.
        tamper: makes the lie.
        noticed_in: phase whose answer makes a bank end its run.
        error: type of the error, and a pattern of its text.
        plans: the plans that banks are given, where they are not all the same.
        protections: where the lie can be told.
        by: banks that notice; None: all.
    """

    tries: str
    phase: str
    tamper: Tamper
    noticed_in: str
    error: tuple[type[RiskfedError], str]
    plans: Callable[[Plan], Mapping[str, Plan]] = lambda plan: dict.fromkeys(BANKS, plan)
    protections: tuple[str, ...] = ("masking", "paillier")
    by: tuple[str, ...] | None = (VICTIM,)


def adding(values: np.ndarray) -> Program[list[np.ndarray]]:
    """A program of two sums and a release."""
    first = yield Sum(values, 1 << 40)
    second = yield Sum(values + 1, 1 << 40)
    yield Release(RELEASE)
    return [first, second]


def shares_of(bank: str) -> np.ndarray:
    return np.arange(VALUES, dtype=np.int64) * (BANKS.index(bank) + 3) + 7


@dataclass
class Federation:
    """Four banks and a server that may lie; `noticed` has bank -> (phase, error) afterwards."""

    protection: str
    attempt: int = 1
    noticed: dict[str, tuple[str, RiskfedError]] = field(default_factory=dict)
    moments: dict[str, Moment] = field(default_factory=dict)
    parties: dict[str, Party] = field(default_factory=dict)

    def run(self, lie: Lie | None = None, earlier: Mapping[str, Moment] | None = None) -> None:
        """Run to the end, or until banks notice."""
        plan = plan_for(BANKS, self.protection, attempt=self.attempt)
        plans = lie.plans(plan) if lie else dict.fromkeys(BANKS, plan)
        self.parties = {
            bank: Party(Seat(bank, IDENTITIES[bank], PINNED, plans[bank]), partial(adding, shares_of(bank)))
            for bank in BANKS
        }
        switchboard = Switchboard(plan, transport="test")
        batches = {bank: party.begin() for bank, party in self.parties.items()}
        for phase in _PHASES[self.protection]:
            answers = {bank: decode_batch(batch)[-1] for bank, batch in switchboard.round(batches).items()}
            questions = {bank: decode_batch(batch)[-1] for bank, batch in batches.items()}
            moment = Moment(plan, phase, questions, answers, self.moments, earlier or {})
            self.moments[phase] = moment
            told = lie.tamper(moment) if lie and lie.phase == phase else {}
            batches = {bank: self._hand_over(bank, phase, told.get(bank, [answers[bank]])) for bank in BANKS}
            if self.noticed:
                return

    def _hand_over(self, bank: str, phase: str, said: Sequence[Frame] | bytes) -> bytes:
        frames = said
        if isinstance(said, bytes):
            honest = self.moments[phase].answers[bank]
            frames = [Frame(honest.kind, honest.step, said)]
        try:
            return self.parties[bank].receive(encode_batch(frames))  # type: ignore[arg-type]
        except RiskfedError as error:
            self.noticed[bank] = (phase, error)
            return b""


# -- what is handed over instead ---------------------------------------------------------------------------------------


def to_victim(make: Callable[[Moment], bytes]) -> Tamper:
    return lambda moment: {VICTIM: make(moment)}


def to_all(make: Callable[[Moment], bytes]) -> Tamper:
    return lambda moment: dict.fromkeys(BANKS, make(moment))


def parts(change: Callable[[dict[str, bytes], Moment], Mapping[str, bytes]]) -> Tamper:
    """Change the payloads that the victim is forwarded, by sender."""
    return to_victim(lambda moment: encode_parts(change(decode_parts(moment.body()), moment)))


def swapped(payloads: dict[str, bytes], _: Moment) -> Mapping[str, bytes]:
    return payloads | {"birch": payloads["cedar"], "cedar": payloads["birch"]}


def without_birch(payloads: dict[str, bytes], _: Moment) -> Mapping[str, bytes]:
    return {bank: payload for bank, payload in payloads.items() if bank != "birch"}


def of_before(payloads: dict[str, bytes], moment: Moment) -> Mapping[str, bytes]:
    return payloads | {"birch": decode_parts(moment.earlier[moment.phase].body())["birch"]}


def own_hello(payloads: dict[str, bytes], moment: Moment) -> Mapping[str, bytes]:
    """A hello that is right in everything but whose key signs it."""
    fake, plan = Identity.generate(), moment.plan
    context = Context(run=plan.run, attempt=plan.attempt, roster=plan.roster, plan_digest=plan.digest)
    return payloads | {"birch": Handshake(fake, "birch", PINNED | {"birch": fake.public}, context).hello()}


def flipped(body: bytes, at: int, bit: int = 0) -> bytes:
    return body[:at] + bytes([body[at] ^ 1 << bit]) + body[at + 1 :]


def headed(body: bytes, like: bytes) -> bytes:
    """The body under the header of an honest sum."""
    return like[:HEADER_BYTES] + body[HEADER_BYTES:]


def sum_of(moment: Moment, banks: Sequence[str]) -> bytes:
    """The sum of other uploads than of each bank once, under the header of the honest sum."""
    combiner = combiner_for(moment.plan.protection, moment.past["public"].questions[VICTIM].body)
    return headed(combiner.combine([moment.questions[bank].body for bank in banks]), moment.body())


def reordered(moment: Moment) -> bytes:
    """Two values (or ciphertexts) of the sum in each other's place."""
    body, size = moment.body(), 8 if moment.plan.protection == "masking" else moment.plan.key_bits // 4
    a, b = HEADER_BYTES, HEADER_BYTES + size
    return body[:a] + body[b : b + size] + body[a:b] + body[b + size :]


def doubled_values(moment: Moment) -> bytes:
    return sum_of(moment, [*BANKS, *BANKS])


def under_own_key(moment: Moment) -> bytes:
    """Numbers that are ciphertexts of a key that the server has made, in the place of the banks'."""
    n, size = generate_paillier_key(1024).public_key.n, moment.plan.key_bits // 4
    count = (len(moment.body()) - HEADER_BYTES) // size
    ciphertext = pow(12345, n, n * n) % (1 << (8 * size - 8))
    return moment.body()[:HEADER_BYTES] + ciphertext.to_bytes(size, "big") * count


def answered(kind: Kind, step: int = 0) -> Tamper:
    """The right body in a frame of another kind, or for another step."""
    return lambda moment: {VICTIM: [Frame(kind, moment.answers[VICTIM].step + step, moment.body())]}


def honest(_: Moment) -> Mapping[str, bytes]:
    return {}


def for_victim(**changes: object) -> Callable[[Plan], Mapping[str, Plan]]:
    """One bank is given another plan than all others."""
    return lambda plan: dict.fromkeys(BANKS, plan) | {VICTIM: Plan(**{**dict(plan), **changes})}


def as_other_roster(payloads: dict[str, bytes], _: Moment) -> Mapping[str, bytes]:
    return {bank: payload for bank, payload in payloads.items() if bank != "damson"}


def header_of(moment: Moment, **fields: object) -> bytes:
    return dataclasses.replace(Header.of(moment.body()), **fields).to_bytes() + moment.body()[HEADER_BYTES:]


NOT_THE_SUM = (ProtectionError, "is not that of what the 4 banks sent|not a packed sum")
NOT_SIGNED = (ProtectionError, "is not signed by its pinned key for this run, attempt, roster and plan")
OUT_OF_STEP = (RemoteProtocolError, "the server's operator must act")
