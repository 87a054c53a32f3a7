"""Parties that align, and one among them that does not keep to the protocol."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from riskfed.protocols.alignment import Alignment, align
from riskfed.protocols.program import Exchange, Keep, Program
from tests.helpers import exchange_all

ROSTER = ("archive", "lender", "shop")
LABEL_HOLDER = "lender"

Change = Callable[[str, str, bytes], bytes | None]
"""Label, recipient, payload -> what is sent instead; None: nothing."""


def ids_of(customers: Collection[int]) -> np.ndarray:
    """Ids in a random order."""
    ids = np.array([f"customer-{number}".encode() for number in sorted(customers)], dtype="S")
    return np.random.default_rng(len(customers)).permutation(ids)


class Group:
    """Parties with their ids, aligned in one process.

    Attributes:
        kept: party -> the alignment that it was asked to keep.
        requests: all that was yielded, with the party's name.
    """

    def __init__(self, customers: Mapping[str, Collection[int]]) -> None:
        self.ids = {name: ids_of(numbers) for name, numbers in customers.items()}
        self.kept: dict[str, bytes] = {}
        self.requests: list[tuple[str, Any]] = []

    @property
    def sent(self) -> list[tuple[str, Exchange]]:
        """Every exchange, with the sender's name."""
        return [(name, request) for name, request in self.requests if isinstance(request, Exchange)]

    def align(self, *, changes: Mapping[str, Change] | None = None, **rules: Any) -> dict[str, Alignment]:
        """Align; `rules` are arguments of `align` for all parties, or by party where they are a dict."""
        self.requests.clear()
        programs = {}
        for name, ids in self.ids.items():
            own = {key: value[name] if isinstance(value, dict) else value for key, value in rules.items()}
            program = align(ids, name, tuple(self.ids), LABEL_HOLDER, kept=self.kept.get(name), **own)
            programs[name] = tampered(program, (changes or {}).get(name))
        return exchange_all(programs, self._hear)

    def _hear(self, name: str, request: Any) -> None:
        self.requests.append((name, request))
        if isinstance(request, Keep) and request.name == "alignment":
            self.kept[name] = request.content


def tampered(program: Program[Any], change: Change | None) -> Program[Any]:
    """The program of a party that sends something else than it should."""
    answer = None
    while True:
        try:
            request = program.send(answer)
        except StopIteration as stop:
            return stop.value
        if isinstance(request, Exchange) and change is not None:
            changed = {to: change(request.label, to, payload) for to, payload in request.payloads.items()}
            request = Exchange({to: payload for to, payload in changed.items() if payload is not None}, request.label)
        answer = yield request
