"""The label holder's side of the gradient cipher: it holds the key.

Secret: the private key (p and q), the gradients, the sums that it opens. Goes out: n, the layout, and fresh ciphertexts, each
with an n-th power of its own, exactly uniform (`riskfed.secure.obfuscator`).
"""

from __future__ import annotations

import numpy as np
from gmpy2 import mpz
from numpy.typing import NDArray

from riskfed.errors import ConfigurationError
from riskfed.secure.ciphertext_list import encrypted
from riskfed.secure.gradient_cipher.layout import CipherLayout
from riskfed.secure.gradient_cipher.messages import CELLS, ROWS, read_ciphertexts, write_ciphertexts, write_public
from riskfed.secure.paillier import decrypt_raw
from riskfed.secure.paillier_key import PaillierKey, require_key_bits


class GradientOwner:
    """Encrypts gradients of rows and opens sums of cells.

    Args:
        key: made for this run; no other party holds it.
        layout: where rows and cells lie; of the key's length.

    Attributes:
        public: what feature holders need; once a run.

    Raises:
        ProtectionError: the key is too short.
        ConfigurationError: the layout is for a key of another length.
    """

    def __init__(self, key: PaillierKey, layout: CipherLayout) -> None:
        n = int(key.public_key.n)
        require_key_bits(n.bit_length())
        if layout.key_bits != n.bit_length():
            raise ConfigurationError(
                f"the cipher's layout is for a key of {layout.key_bits} bits; the key has {n.bit_length()}"
            )
        self._key = key
        self._layout = layout
        self._n = mpz(n)
        self.public = write_public(n, layout)

    def encrypt(self, g: NDArray[np.int64], h: NDArray[np.int64]) -> bytes:
        """A tree's gradients as ciphertexts.

        Args:
            g, h: (n,) int64 fixed point, of the development rows in their common order; h >= 0.

        Raises:
            LocalProtocolError: unequal lengths, a negative h, or sums beyond the layout's bounds.
        """
        plaintexts = self._layout.pack_rows(g, h)
        powers = self._key.obfuscators.draw(len(plaintexts))
        return write_ciphertexts(ROWS, encrypted(plaintexts, powers, self._n), self._layout.key_bits)

    def decrypt(self, answer: bytes, n_cells: int) -> NDArray[np.int64]:
        """The sums of g and h that an answer holds.

        Args:
            answer: what `GradientSummer.answer` gave.
            n_cells: number of cells that were asked for.

        Returns:
            (n_cells, 2) int64.

        Raises:
            RemoteProtocolError: malformed, or of another number of cells.
            ProtectionError: a sum is not within the bounds.
        """
        ciphertexts = read_ciphertexts(CELLS, answer, self._layout.n_answers(n_cells), self._n)
        return self._layout.unpack_cells(decrypt_raw(self._key, ciphertexts), n_cells)

    def __repr__(self) -> str:
        return f"GradientOwner({self._layout}, secrets not shown)"
