"""Proof for every bank that the revealed sum is the true sum of what the banks sent in this very step.

Each bank appends to its values v a tag, a secret linear function of them, and protects both. The function of the
pooled values must equal the pooled tag. A server that drops, swaps, replays or changes anything does not know the
function and is found.

Secret: the function, drawn for each step from the group key; the banks know it, the server and outsiders do not. A
bank that colludes with the server could forge, and then it could as well have sent false values: truthful inputs are
not what a tag proves.

The function, in two levels of weights uniform in [0, 2^64): over blocks of 4,096 values, E_k = sum_j s_j v_(4096 k + j)
as an integer; then L(v) = sum_k x_k E_k mod 2^217. Bank b's tag is t_b = L(v_b) + z_b with a pad z_b of its own,
uniform mod 2^217; a sum V with tag T is accepted if T - sum_b z_b = L(V). This is a one-time authenticator after Wegman
and Carter (1981) over the multilinear hash of Halevi and Krawczyk (1997), on integers so that no prime is needed, and
in two levels so that the weights s stay in the first-level cache.

Probability that a false sum passes, per step: at most 2^-63, whatever the server does, even if it could read values and
tags. Because of the pads, what it has is independent of s and x. Let it turn (V, T) into (V + e, T + c), some e_i not
0; it passes if L(e) = c. (1) The block of e_i has sum_j s_j e_j = 0 for at most one s_i of 2^64, the others given. (2)
If not, that block's E_k is not 0, and x_k E_k takes any one value mod 2^217 for at most one x_k of 2^64, because
|(x - x') E_k| < 2^64 * 2^12 * 2^64 * 2^64 = 2^204 is no multiple of 2^217.

Slots lie side by side in one integer (`riskfed.secure.slots`), and what a server adds to that may carry from one into
the next. So e and c depend on V and T as well, but on nothing else that the server does not choose; with V and T known
to it they are its choice, made before s and x are seen, and the argument stands.

Two simpler ways would not do. Modulo a known prime of 31 bits, adding the prime to a 64-bit value would pass. Without
pads, the server could multiply a whole homomorphic sum by a constant, tag and all.

The tag travels as seven limbs of 31 bits. The sum of a limb over at most 255 banks is below 2^39.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from riskfed.errors import ProtectionError
from riskfed.secure.keys import SessionKeys
from riskfed.secure.primitives import Keystream
from riskfed.secure.slots import Widths, slot_widths

TAG_SLOTS: Final = 7
_LIMB_BITS: Final = 31
_MODULUS_BITS: Final = TAG_SLOTS * _LIMB_BITS
_LIMB_SUM: Final = 2**39 - 1
_BLOCK: Final = 4096
_PAD_BYTES: Final = 28  # the least whole number of bytes for _MODULUS_BITS


def append_tags(values: np.ndarray, keys: SessionKeys, step: int, out: np.ndarray | None = None) -> np.ndarray:
    """Append this bank's tag.

    Args:
        values: (n,) int64, any values.
        keys: the run's keys.
        step: the step that the values belong to.
        out: (n + TAG_SLOTS,) int64 to write to; a new array if None.

    Returns:
        (n + TAG_SLOTS,) int64, the values and the tag's limbs, which are in [0, 2^31).
    """
    tagged = np.empty(len(values) + TAG_SLOTS, dtype=np.int64) if out is None else out
    tagged[: len(values)] = values
    tag = _hash(tagged[: len(values)], keys, step) + _pads(keys, step)[keys.own_name]
    tagged[len(values) :] = [(tag >> (_LIMB_BITS * i)) & (2**_LIMB_BITS - 1) for i in range(TAG_SLOTS)]
    return tagged


def tagged_widths(widths: Widths) -> Widths:
    """(n + TAG_SLOTS,) uint8 bits of the slots of values and tag, from the (n,) of the values."""
    return np.append(widths, slot_widths(_LIMB_SUM, TAG_SLOTS))


def verify_and_strip(total: np.ndarray, keys: SessionKeys, step: int) -> np.ndarray:
    """Check the sum of all banks' tagged values and return it without the tag.

    Args:
        total: (n + TAG_SLOTS,) int64, the sum over all banks of what `append_tags` gave.
        keys: the run's keys.
        step: the step that the sum claims to belong to.

    Returns:
        (n,) int64 view of `total`.

    Raises:
        ProtectionError: the sum is not that of what the banks protected in this step.
    """
    values = total[:-TAG_SLOTS]
    limbs = total[-TAG_SLOTS:].tolist()
    pooled_tag = sum(limb << (_LIMB_BITS * i) for i, limb in enumerate(limbs))
    expected = _hash(values, keys, step) + sum(_pads(keys, step).values())
    in_range = all(0 <= limb < len(keys.context.roster) << _LIMB_BITS for limb in limbs)
    if not in_range or (pooled_tag - expected) % (1 << _MODULUS_BITS):
        raise ProtectionError(
            f"the sum of step {step} is not that of what the {len(keys.context.roster)} banks sent: "
            "it was changed, mixed or replayed on the server's side, or a bank left its bound; "
            "the run must end and the operator explain"
        )
    return values


def _pads(keys: SessionKeys, step: int) -> dict[str, int]:
    """Bank -> z_b of this step, uniform in [0, 2^217)."""
    roster = keys.context.roster
    stream = Keystream(keys.derive("sum check, pads", step)).read(_PAD_BYTES * len(roster))
    words = (stream[_PAD_BYTES * i : _PAD_BYTES * (i + 1)] for i in range(len(roster)))
    return {bank: int.from_bytes(word, "little") % (1 << _MODULUS_BITS) for bank, word in zip(roster, words)}


def _hash(values: np.ndarray, keys: SessionKeys, step: int) -> int:
    """L(values) of this step, in [0, 2^217)."""
    blocks = -(-len(values) // _BLOCK)
    inner = Keystream(keys.derive("sum check, inner weights", step)).words(min(len(values), _BLOCK))
    outer = Keystream(keys.derive("sum check, outer weights", step)).read(8 * blocks)
    sums = np.empty((blocks, 3), dtype=np.uint64)
    _block_sums(values, inner.astype(np.uint64, copy=False), sums)
    total = 0
    for k, (low, middle, high) in enumerate(sums.tolist()):
        signed_high = high - (high >> 63 << 64)
        weight = int.from_bytes(outer[8 * k : 8 * k + 8], "little")
        total += weight * (low | middle << 64 | signed_high << 128)
    return total % (1 << _MODULUS_BITS)


@intrinsic
def _multiply_add(_typing: Any, _low: Any, _middle: Any, _high: Any, _value: Any, _weight: Any) -> Any:
    """(low, middle, high) + value * weight on 192 bits; value is signed, weight unsigned."""
    word = types.uint64
    signature = types.UniTuple(word, 3)(word, word, word, types.int64, word)  # type: ignore[no-untyped-call]

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word, double, triple = ir.IntType(64), ir.IntType(128), ir.IntType(192)
        low, middle, high, value, weight = arguments
        total = builder.zext(low, triple)
        for part, shift in ((middle, 64), (high, 128)):
            total = builder.or_(total, builder.shl(builder.zext(part, triple), ir.Constant(triple, shift)))
        product = builder.mul(builder.sext(value, double), builder.zext(weight, double))  # |product| < 2^127
        total = builder.add(total, builder.sext(product, triple))
        parts = [builder.trunc(builder.lshr(total, ir.Constant(triple, shift)), word) for shift in (0, 64, 128)]
        return context.make_tuple(builder, signature.return_type, parts)

    return signature, generate


@njit(nogil=True, cache=True)
def _block_sums(values: np.ndarray, weights: np.ndarray, sums: np.ndarray) -> None:
    """Write to sums[k] the three words, lowest first, of sum_j weights[j] * values[4096 k + j] in two's complement."""
    for k in range(len(sums)):
        start = k * _BLOCK
        low, middle, high = np.uint64(0), np.uint64(0), np.uint64(0)
        for j in range(min(_BLOCK, len(values) - start)):
            low, middle, high = _multiply_add(  # type: ignore[call-arg]  # numba supplies the typing context
                low, middle, high, values[start + j], weights[j]
            )
        sums[k, 0], sums[k, 1], sums[k, 2] = low, middle, high
