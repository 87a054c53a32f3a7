"""What protection of a sum costs: CPU seconds for the histograms of one level of a tree, for each bank.

    python -m benchmarks.protection_cost

A level of 32 nodes x 23 features x 256 bins x (gradient, hessian) is 376,832 int64 values: with sibling subtraction,
about what a tree of depth 6 needs in all. Three ways, with a Paillier key of 2048 bits and three banks:

* phe as it comes: one float in each ciphertext, `encrypt` and `decrypt`; timed on a sample and scaled up.
* paillier: packed, with masks inside; timed on a sample and scaled up. Every bank opens a third of the ciphertexts.
* masking: timed in full.

CPU time, best of a few runs, all in one process; the ratios mean more than the seconds.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from riskfed.secure import (
    Combiner,
    Context,
    Identity,
    MaskingCombiner,
    MaskingProtection,
    PaillierCombiner,
    PaillierKey,
    PaillierProtection,
    Protection,
    SessionKeys,
    generate_paillier_key,
    handshake_in_process,
)

LEVEL = 32 * 23 * 256 * 2
BANKS = ("alpha", "beta", "gamma")
BOUND = 2**62
PACKED_SAMPLE = 8_000
PHE_SAMPLE = 20
Costs = dict[str, float]


def measure(packed_sample: int = PACKED_SAMPLE, phe_sample: int = PHE_SAMPLE, key_bits: int = 2048) -> dict[str, Costs]:
    """CPU seconds for a level histogram and bank, and bytes on the wire.

    Args:
        packed_sample: values that "paillier" is timed on.
        phe_sample: values that "phe" is timed on.
        key_bits: length of the Paillier key, at least 2048.

    Returns:
        way -> {"protect", "combine" (the server's, divided by the banks), "share", "reveal", "total" in CPU seconds;
        "upload" and "download" in bytes}. "download" is the combined message with the other banks' shares.
    """
    keys = handshake_in_process({name: Identity.generate() for name in BANKS}, _context())
    key = generate_paillier_key(key_bits)
    paillier: dict[str, Protection] = {name: PaillierProtection(k, key) for name, k in keys.items()}
    masking: dict[str, Protection] = {name: MaskingProtection(k) for name, k in _fresh(keys).items()}
    key.obfuscators.draw(1)  # the tables are made once in a run, not in every step
    return {
        "phe as it comes": _phe(key, phe_sample),
        "paillier, packed": _scaled(
            _protected(paillier, PaillierCombiner(key.public_key), packed_sample, 3), packed_sample
        ),
        "masking": _protected(masking, MaskingCombiner(), LEVEL, 12),
    }


def _context() -> Context:
    return Context("benchmark", 0, BANKS, hashlib.sha256(b"benchmark").digest())


def _fresh(keys: Mapping[str, SessionKeys]) -> dict[str, SessionKeys]:
    """The same keys with step registers of their own."""
    return {name: SessionKeys(k.context, name, k.pair_keys, k.group_key) for name, k in keys.items()}


def _protected(banks: Mapping[str, Protection], combiner: Combiner, length: int, runs: int) -> Costs:
    """Best CPU seconds of each stage for one bank, over `runs` steps after one that compiles and allocates."""
    generator = np.random.default_rng(0)
    values = {name: generator.integers(-(BOUND // 4), BOUND // 4, length) for name in banks}
    timed: dict[str, list[float]] = {stage: [] for stage in ("protect", "combine", "share", "reveal")}
    for step in range(runs + 1):
        upload, download = _one_sum(banks, combiner, values, step, timed)
    costs = {stage: min(seconds[1:]) for stage, seconds in timed.items()}
    costs["total"] = sum(costs.values())
    return costs | {"upload": upload, "download": download}


def _one_sum(
    banks: Mapping[str, Protection],
    combiner: Combiner,
    values: Mapping[str, np.ndarray],
    step: int,
    timed: Mapping[str, list[float]],
) -> tuple[int, int]:
    """One step; appends the seconds of each stage to `timed`. Returns a bank's bytes sent and received."""
    parts = _each(lambda name: banks[name].protect(values[name], step, BOUND), timed["protect"])
    started = time.process_time()
    combined = combiner.combine(list(parts.values()))
    timed["combine"].append((time.process_time() - started) / len(banks))
    shares = _each(lambda name: banks[name].share(combined, step), timed["share"])
    revealed = _each(lambda name: banks[name].reveal(combined, shares, step), timed["reveal"])
    expected = np.sum(list(values.values()), axis=0)
    if not all(np.array_equal(total, expected) for total in revealed.values()):
        raise AssertionError("the revealed sum is wrong")
    own = len(shares[BANKS[0]])
    return len(parts[BANKS[0]]) + own, len(combined) + sum(len(share) for share in shares.values()) - own


def _each(stage: Callable[[str], Any], seconds: list[float]) -> dict[str, Any]:
    """Run a stage at every bank; appends the mean CPU seconds of a bank."""
    started = time.process_time()
    results = {name: stage(name) for name in BANKS}
    seconds.append((time.process_time() - started) / len(BANKS))
    return results


def _scaled(costs: Costs, sample: int) -> Costs:
    return {stage: cost * LEVEL / sample for stage, cost in costs.items()}


def _phe(key: PaillierKey, sample: int) -> Costs:
    """phe's own `encrypt`, addition and `decrypt` of floats, scaled from a sample to a level."""
    public = key.public_key
    floats = np.random.default_rng(0).normal(size=sample).tolist()
    started = time.process_time()
    encrypted = [public.encrypt(value) for value in floats]
    protect = time.process_time() - started
    started = time.process_time()
    sums = [a + b for a, b in zip(encrypted, encrypted[::-1], strict=True)]
    combine = time.process_time() - started
    started = time.process_time()
    for number in sums:
        key.decrypt(number)
    reveal = time.process_time() - started
    # Every bank opens every ciphertext: phe knows no sharing of that work.
    size = 2 * public.n.bit_length() / 8 * sample
    costs = {"protect": protect, "combine": combine, "share": 0.0, "reveal": reveal, "upload": size, "download": size}
    costs["total"] = protect + combine + reveal
    return _scaled(costs, sample)


def table(costs: Mapping[str, Costs]) -> str:
    """The measured costs as text, with ratios to phe as it comes."""
    stages: Sequence[str] = ("protect", "combine", "share", "reveal", "total")
    slowest = costs["phe as it comes"]["total"]
    lines = [
        f"{'CPU seconds a level and bank':<30}"
        + "".join(f"{s:>11}" for s in stages)
        + f"{'times phe':>12}{'MB sent':>10}"
    ]
    for way, cost in costs.items():
        numbers = "".join(f"{cost[stage]:>11.4f}" for stage in stages)
        lines.append(f"{way:<30}{numbers}{slowest / cost['total']:>12,.0f}{cost['upload'] / 1e6:>10.2f}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(measure()))
    print(
        f"a level is {LEVEL:,} values; phe scaled from {PHE_SAMPLE}, paillier from {PACKED_SAMPLE:,}, masking in full"
    )
