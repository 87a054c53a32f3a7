"""Differential privacy of a training job: how much of any one development record a model may tell."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class DifferentialPrivacy(BaseModel):
    """(epsilon, delta)-differential privacy for one development record, added or removed (Dwork et al. 2006).

    Noise is added inside the protected sum, a share by each bank, so that nobody ever holds a sum without it.

    Attributes:
        epsilon, delta: of everything that is derived from development records. Held-out loans are measured without noise.
        colluding_banks: so many banks may put what they know together, the server included, and the rest of the noise still has the
            stated size. Each bank knows its own share: 1 at least.
        splits: how trees get their splits. "random": drawn without looking at records, which leaves all of the budget to the leaves.
            "histogram": by noised histograms (both in Maddock et al. 2022, ACM CCS).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    epsilon: float = Field(gt=0, le=100)
    delta: float = Field(default=1e-6, gt=0, lt=1)
    colluding_banks: int = Field(default=1, ge=1)
    splits: Literal["random", "histogram"] = "random"
