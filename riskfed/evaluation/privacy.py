"""What a released model's differential privacy is: part of the release, the report, MLflow and the model card."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

NOT_PRIVATE = "none"
"""What a run without differential privacy says of it."""


class PrivacyRecord(BaseModel):
    """(epsilon, delta)-differential privacy of one record, added or removed, as a run has spent it.

    Attributes:
        epsilon, delta: as the accountant has it, epsilon at most the job's.
        noise_multiplier: scale of the noise in units of all that one record can change in all sums together (L2).
        sigma: scale of the noise of each sum, in units of a gradient, that remains when `colluding_banks` take theirs off.
        colluding_banks: how many may put what they know together, the server included.
        splits: how the trees got their splits, as in `riskfed.jobs.DifferentialPrivacy`.
        releases: noised sums of the run.
        covers: what is protected; not_covered: what is not. In plain words.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    epsilon: float = Field(gt=0)
    delta: float = Field(gt=0, lt=1)
    noise_multiplier: float = Field(gt=0)
    sigma: float = Field(gt=0)
    colluding_banks: int = Field(ge=1)
    splits: Literal["random", "histogram"]
    releases: int = Field(ge=1)
    covers: str
    not_covered: str

    def in_short(self) -> str:
        """One line for a table."""
        return f"epsilon {self.epsilon:.4g}, delta {self.delta:g}, against {self.colluding_banks} colluding banks and the server"


def privacy_line(record: PrivacyRecord | None) -> str:
    """How a report states a run's differential privacy, also where there is none."""
    if record is None:
        return f"{NOT_PRIVATE}: sums are protected from the server, the model itself may tell of single records"
    return f"{record.in_short()}. Covers {record.covers}; not {record.not_covered}"
