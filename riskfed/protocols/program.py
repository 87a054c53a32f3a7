"""What a party program may yield.

A protocol is an ordinary generator that reads from top to bottom. It does no I/O: it yields one of the requests below and gets
the answer back, so the same code runs in a notebook, in a test and behind a bank's vault.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Sum:
    """Ask for the sum of an array over all banks; protected on the way out, revealed on the way in.

    Attributes:
        values: (k,) int64, this bank's share. Every bank yields the same k.
        bound: proven bound on the magnitude of every element of the pooled sum, or (k,) int64 with one for each; known to all banks
            alike, at most 2^62. It costs the bits that it has, and nothing at all where it is 0.

    The answer is the pooled (k,) int64 array.
    """

    values: np.ndarray = field(repr=False)
    bound: int | np.ndarray = field(repr=False)


@dataclass(frozen=True, slots=True)
class Exchange:
    """Hand payloads to other parties, each sealed to its recipient, and get theirs. All parties take part, if only with nothing.

    Attributes:
        payloads: recipient -> what only it may read.
        label: what the payloads are; bound into the envelopes, so every party states the same.

    The answer is sender -> payload (bytes), of those that had one for this party.
    """

    payloads: Mapping[str, bytes] = field(repr=False)
    label: str


@dataclass(frozen=True, slots=True)
class SharedSecret:
    """Ask for 32 bytes that all parties of this attempt derive alike, and nobody else can.

    Attributes:
        purpose: another one gives other bytes.
    """

    purpose: str


@dataclass(frozen=True, slots=True)
class Keep:
    """Keep something inside the party beyond the run, in place of what was kept under that name. Nothing leaves the party."""

    name: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Progress:
    """Tell the server how far the job is. Every bank sends the same pooled figures; they are seen by the operator in plain."""

    step: int
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class OwnMetrics:
    """Figures of this bank alone. They leave the bank only where its policy says so."""

    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Release:
    """Hand out the job's result in plain: the one thing that all banks agreed to disclose. Must be equal at every bank."""

    result: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Witness:
    """Agree to the result that another party hands out, where it is not this party's to see.

    Attributes:
        sha256: of its bytes, hexadecimal.
    """

    sha256: str


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Keep an entry inside the bank, so that the job can go on from here in another attempt. Nothing leaves the bank.

    Entries follow each other in the run's journal; what they mean is the program's own affair.
    """

    entry: bytes = field(repr=False)


Request = Sum | Exchange | SharedSecret | Keep | Progress | OwnMetrics | Checkpoint | Release | Witness
Program = Generator[Request, Any, T]


def run_alone(program: Program[T]) -> T:
    """Run a program for one party by itself, in its own memory: every sum is its own. Nothing is protected, for nothing is sent."""
    answer = None
    while True:
        try:
            request = program.send(answer)
        except StopIteration as stop:
            result: T = stop.value
            return result
        answer = request.values if isinstance(request, Sum) else None
