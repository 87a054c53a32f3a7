"""The key holder's side: it opens masked sums.

Secret: the private key (p and q), and the values where it encrypts its own. Goes out: n; fresh ciphertexts; of every question the
fields of the wanted sums, masked as they are, and none of the others.
"""

from __future__ import annotations

from typing import Any

from gmpy2 import mpz
from numpy.typing import NDArray

from riskfed.errors import ConfigurationError
from riskfed.secure.ciphertext_list import encrypted
from riskfed.secure.encrypted_vectors.encryptor import checked_values
from riskfed.secure.encrypted_vectors.layout import VectorLayout
from riskfed.secure.encrypted_vectors.messages import (
    QUESTION,
    VECTOR,
    number_of_sums,
    read_ciphertexts,
    write_ciphertexts,
    write_opened,
    write_public,
)
from riskfed.secure.paillier import decrypt_raw
from riskfed.secure.paillier_key import PaillierKey, require_key_bits


class VectorKey:
    """Opens masked sums, and encrypts fast, by the key's factors.

    Args:
        key: made for this run; no other party holds it.
        layout: where values and sums lie; of the key's length.

    Attributes:
        public: what the other parties need; once a run.

    Raises:
        ProtectionError: the key is too short.
        ConfigurationError: the layout is for a key of another length.
    """

    def __init__(self, key: PaillierKey, layout: VectorLayout) -> None:
        n = int(key.public_key.n)
        require_key_bits(n.bit_length())
        if layout.key_bits != n.bit_length():
            raise ConfigurationError(
                f"the vectors' layout is for a key of {layout.key_bits} bits; the key has {n.bit_length()}"
            )
        self._key = key
        self._layout = layout
        self._n = mpz(n)
        self.public = write_public(n, layout)

    def encrypt(self, values: NDArray[Any]) -> bytes:
        """A vector's ciphertexts, with n-th powers that are exactly uniform (`riskfed.secure.obfuscator`).

        Args:
            values: (n,) integers, at most the layout's value bound in size.

        Raises:
            LocalProtocolError: too many or too large values, or not integers.
        """
        listed = checked_values(values, self._layout)
        plaintexts = self._layout.pack(listed)
        ciphertexts = encrypted(plaintexts, self._key.obfuscators.draw(len(plaintexts)), self._n)
        return write_ciphertexts(VECTOR, ciphertexts, len(listed), self._layout)

    def open(self, question: bytes | memoryview) -> bytes:
        """The masked sums of a question, for `MaskedSums.reveal`.

        Raises:
            RemoteProtocolError: malformed, of another layout, or holds what is no ciphertext.
            ProtectionError: a plaintext is longer than masked sums are: it was not made by this layout.
        """
        sums = number_of_sums(question)
        ciphertexts = read_ciphertexts(QUESTION, question, sums, self._layout.n_questions(sums), self._layout, self._n)
        return write_opened(self._layout.wanted(decrypt_raw(self._key, ciphertexts), sums), self._layout)

    def __repr__(self) -> str:
        return f"VectorKey({self._layout}, secrets not shown)"
