"""Targets that stand in a conversation: parties, the switchboard, the handshake, sums being opened, streams and Flower messages."""

from __future__ import annotations

import copy
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from riskfed.flower.codec import decode, encode
from riskfed.flower.session_wire import CHUNK_BYTES, read_batch, to_chunks
from riskfed.protocols.frames import Frame, Kind, decode_batch, decode_parts, encode_batch, encode_parts
from riskfed.protocols.opening import Seat
from riskfed.protocols.party import Party
from riskfed.protocols.switchboard import Switchboard
from riskfed.secure.handshake import Handshake
from riskfed.secure.masking import MaskingCombiner, MaskingProtection
from tests.fuzz.harness import Session, Target
from tests.fuzz.mutator import Mutator
from tests.helpers import BANKS, plan_for
from tests.hostile.lying_server import IDENTITIES, PINNED
from tests.protocols.test_switchboard import adding
from tests.secure.banks import ROSTER, context_of, fixed_session

PLAN = plan_for()
Rounds = list[tuple[dict[str, bytes], dict[str, bytes]]]


def fresh_party(bank: str = "ash") -> Party:
    program = partial(adding, np.arange(30, dtype=np.int64), 2)
    return Party(Seat(bank, IDENTITIES[bank], PINNED, PLAN), program, shows_own_metrics=True)


def transcript(until: int = 100) -> tuple[Rounds, dict[str, Party], dict[str, bytes]]:
    """An honest run up to a round: (batches, answers) of each round, the parties, and their open questions."""
    parties = {bank: fresh_party(bank) for bank in BANKS}
    switchboard, rounds = Switchboard(PLAN, transport="test"), []
    batches = {bank: party.begin() for bank, party in parties.items()}
    while any(batches.values()) and len(rounds) < until:
        answers = switchboard.round(batches)
        rounds.append((batches, answers))
        batches = {bank: party.receive(answers[bank]) for bank, party in parties.items()}
    return rounds, parties, batches


def inside(mutator: Mutator, batch: bytes) -> bytes:
    """A batch changed outside, or in the last frame's body, or in one of the payloads in there."""
    roll = mutator.random.random()
    *told, last = decode_batch(batch)
    if roll < 0.2:
        return mutator.bytes_like([batch])
    if told and roll < 0.5:
        told = [Frame(frame.kind, frame.step, mutator.json_like([frame.body])) for frame in told]
        return encode_batch([*told, last])
    if roll < 0.6 or not last.body:
        return encode_batch([*told, Frame(last.kind, last.step, mutator.bytes_like([last.body, b""]))])
    try:
        payloads = decode_parts(last.body)
        name = mutator.choice(list(payloads))
    except Exception:
        return encode_batch([*told, Frame(last.kind, last.step, mutator.bytes_like([last.body]))])
    payloads[name] = mutator.bytes_like(list(payloads.values()))
    return encode_batch([*told, Frame(last.kind, last.step, encode_parts(payloads))])


@contextmanager
def party_at_start() -> Iterator[Session]:
    """The first answer to a party: other banks' signed keys."""
    helpers = {bank: fresh_party(bank) for bank in BANKS[1:]}
    first = {bank: party.begin() for bank, party in helpers.items()}
    seeds = [Switchboard(PLAN, transport="t").round({**first, "ash": fresh_party().begin()})["ash"]]
    yield (lambda mutator: inside(mutator, mutator.choice(seeds))), feed_party(fresh_party, seeds)


def feed_party(make: Callable[[], Party], right: list[bytes]) -> Callable[[bytes], None]:
    def feed(answer: bytes) -> None:
        party = make()
        party.begin()
        party.receive(answer)
        assert answer in right

    return feed


@contextmanager
def party_at_later_step() -> Iterator[Session]:
    """An answer at any later step of a run, in a run of its own each time."""

    def make(mutator: Mutator) -> tuple[int, int]:
        return mutator.random.randrange(1, len(RECORDED) - 1), mutator.random.getrandbits(32)

    def feed(given: tuple[int, int]) -> None:
        step, seed = given
        _, parties, batches = transcript(step)
        switchboard_answers = honest_answers(batches)
        answer = inside(Mutator(seed), switchboard_answers["ash"])
        parties["ash"].receive(answer)
        assert not parties["ash"].finished

    def honest_answers(batches: dict[str, bytes]) -> dict[str, bytes]:
        # The next answer has the form of the one in another run; it opens only where nothing in it is bound to its run.
        step = decode_batch(batches["ash"])[-1].step
        return RECORDED[step][1]

    yield make, feed


RECORDED, _, _ = transcript()


@contextmanager
def switchboard_anywhere() -> Iterator[Session]:
    """What banks send at any step: the switchboard was brought there by what banks have sent before."""
    switchboard, stands = Switchboard(PLAN, transport="test"), []
    for batches, _ in RECORDED:
        stands.append(copy.deepcopy(switchboard))
        switchboard.round(batches)
    disclosure = next(
        i for i, (batches, _) in enumerate(RECORDED) if decode_batch(batches["ash"])[-1].kind is Kind.DISCLOSE
    )

    def make(mutator: Mutator) -> tuple[int, dict[str, bytes]]:
        step = mutator.random.randrange(len(RECORDED))
        if step == disclosure and mutator.random.random() < 0.9:
            step = 0  # looking for the canary takes long
        batches = dict(RECORDED[step][0])
        for bank in BANKS if mutator.random.random() < 0.3 else [mutator.choice(BANKS)]:
            batches[bank] = inside(mutator, batches[bank])
        return step, batches

    def feed(given: tuple[int, dict[str, bytes]]) -> None:
        step, batches = given
        answers = copy.deepcopy(stands[step]).round(batches)
        assert set(answers) == set(BANKS)
        assert sum(map(len, answers.values())) <= 10 * sum(map(len, batches.values())) + 1000

    yield make, feed


@contextmanager
def hellos() -> Iterator[Session]:
    """Signed keys that the server has changed."""
    identities = {name: IDENTITIES[bank] for name, bank in zip(ROSTER, BANKS, strict=True)}
    pinned = {name: identity.public for name, identity in identities.items()}
    sides = {name: Handshake(identities[name], name, pinned, context_of()) for name in ROSTER}
    right = {name: side.hello() for name, side in sides.items()}

    def make(mutator: Mutator) -> dict[str, bytes]:
        name = mutator.choice(("beta", "gamma", "", "alpha", "delta"))
        return {"beta": right["beta"], "gamma": right["gamma"], name: mutator.bytes_like(list(right.values()))}

    def feed(given: dict[str, bytes]) -> None:
        side = Handshake(identities["alpha"], "alpha", pinned, context_of())
        side.hello()
        side.receive_hellos(given)
        assert all(given[name] == right[name] for name in ("beta", "gamma"))

    yield make, feed


@contextmanager
def contributions() -> Iterator[Session]:
    """Sealed contributions that the server has changed."""
    identities = {name: IDENTITIES[bank] for name, bank in zip(ROSTER, BANKS, strict=True)}
    pinned = {name: identity.public for name, identity in identities.items()}

    def make(mutator: Mutator) -> int:
        return mutator.random.getrandbits(32)

    def feed(seed: int) -> None:
        mutator = Mutator(seed)
        sides = {name: Handshake(identities[name], name, pinned, context_of()) for name in ROSTER}
        shown = {name: side.hello() for name, side in sides.items()}
        for side in sides.values():
            side.receive_hellos(shown)
        sides["alpha"].contributions()
        right = {name: sides[name].contributions()["alpha"] for name in ("beta", "gamma")}
        given = right | {mutator.choice(("beta", "gamma", "delta")): mutator.bytes_like(list(right.values()))}
        sides["alpha"].receive_contributions(given)
        assert given == right

    yield make, feed


@contextmanager
def masked_sums() -> Iterator[Session]:
    """A sum that the server has changed: noticed, or the right one."""
    values = np.arange(25)

    def make(mutator: Mutator) -> int:
        return mutator.random.getrandbits(32)

    def feed(seed: int) -> None:
        keys = fixed_session()
        sides = [MaskingProtection(k) for k in keys.values()]
        combined = MaskingCombiner().combine([side.protect(values, 5, 100) for side in sides])
        given = Mutator(seed).bytes_like([combined])
        assert sides[0].reveal(given, {}, 5).tolist() == (3 * values).tolist()

    yield make, feed


@contextmanager
def streams() -> Iterator[Session]:
    """Chunks of a session: nothing that was sent is lost."""
    batches = [b"", b"x" * 10, bytes(CHUNK_BYTES), bytes(CHUNK_BYTES + 1)]
    seeds = [
        b"".join(struct.pack(">I", len(c)) + c for batch in pair for c in to_chunks(batch))
        for pair in ([batches[0]], [batches[1]], [batches[1], batches[0]], [batches[3]], [batches[2], batches[1]])
    ]

    def make(mutator: Mutator) -> bytes:
        return mutator.bytes_like(seeds if mutator.random.random() < 0.05 else seeds[:3])

    def feed(data: bytes) -> None:
        chunks = list(cut(data))
        left = iter(chunks)
        taken = b""
        while (batch := read_batch(left)) is not None:
            taken += batch
            assert b"".join(chunk[1:] for chunk in to_chunks(batch)) == batch
        assert taken == b"".join(chunk[1:] for chunk in chunks)

    yield make, feed


def cut(data: bytes) -> Iterator[bytes]:
    """Chunks by their lengths; the last may be short, and one may be empty."""
    at = 0
    while at + 4 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        yield data[at + 4 : at + 4 + length]
        at += 4 + length


@contextmanager
def flower_messages() -> Iterator[Session]:
    """Records that another app could have made."""

    def array(mutator: Mutator) -> Array:
        data = mutator.bytes_like([b"", b"batch" * 5])
        shape = mutator.choice(((len(data),), (len(data), 1), (), (0,), (-1,), (1 << 40,)))
        dtype, stype = mutator.choice(("uint8", "uint8", "float32")), mutator.choice(("riskfed.batch", "numpy.ndarray"))
        return Array(dtype=dtype, shape=shape, stype=stype, data=data)

    def make(mutator: Mutator) -> RecordDict:
        records: list[Any] = [
            ArrayRecord({mutator.choice(("batch", "x")): array(mutator) for _ in range(mutator.random.randrange(3))}),
            ConfigRecord({"run": mutator.choice(("a/1", 3, 0.5, b"x", [1, 2], ["x"], True))}),
            MetricRecord({"x": 1}),
            *encode(b"x", run="a/1").values(),
        ]
        names = ("batch", "settings", "x")
        return RecordDict({mutator.choice(names): mutator.choice(records) for _ in range(mutator.random.randrange(5))})

    def feed(content: RecordDict) -> None:
        batch, settings = decode(content)
        assert decode(encode(batch, **settings)) == (batch, settings)

    yield make, feed


CONVERSATIONS = [
    Target("Party.receive, first answer", 2_000, party_at_start),
    Target("Party.receive, later answers", 60, party_at_later_step),
    Target("Switchboard.round", 4_000, switchboard_anywhere),
    Target("Handshake.receive_hellos", 2_000, hellos),
    Target("Handshake.receive_contributions", 500, contributions),
    Target("MaskingProtection.reveal", 2_000, masked_sums),
    Target("session_wire.read_batch", 12_000, streams),
    Target("codec.decode", 4_000, flower_messages),
]
