"""Banks, keys and sums for the tests of protection."""

import hashlib
from collections.abc import Mapping

import numpy as np

from riskfed.secure import Combiner, Context, Identity, Protection, SessionKeys, handshake_in_process

ROSTER = ("alpha", "beta", "gamma")
SHORT_KEY_BITS = 512


def context_of(roster: tuple[str, ...] = ROSTER, run: str = "run", attempt: int = 0, plan: bytes = b"plan") -> Context:
    return Context(run, attempt, roster, hashlib.sha256(plan).digest())


def session(context: Context | None = None) -> dict[str, SessionKeys]:
    context = context or context_of()
    return handshake_in_process({name: Identity.generate() for name in context.roster}, context)


def fixed_session(context: Context | None = None) -> dict[str, SessionKeys]:
    """Keys that are the same in every test run, for known answers."""
    context = context or context_of()

    def pair(a: str, b: str) -> bytes:
        return hashlib.sha256("+".join(sorted([a, b])).encode()).digest()

    group = hashlib.sha256(b"group").digest()
    return {
        name: SessionKeys(context, name, {o: pair(name, o) for o in context.roster if o != name}, group)
        for name in context.roster
    }


def random_values(seed: int, names: tuple[str, ...], length: int, bound: int) -> dict[str, np.ndarray]:
    """Values of each bank whose sum is at most `bound` in absolute value."""
    generator = np.random.default_rng(seed)
    share = bound // len(names)
    return {name: generator.integers(-share, share, length, endpoint=True) for name in names}


def pooled(
    banks: Mapping[str, Protection], combiner: Combiner, values: Mapping[str, np.ndarray], step: int, bound: int
) -> dict[str, np.ndarray]:
    """One sum from end to end: what each bank reveals."""
    combined = combiner.combine([bank.protect(values[name], step, bound) for name, bank in banks.items()])
    shares = {name: bank.share(combined, step) for name, bank in banks.items()}
    return {name: bank.reveal(combined, shares, step) for name, bank in banks.items()}
