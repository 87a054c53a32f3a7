"""Monitoring: how a model in use does on recent loans."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from riskfed.jobs.base import Job


class ModelMonitoring(Job):
    """Measure a model that the banks hold on their recent loans, against what it was developed on.

    Attributes:
        model_sha256: sha256 (hex) of the full model, which every bank must have stored.
        cohorts: cohorts that are recent, of the schema's attribute with the role "cohort"; empty: all loans that the banks hold now.

    `riskfed.jobs.base.Job` has the parameters of all kinds; nothing is held out, and no model is released.
    """

    kind: Literal["model_monitoring"] = "model_monitoring"
    model_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    cohorts: tuple[str | int, ...] = ()

    @property
    def needs_model(self) -> str | None:
        """The model itself."""
        return self.model_sha256
