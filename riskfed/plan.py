"""What all parties of a run agreed on before it starts. Its digest is bound into every key, mask and envelope of the run."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny, ValidationError, field_validator, model_validator

from riskfed.errors import PlanError
from riskfed.jobs import Job, job_from_dict

MINIMUM_BANKS = 3
"""With two banks, each would learn the other's sums by subtracting its own."""
MINIMUM_PARTIES = 2
"""Where nothing is summed over banks."""
SEALED = "sealed"
"""The protection of runs in which parties send each other envelopes, and nothing is summed."""


class Plan(BaseModel):
    """One run: who takes part, in which job, on which schema, under which protection.

    Attributes:
        run: id of the run; a new one for every run.
        attempt: 1 at first, one more after each resumption.
        roster: names of the banks, sorted; three at least, two where nothing is summed.
        job: what they compute.
        schema_fingerprint: `riskfed.schema.Schema.fingerprint` that every bank must hold.
        protection: how sums are protected, or "sealed" for jobs without sums. There is no unprotected choice.
        key_bits: size of the Paillier modulus: of the sums' key, or the label holder's in a vertical job; masking makes no use of it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")
    attempt: int = Field(default=1, ge=1)
    roster: tuple[str, ...]
    job: SerializeAsAny[Job]
    schema_fingerprint: str = Field(pattern=r"^[0-9a-f]{64}$")
    protection: Literal["masking", "paillier", "sealed"]
    key_bits: int = Field(default=2048, ge=1, le=16384)

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            found = error.errors(include_url=False, include_context=False, include_input=False)
            raise PlanError("; ".join(f"{'.'.join(map(str, e['loc'])) or 'plan'}: {e['msg']}" for e in found)) from None

    @field_validator("job", mode="before")
    @classmethod
    def _job(cls, value: Any) -> Any:
        return job_from_dict(value) if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _suits_job(self) -> Self:
        if self.protection not in self.job.protections:
            raise ValueError(
                f"a {self.job.kind} job is protected by {' or '.join(self.job.protections)}, not by {self.protection}"
            )
        if self.job.releaser is not None and self.job.releaser not in self.roster:
            raise ValueError(f"{self.job.releaser}, which is to release the result, is not in the roster")
        return self

    @model_validator(mode="after")
    def _roster(self) -> Self:
        if self.protection == SEALED:
            if len(self.roster) < MINIMUM_PARTIES:
                raise ValueError(f"{len(self.roster)} parties, at least {MINIMUM_PARTIES} are needed")
        elif len(self.roster) < MINIMUM_BANKS:
            raise ValueError(
                f"{len(self.roster)} banks, at least {MINIMUM_BANKS} are needed: of two, each learns the other's sums by subtraction"
            )
        if list(self.roster) != sorted(set(self.roster)):
            raise ValueError("the roster must be sorted and name each bank once")
        if any(not name or len(name.encode()) > 64 for name in self.roster):
            raise ValueError("a bank's name must have 1 to 64 bytes")
        return self

    @property
    def digest(self) -> bytes:
        """32 bytes that stand for the whole plan."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(b"riskfed plan 1\0" + canonical.encode()).digest()

    @classmethod
    def from_json(cls, text: str | bytes) -> Plan:
        """Read a plan that came over a border.

        Raises:
            PlanError: not JSON, or not a plan.
        """
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError):  # the second: nested without end
            raise PlanError("the plan is not valid JSON") from None
        if not isinstance(fields, dict):
            raise PlanError("the plan is not a JSON object")
        return cls(**fields)
