"""How residuals come about under encryption, and what else the mean loss needs.

With U = 2^s u in whole numbers, F for a feature holder's share and L for the label holder's own, and D = 2^r d:

    taylor   D = U_F + (U_L + 2^(r-1) - 2^r y)             u/4 + 1/2 - y, as r = s + 2; feature holders add up their U first
    cubic    D = b' U_F^3 + (3 b' U_L) U_F^2 + (a' 2^2s + 3 b' U_L^2) U_F + (2^(r-1) - 2^r y + a' 2^2s U_L + b' U_L^3)

with a', b' the polynomial's coefficients times 2^24, as r = 3 s + 24. Both are exact: D is the polynomial of the rounded score.

The loss of some rows, of which each party knows a share, and no more is opened than gradients are anyway:

    taylor   sum of ln 2 - 1/2 + 2 d^2,  as loss = ln 2 + u d / 2 + (1/2 - y) u / 2 and d = u/4 + 1/2 - y
             sum d^2 = sum d u_L / 4 + sum d / 2 - sum d y  (label holder)  +  sum d u_F / 4  (each feature holder)
    cubic    sum of ln 2 + u d / 4 + 3/4 (1/2 - y) u + a u^2 / 4; of it, sum u_F t with t = 3/4 (1/2 - y) + a u_L / 2 has
             factors of both parties: one masked sum more

A party's sum of d u is its coefficients times its gradient (`Coefficients.product`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from riskfed.errors import RemoteProtocolError
from riskfed.jobs import VerticalLogistic
from riskfed.linear.descent import FixedPoint
from riskfed.linear.sigmoids import COEFFICIENT_BITS, ResidualPolynomial, polynomial_of
from riskfed.protocols.vertical_logistic.opened import unframe
from riskfed.protocols.vertical_logistic.vectors import CROSS_BITS, label_layout, residual_layout, score_layout
from riskfed.secure.encrypted_vectors import EncryptedVector, MaskedSums, VectorEncryptor
from riskfed.secure.primitives import frame

_DEGREE: Final = 3
_CUBIC_PARTS: Final = 2


@dataclass(frozen=True, slots=True)
class Encryptors:
    """The coordinator's public key, as one party uses it.

    Attributes:
        residuals, labels, scores: for each layout of `riskfed.protocols.vertical_logistic.vectors`.
        polynomial, fixed: of the job.
    """

    residuals: VectorEncryptor
    labels: VectorEncryptor
    scores: VectorEncryptor
    polynomial: ResidualPolynomial
    fixed: FixedPoint

    @classmethod
    def of(
        cls, data: bytes, job: VerticalLogistic, feature_holders: int, key_bits: int, least_key_bits: int
    ) -> Encryptors:
        """From what the coordinator sent.

        Raises:
            RemoteProtocolError: malformed, for other layouts, or not one key.
            ProtectionError: the key is too short.
        """
        layouts = (residual_layout(job, feature_holders, key_bits), label_layout(key_bits), score_layout(job, key_bits))
        publics = unframe(data, job.coordinator)
        if len(publics) != len(layouts):
            raise RemoteProtocolError(
                f"{job.coordinator} sent {len(publics)} keys; expected {len(layouts)}; its operator must act"
            )
        residuals = VectorEncryptor(publics[0], layouts[0], least_key_bits=least_key_bits)
        labels, scores = (residuals.with_layout(*pair) for pair in zip(publics[1:], layouts[1:], strict=True))
        polynomial = polynomial_of(job.sigmoid)
        return cls(residuals, labels, scores, polynomial, FixedPoint.of(polynomial))

    @property
    def reach(self) -> int:
        """No party's fixed-point score is larger in size."""
        return self.fixed.score(self.polynomial.reach)

    def write_scores(self, own: NDArray[np.int64], before: bytes | None, hop: int) -> bytes:
        """A feature holder's message.

        Args:
            own: (n,) its fixed-point scores.
            before: what the feature holder before it sent; None at the first.
            hop: how many were before.

        Raises:
            RemoteProtocolError: `before` is malformed.
        """
        if self.polynomial.degree > 1:
            return frame(self.residuals.encrypt_powers(own, _DEGREE), self.scores.encrypt(own))
        if before is None:
            return self.residuals.encrypt(own)
        return self.residuals.read(before, len(own), bound=hop * self.reach).plus(own).to_bytes()

    def read_residuals(
        self, data: bytes, own: NDArray[np.int64], labels: NDArray[np.int64], hops: int, sender: str
    ) -> tuple[EncryptedVector, list[MaskedSums]]:
        """The label holder's residuals, and what else it has opened for the loss.

        Args:
            data: the last feature holder's message.
            own: (n,) the label holder's fixed-point scores.
            labels: (n,) 1 for default.
            hops: how many feature holders there are.
            sender: the last of them, named in errors.

        Raises:
            RemoteProtocolError: malformed.
        """
        half, one = 1 << (self.fixed.residual_bits - 1), 1 << self.fixed.residual_bits
        if self.polynomial.degree == 1:
            vector = self.residuals.read(data, len(own), bound=hops * self.reach)
            return vector.plus(own + half - one * labels), []
        parts = unframe(data, sender)
        if len(parts) != _CUBIC_PARTS:
            raise RemoteProtocolError(f"{sender} sent {len(parts)} vectors of scores; expected {_CUBIC_PARTS}")
        powers = self.residuals.read_powers(parts[0], len(own), _DEGREE, bound=self.reach)
        vector = powers.polynomial(*self._row_polynomials(own, half - one * labels.astype(object)))
        scores = self.scores.read(parts[1], len(own))
        return vector, [scores.weighted_sums(self._crossing(own, labels)[:, None])]

    def _row_polynomials(self, own: NDArray[np.int64], constant: NDArray[np.object_]) -> tuple[np.ndarray, np.ndarray]:
        """(n, 3) coefficients and (n,) constants, whole numbers beyond int64."""
        linear = round(self.polynomial.linear * 2**COEFFICIENT_BITS) << (2 * self.fixed.score_bits)
        cubic, u = round(self.polynomial.cubic * 2**COEFFICIENT_BITS), own.astype(object)
        coefficients = [linear + 3 * cubic * u * u, 3 * cubic * u, np.full(len(own), cubic, dtype=object)]
        return np.stack(coefficients, axis=1), constant + linear * u + cubic * u * u * u

    def _crossing(self, own: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """(n,) t in fixed point."""
        scores = own / 2.0**self.fixed.score_bits
        weights = 0.75 * (0.5 - labels) + self.polynomial.linear / 2 * scores
        return np.rint(weights * 2.0**CROSS_BITS).astype(np.int64)

    def feature_share(self, product: float, own: NDArray[np.int64]) -> float:
        """A feature holder's share of the loss of some rows.

        Args:
            product: sum of residual times own score.
            own: (n,) its fixed-point scores.
        """
        return product / 4 + self._curved(own)

    def label_share(
        self, product: float, total: float, of_defaults: float, own: NDArray[np.int64], labels: NDArray[np.int64]
    ) -> float:
        """The label holder's share of the loss of some rows, without what is opened for it.

        Args:
            product: sum of residual times own score.
            total, of_defaults: sum of residuals, of all rows and of those in default.
            own: (n,) its fixed-point scores.
            labels: (n,).
        """
        if self.polynomial.degree == 1:
            return product / 4 + total / 2 - of_defaults
        scores = own / 2.0**self.fixed.score_bits
        return product / 4 + self._curved(own) + float((0.75 * (0.5 - labels) * scores).sum())

    def crossed(self, opened: list[list[int]]) -> float:
        """What was opened for the loss; 0 with taylor."""
        return float(sum(sums[0] for sums in opened)) / 2.0 ** (self.fixed.score_bits + CROSS_BITS)

    def mean_loss(self, shares: float, rows: int) -> float:
        """From all parties' shares."""
        if self.polynomial.degree == 1:
            return float(np.log(2.0)) - 0.5 + 2 * shares / rows
        return float(np.log(2.0)) + shares / rows

    def _curved(self, own: NDArray[np.int64]) -> float:
        if self.polynomial.degree == 1:
            return 0.0
        return self.polynomial.linear / 4 * float(np.square(own / 2.0**self.fixed.score_bits).sum())
