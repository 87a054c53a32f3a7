"""Targets that are functions of bytes: frames, messages, chunks, plans, releases, headers, keys, envelopes."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from riskfed.jobs import HorizontalXgboost
from riskfed.plan import Plan
from riskfed.protocols.frames import (
    EVERYONE,
    PLAIN,
    Frame,
    Kind,
    decode_batch,
    decode_parts,
    encode_batch,
    encode_parts,
)
from riskfed.protocols.release import ModelRelease
from riskfed.protocols.socket_frames import receive_message, send_message
from riskfed.secure import PaillierProtection, combiner_for, paillier_key
from riskfed.secure.masking import MaskingProtection
from riskfed.secure.protection import Header
from riskfed.secure.sealed import open_from, open_sealed, seal, seal_to_all
from tests.fuzz.harness import Session, Target, simply
from tests.fuzz.mutator import Mutator
from tests.protocols.test_switchboard import RELEASE
from tests.secure.banks import fixed_session

PLANS = [
    Plan(
        run="run-1",
        roster=("ash", "birch", "cedar"),
        job=HorizontalXgboost(**job),
        schema_fingerprint="0" * 64,
        protection=protection,
    )
    .model_dump_json()
    .encode()
    for protection in ("masking", "paillier")
    for job in ({}, {"monotone_constraints": {"x": 1}, "validation_fraction": 0.2, "early_stopping_rounds": 3})
]
PARTS = [
    encode_parts({}),
    encode_parts({EVERYONE: b"hello" * 30}),
    encode_parts({"ash": b"", "birch": bytes(70), "é": b"\xff" * 9}),
]
BATCHES = [
    encode_batch([Frame(Kind.PLAN, 0, PLANS[0])]),
    encode_batch([Frame(Kind.PROGRESS, 3, b'{"step":1,"metrics":{}}'), Frame(Kind.COMBINE, 3, bytes(200))]),
    *(encode_batch([Frame(Kind.EXCHANGE, 1, body)]) for body in PARTS),
    *(encode_batch([Frame(kind, 7)]) for kind in Kind),
    encode_batch([Frame(Kind.RELEASE, 9, RELEASE)]),
]


def check_batch(data: bytes) -> None:
    """Strict: what is taken is what would be sent; byte for byte, but for other zlib streams of the same content."""
    frames = decode_batch(data)
    sent = encode_batch(frames)
    assert decode_batch(sent) == frames
    assert sent == data or any(frame.kind in PLAIN for frame in frames)


def check_parts(data: bytes) -> None:
    assert encode_parts(decode_parts(data)) == data


def messages() -> list[bytes]:
    """Streams of one, two and no messages."""
    left, right = socket.socketpair()
    with left, right:
        for batch in BATCHES[:4]:
            send_message(left, "run/1", batch)
        send_message(left, "", b"")
        left.shutdown(socket.SHUT_WR)
        whole = b"".join(iter(lambda: right.recv(65536), b""))
    return [whole, whole[: 9 + 5 + len(BATCHES[0])], struct.pack(">BQ", 5, 1 << 30) + b"run/1", b""]


def check_messages(data: bytes) -> None:
    """A stream of messages; what is taken is exactly what would be sent."""
    left, right = socket.socketpair()
    with left, right:
        left.settimeout(10)
        left.sendall(data)
        left.shutdown(socket.SHUT_WR)
        taken = []
        while (message := receive_message(right, patience=10)) is not None:
            taken.append(message)
    sent = b"".join(struct.pack(">BQ", len(run.encode()), len(batch)) + run.encode() + batch for run, batch in taken)
    assert sent == data


def check_plan(data: bytes) -> None:
    plan = Plan.from_json(data)
    again = Plan.from_json(plan.model_dump_json())
    assert again == plan
    assert again.digest == plan.digest


def check_release(data: bytes) -> None:
    release = ModelRelease.from_bytes(data)
    assert ModelRelease.from_bytes(release.to_bytes()).to_bytes() == release.to_bytes()


def check_header(data: bytes) -> None:
    assert Header.of(Header.of(data).to_bytes()) == Header.of(data)


def check_public(data: bytes) -> None:
    key = paillier_key.parse_public(data)
    assert paillier_key.parse_public(paillier_key.serialize_public(key)).n == key.n


def uploads(protection: str, key: Any = None) -> list[bytes]:
    """The parts of three banks in one step."""
    banks = fixed_session().values()
    sides = [MaskingProtection(k) if protection == "masking" else PaillierProtection(k, key) for k in banks]
    return [side.protect(np.arange(20), 3, 1000) for side in sides]


@contextmanager
def combining(protection: str) -> Iterator[Session]:
    """The server adds what banks have sent."""
    key = paillier_key.generate_paillier_key(2048) if protection == "paillier" else None
    combiner = combiner_for(protection, paillier_key.serialize_public(key.public_key) if key else b"")
    seeds = uploads(protection, key)
    size = len(combiner.combine(seeds))

    def make(mutator: Mutator) -> list[bytes]:
        return [mutator.bytes_like(seeds), *(seeds[1:] if mutator.choice((0, 1)) else [mutator.bytes_like(seeds)])]

    def feed(parts: list[bytes]) -> None:
        assert len(combiner.combine(parts)) <= 2 * size

    yield make, feed


@contextmanager
def envelopes() -> Iterator[Session]:
    """Envelopes that the server has changed; only the one that was sent may open."""
    keys = fixed_session()
    seeds = [seal(keys["alpha"], "beta", b"secret" * 5, "label", 3), seal_to_all(keys["alpha"], b"to all", "label", 3)]
    opened = [b"secret" * 5, b"to all"]

    def feed(data: bytes) -> None:
        open_for = open_from if len(data) % 2 == len(seeds[1]) % 2 else open_sealed
        assert open_for(keys["beta"], "alpha", data, "label", 3) in opened
        assert data in seeds

    yield (lambda mutator: mutator.bytes_like(seeds)), feed


def like(seeds: list[bytes]) -> Any:
    return lambda mutator: mutator.bytes_like(seeds)


def json_like(seeds: list[bytes]) -> Any:
    return lambda mutator: mutator.json_like(seeds)


_HEADERS = [part[:100] for part in uploads("masking")]
_PUBLIC = [b"RFK1public" + struct.pack(">Q", 256) + b"\xc1" * 256]

PARSERS = [
    Target("frames.decode_batch", 24_000, simply(like(BATCHES), check_batch)),
    Target("frames.decode_parts", 20_000, simply(like(PARTS), check_parts)),
    Target("socket_frames.receive_message", 6_000, simply(like(messages()), check_messages)),
    Target("Plan.from_json", 5_000, simply(json_like(PLANS), check_plan)),
    Target("ModelRelease.from_bytes", 5_000, simply(json_like([RELEASE]), check_release)),
    Target("protection.Header.of", 10_000, simply(like(_HEADERS), check_header)),
    Target("paillier_key.parse_public", 10_000, simply(like(_PUBLIC), check_public)),
    Target("MaskingCombiner.combine", 8_000, lambda: combining("masking")),
    Target("PaillierCombiner.combine", 1_500, lambda: combining("paillier")),
    Target("sealed.open_sealed", 6_000, envelopes),
]
