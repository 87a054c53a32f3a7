"""Protection of a sum by Paillier's additively homomorphic encryption (Paillier 1999), packed, with masks inside the
plaintexts.

    ciphertext of bank u = (1 + n m_u) * rho mod n^2,   m_u = packed values + sum_{w after u} k_uw - sum_{w before u}
    k_uw  mod n

rho is a random n-th power (`riskfed.secure.obfuscator`), k_uw a mask, uniform mod n, that banks u and w derive for
the step.

Secret: the private key, held by every bank of the run; the masks. Public: n.

Who learns what. The server and outsiders see ciphertexts (semantically secure under the decisional composite
residuosity assumption) and can add them, no more. Any bank could open a single bank's ciphertext, were it given one,
and would see a plaintext that is uniform by the masks; only in the sum over the whole roster do these cancel. A
server that gives banks a partial sum to open gets nothing opened but noise, which the check of the sum refuses. The
server together with k banks learns the sum of the others' values.

Opening is shared: bank number k of the roster opens the k-th contiguous slice of the ciphertexts and seals its
plaintexts to the others under the group key, together with a hash of the combined message, so that a server that gave
banks different sums is named as such.

Ciphertexts and keys are phe's: `phe.PaillierPrivateKey.raw_decrypt` opens what is written here, and what
`raw_encrypt` wrote adds up.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import gmpy2
import numpy as np
from gmpy2 import mpz
from phe import PaillierPublicKey

from riskfed.errors import LocalProtocolError, ProtectionError, RemoteProtocolError
from riskfed.secure.keys import SessionKeys
from riskfed.secure.packing import pack, plaintext_slices, unpack
from riskfed.secure.paillier_key import PaillierKey, require_key_bits
from riskfed.secure.primitives import Keystream
from riskfed.secure.protection import HEADER_BYTES, Header, StepwiseProtection, header_of_sum
from riskfed.secure.sealed import open_from, seal_to_all
from riskfed.secure.slots import Widths

_SHARE_LABEL: Final = "paillier share"
_DIGEST_BYTES: Final = 32
_MASK_EXCESS_BITS: Final = 128
"""A mask is a number of so many bits more than n, reduced mod n: its distance from uniform is below 2^-128."""


class PaillierProtection(StepwiseProtection):
    """A bank's side. See the module for what is secret and who learns what.

    Args:
        keys: the run's keys.
        private_key: the key that the roster's first bank made and sealed to the others.

    Raises:
        ProtectionError: the key is too short.
    """

    name: str = "paillier"

    def __init__(self, keys: SessionKeys, private_key: PaillierKey) -> None:
        super().__init__(keys)
        require_key_bits(private_key.public_key.n.bit_length())
        self._private = private_key
        self._n = mpz(private_key.public_key.n)
        self._square = self._n * self._n
        self._own_share: tuple[bytes, list[mpz]] | None = None

    def prepare(self) -> None:
        """Make the tables for encryption now, instead of at the first `protect`: a third of a second."""
        _ = self._private.obfuscators

    def _items(self, widths: Widths) -> int:
        return len(plaintext_slices(widths, self._n.bit_length()))

    def _encrypt(self, slots: np.ndarray, widths: Widths, header: Header) -> bytes:
        self._own_share = None
        plaintexts = pack(slots, widths, self._n.bit_length())
        self._mask(plaintexts, widths, header.step)
        n, square = self._n, self._square
        obfuscators = self._private.obfuscators.draw(len(plaintexts))
        ciphertexts = [(1 + n * (m % n)) * rho % square for m, rho in zip(plaintexts, obfuscators, strict=True)]
        return _join(header, ciphertexts, _ciphertext_bytes(n))

    def _mask(self, plaintexts: list[mpz], widths: Widths, step: int) -> None:
        """Add this bank's pair masks in place. A stream's key is fresh for run, attempt, roster, plan, step and slot
        layout."""
        size = (self._n.bit_length() + _MASK_EXCESS_BITS + 7) // 8
        label = f"paillier, pair mask, slots {hashlib.sha256(widths.tobytes()).hexdigest()}"
        for other in self._keys.others:
            stream = Keystream(self._keys.derive_pair(other, label, step)).read(size * len(plaintexts))
            sign = 1 if other > self._keys.own_name else -1
            for i in range(len(plaintexts)):
                plaintexts[i] += sign * mpz.from_bytes(stream[i * size : (i + 1) * size], "little")

    def share(self, combined: bytes, step: int) -> bytes:
        """Open this bank's slice of the combined ciphertexts and seal the plaintexts to the other banks.

        Raises:
            RemoteProtocolError: a malformed message.
            ProtectionError: as for `reveal`.
            LocalProtocolError: this bank did not protect the step, or shared or revealed it already.
        """
        header = self._expect(combined, step)
        if self._own_share is not None:
            raise LocalProtocolError(
                f"{self._keys.own_name} gave its share of step {step} already; one sum is opened in each step"
            )
        ciphertexts = _split(combined, header, self._n)
        part = _slices(len(ciphertexts), self._keys.context.roster)[self._keys.own_name]
        plaintexts = decrypt_raw(self._private, ciphertexts[part])
        summary = hashlib.sha256(combined).digest()
        self._own_share = (summary, plaintexts)
        size = _plaintext_bytes(self._n)
        payload = summary + b"".join(m.to_bytes(size, "big") for m in plaintexts)
        return seal_to_all(self._keys, payload, _SHARE_LABEL, step)

    def _decrypt(self, combined: bytes, shares: Mapping[str, bytes], widths: Widths, header: Header) -> np.ndarray:
        summary = hashlib.sha256(combined).digest()
        if self._own_share is None or self._own_share[0] != summary:
            raise ProtectionError(
                f"{self._keys.own_name} opened its share of another sum of step {header.step} than it is to reveal"
            )
        slices = _slices(header.items, self._keys.context.roster)
        plaintexts: list[mpz] = []
        for bank, part in slices.items():
            if bank == self._keys.own_name:
                plaintexts += self._own_share[1]
            else:
                plaintexts += self._open_share(bank, shares, summary, part.stop - part.start, header.step)
        self._own_share = None
        return unpack(plaintexts, self._n, widths)

    def _open_share(self, bank: str, shares: Mapping[str, bytes], summary: bytes, count: int, step: int) -> list[mpz]:
        if not shares.get(bank):
            raise ProtectionError(f"the share of {bank} in opening step {step} is missing")
        payload = open_from(self._keys, bank, shares[bank], _SHARE_LABEL, step)
        size = _plaintext_bytes(self._n)
        if len(payload) != _DIGEST_BYTES + count * size:
            raise ProtectionError(
                f"the share of {bank} in opening step {step} has {len(payload)} bytes; "
                f"expected {_DIGEST_BYTES + count * size}"
            )
        if payload[:_DIGEST_BYTES] != summary:
            raise ProtectionError(
                f"{bank} was given another sum of step {step} than {self._keys.own_name}; the operator must explain"
            )
        return [mpz.from_bytes(payload[i : i + size], "big") for i in range(_DIGEST_BYTES, len(payload), size)]


class PaillierCombiner:
    """The server's side: products mod n^2, that is sums under encryption. Holds the public key only.

    Args:
        public_key: phe's public key.

    Raises:
        ProtectionError: the key is too short.
    """

    def __init__(self, public_key: PaillierPublicKey) -> None:
        require_key_bits(public_key.n.bit_length())
        self._n = mpz(public_key.n)

    def combine(self, parts: Sequence[bytes]) -> bytes:
        """Add the parts of one step.

        Raises:
            RemoteProtocolError: a part is malformed, of another step, run, scheme or length than the first, or holds
                a number that is no ciphertext of this key.
        """
        header = header_of_sum(parts, PaillierProtection.name)
        square = self._n * self._n
        totals = _split(parts[0], header, self._n)
        for part in parts[1:]:
            totals = [total * c % square for total, c in zip(totals, _split(part, header, self._n), strict=True)]
        # One gcd shows whether all are units: a product shares a factor with n if and only if one of its factors does.
        product = mpz(1)
        for total in totals:
            product = product * (total % self._n) % self._n
        if gmpy2.gcd(product, self._n) != 1:
            raise RemoteProtocolError(
                "a protected part holds a number that is not a ciphertext: it shares a factor with the public key"
            )
        return _join(header, totals, _ciphertext_bytes(self._n))


def decrypt_raw(key: PaillierKey, ciphertexts: Sequence[mpz]) -> list[mpz]:
    """Residues in [0, n) that ciphertexts hold, mod p and mod q apart (Paillier 1999, section 7).

    The powers release the interpreter's lock, so both primes, and chunks where there are more processors, run side by
    side.
    """
    workers = max(2, os.cpu_count() or 1)
    size = max(1, -(-len(ciphertexts) * 2 // workers))
    chunks = [ciphertexts[i : i + size] for i in range(0, len(ciphertexts), size)]
    p, q = mpz(key.p), mpz(key.q)
    with ThreadPoolExecutor(workers) as pool:
        at_p = [pool.submit(_residues, chunk, p, mpz(key.hp)) for chunk in chunks]
        at_q = [pool.submit(_residues, chunk, q, mpz(key.hq)) for chunk in chunks]
        mod_p = [m for future in at_p for m in future.result()]
        mod_q = [m for future in at_q for m in future.result()]
    inverse = mpz(key.p_inverse)
    return [m_p + p * ((m_q - m_p) * inverse % q) for m_p, m_q in zip(mod_p, mod_q, strict=True)]


def _residues(ciphertexts: Sequence[mpz], prime: mpz, h: mpz) -> list[mpz]:
    """m mod prime = L(c^(prime-1) mod prime^2) * h mod prime, L(x) = (x - 1) / prime."""
    square = prime * prime
    powers = gmpy2.powmod_base_list([c % square for c in ciphertexts], prime - 1, square)
    return [(x - 1) // prime * h % prime for x in powers]


def _slices(count: int, roster: Sequence[str]) -> dict[str, slice]:
    """Bank -> its contiguous part of `count` ciphertexts; parts differ by at most one."""
    edges = [count * k // len(roster) for k in range(len(roster) + 1)]
    return {bank: slice(edges[k], edges[k + 1]) for k, bank in enumerate(roster)}


def _ciphertext_bytes(n: mpz) -> int:
    return 2 * _plaintext_bytes(n)


def _plaintext_bytes(n: mpz) -> int:
    return int(n.bit_length() + 7) // 8


def _join(header: Header, ciphertexts: Sequence[mpz], size: int) -> bytes:
    return header.to_bytes() + b"".join(c.to_bytes(size, "big") for c in ciphertexts)


def _split(message: bytes, header: Header, n: mpz) -> list[mpz]:
    """The ciphertexts of a message, each checked to be in (0, n^2)."""
    size = _ciphertext_bytes(n)
    if len(message) != HEADER_BYTES + header.items * size:
        raise RemoteProtocolError(
            f"a Paillier message has {len(message)} bytes; expected {HEADER_BYTES + header.items * size}"
        )
    ciphertexts = [mpz.from_bytes(message[i : i + size], "big") for i in range(HEADER_BYTES, len(message), size)]
    square = n * n
    if not all(0 < c < square for c in ciphertexts):
        raise RemoteProtocolError(
            "a Paillier message holds a number outside of (0, n^2): it was encrypted under another key, or changed"
        )
    return ciphertexts
