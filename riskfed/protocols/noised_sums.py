"""Protected sums with noise inside: every bank adds a share of it before its values are protected, so that nobody ever holds a sum without.

Each bank adds independent discrete Gaussian noise of such a scale that what is left when the colluding banks, who know their own shares,
take these off still has the scale that the job's epsilon and delta ask for (`riskfed.secure.discrete_gaussian.share_scale`). The
distribution of a sum of shares is that of one discrete Gaussian within a factor of exp(1e-16) at every integer for shares of scale 3 or
more; here they have thousands.

What one development record can change (the L2 sensitivity): its gradient g = p - y and hessian h = p (1 - p) go into one number each, and
because h = |g| (1 - |g|), the pair (g, 3 h) is never longer than 1: g^2 + 9 g^2 (1 - g)^2 rises to 1 at |g| = 1. So hessians are summed
in threefold, which costs nothing and leaves them a third of the noise. No record is clipped, as none could be longer.

A share that left is kept in the bank's journal, and another attempt of the run sends the same one again. A second sample of noise for the
same sum would be a second release; a bank that would have to make one refuses.

Secret: the shares. Who learns what: the banks noised sums, the server nothing.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from riskfed.errors import ConfigurationError, JobError, ProtectionError
from riskfed.evaluation.privacy import PrivacyRecord
from riskfed.jobs import DifferentialPrivacy
from riskfed.protocols.program import Checkpoint, Program, Sum
from riskfed.secure.discrete_gaussian import LARGEST_SCALE, discrete_gaussian, share_scale
from riskfed.secure.privacy_accounting import epsilon_spent, noise_multiplier

BITS: Final = 12
"""Fractional bits of gradients and counts. Coarser than without noise, whose size says what is lost: a thousandth of it or less."""
_HESSIANS: Final = 3
_BOUND: Final = 1 << 58
"""No noised sum of fewer than 2^40 rows is larger."""
_RECORD: Final = (1 << BITS) + 2
"""L2 norm of what a record adds to a pair (g, 3 h), in units: 2^q at most, and rounding of g by 1/2 and of 3 h by 3/2, which is less than
1.6; float32 adds less than 0.1."""
_COVERS: Final = "one development loan, added or removed: totals, trees and leaves"
_NOT_COVERED: Final = "held-out loans, on which every figure is measured without noise"

_Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class NoiseBudget:
    """What a run's sums may tell of a record, and the noise that keeps them to it.

    Attributes:
        privacy: of the job.
        sensitivities: (L2 norm of what one record adds to a sum, in records, and how many such sums).
        multiplier: scale of the noise in units of the L2 norm of all that one record adds to.
        scale: of the noise that must be left, in fixed-point units.
        share: scale of one bank's share.
        banks: how many add one.
    """

    privacy: DifferentialPrivacy
    sensitivities: tuple[tuple[float, int], ...]
    multiplier: float
    scale: int
    share: int
    banks: int

    @classmethod
    def of(cls, privacy: DifferentialPrivacy, sensitivities: Sequence[tuple[float, int]], banks: int) -> NoiseBudget:
        """Find the noise. The same at every bank that has the same release of dp-accounting.

        Raises:
            JobError: as many banks may collude as there are, or no noise that can be made is enough.
            ConfigurationError: dp-accounting is not installed.
        """
        if privacy.colluding_banks >= banks:
            raise JobError(
                f"privacy.colluding_banks is {privacy.colluding_banks} of {banks} banks; somebody's noise must stay unknown: "
                f"at most {banks - 1}"
            )
        multiplier = noise_multiplier(privacy.epsilon, privacy.delta)
        length = math.sqrt(math.fsum(norm * norm * count for norm, count in sensitivities))
        scale = math.ceil(multiplier * length * _RECORD)
        share = share_scale(scale, banks - privacy.colluding_banks)
        if share > LARGEST_SCALE:
            raise JobError(
                f"epsilon {privacy.epsilon:g} over these sums asks for noise of scale {scale / 2**BITS:.3g}; "
                "the job must name a larger epsilon or fewer trees"
            )
        return cls(privacy, tuple(sensitivities), multiplier, scale, share, banks)

    @property
    def sigma(self) -> float:
        """Scale of the noise that is left at least, in units of a gradient."""
        return self.scale / 2**BITS

    @property
    def pooled_sigma(self) -> float:
        """Scale of the noise of a pooled sum, all shares in it, in units of a gradient."""
        return self.share * math.sqrt(self.banks) / 2**BITS

    def record(self) -> PrivacyRecord:
        """What is released of it."""
        spent = [(norm * _RECORD, count) for norm, count in self.sensitivities]
        return PrivacyRecord(
            # Rounded up: the last bits of the accountant's search may differ between banks' machines.
            epsilon=math.ceil(epsilon_spent(self.scale, spent, self.privacy.delta) * 1e6) / 1e6,
            delta=self.privacy.delta,
            noise_multiplier=self.multiplier,
            sigma=self.sigma,
            colluding_banks=self.privacy.colluding_banks,
            splits=self.privacy.splits,
            releases=sum(count for _, count in self.sensitivities),
            covers=_COVERS,
            not_covered=_NOT_COVERED,
        )


@dataclass(slots=True)
class NoisedSums:
    """One bank's side of all noised sums of a run.

    Attributes:
        budget: how much noise, and how many sums.
        sent: release number -> what it was for (hexadecimal) and what this bank sent, in earlier attempts.
        releases: sums so far.
    """

    budget: NoiseBudget
    sent: Mapping[int, tuple[str, _Integers]] = field(default_factory=dict)
    releases: int = 0
    _state: bytes = b"riskfed noised sums v1"

    def sum(self, values: _Integers) -> Program[_Integers]:
        """Add up (k,) int64 numbers of all banks, with noise.

        Raises:
            ProtectionError: in an earlier attempt, this bank has answered another question in this sum's place.
            JobError: more sums than the budget is for.
        """
        if self.releases >= sum(count for _, count in self.budget.sensitivities):
            raise JobError("the job asks for more sums than its privacy budget is for")
        question = self._state.hex()
        noised = self._sent(question, len(values))
        if noised is None:
            noised = values + discrete_gaussian(self.budget.share, len(values))
            yield Checkpoint(_entry(self.releases, question, noised))  # before it leaves
        pooled: _Integers = yield Sum(noised, _BOUND)
        self.releases += 1
        self._state = hashlib.sha256(self._state + pooled.astype("<i8").tobytes()).digest()
        return pooled

    def gradients(self, values: _Integers) -> Program[_Integers]:
        """As `sum`, of g and h in turn; hessians have a third of the noise."""
        weighed = values.copy()
        weighed[1::2] *= _HESSIANS
        pooled = yield from self.sum(weighed)
        pooled = pooled.copy()
        pooled[1::2] = (2 * pooled[1::2] + _HESSIANS) // (2 * _HESSIANS)  # rounded
        return pooled

    def begin(self, releases: int, mark: bytes) -> None:
        """Go on after so many sums, from what all banks have by then: `mark` stands for it, and what is asked next follows from it."""
        self.releases, self._state = releases, mark

    def _sent(self, question: str, size: int) -> _Integers | None:
        if self.releases not in self.sent:
            return None
        asked, noised = self.sent[self.releases]
        if asked != question or len(noised) != size:
            raise ProtectionError(
                "an earlier attempt of this run released another noised sum here; a second one would spend more than the job's epsilon. "
                "The operator must start a new run, which spends another"
            )
        return noised


def sensitivity_of_bins(features: int) -> float:
    """L2 norm, in records, of what a record adds to a level's histograms: it is in one node, and in one bin of each feature."""
    return math.sqrt(features)


def hessian_sigma(budget: NoiseBudget) -> float:
    """Scale of the noise of a pooled hessian, all shares in it."""
    return budget.pooled_sigma / _HESSIANS


def read_sent(journal: Sequence[bytes]) -> tuple[dict[int, tuple[str, _Integers]], list[bytes]]:
    """What a journal says was sent, and its other entries.

    Raises:
        ConfigurationError: it is damaged.
    """
    sent: dict[int, tuple[str, _Integers]] = {}
    others: list[bytes] = []
    try:
        for entry in journal:
            said = json.loads(entry)
            if "noised" not in said:
                others.append(entry)
                continue
            values = np.frombuffer(base64.b64decode(said["noised"], validate=True), dtype="<i8").astype(np.int64)
            sent[int(said["release"])] = (str(said["question"]), values)
    except (ValueError, KeyError, TypeError):
        raise ConfigurationError("the run's checkpoint is damaged; the operator must start a new run") from None
    return sent, others


def _entry(release: int, question: str, noised: _Integers) -> bytes:
    values = base64.b64encode(noised.astype("<i8").tobytes()).decode()
    return json.dumps({"release": release, "question": question, "noised": values}).encode()
