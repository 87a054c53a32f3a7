"""What all kinds of job have in common."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from riskfed.errors import JobError

ReleaseForm = Literal["full", "reduced", "withheld"]
"""What of a finished model leaves the banks; see `Job.release`."""


class Job(BaseModel):
    """Parameters that every kind has.

    Attributes:
        kind: which kind it is.
        validation_fraction: share of rows that every bank holds out. A row is held out by a hash of its own encoded features,
            so the choice does not depend on which bank has the row.
        validation_seed: picks another hash.
        release: what of the model leaves the banks. "full": all of it. "reduced": gains and inner weights left out and covers
            rounded (`riskfed.trees.reduced`), with the same predictions. "withheld": its sha256. Banks keep all of it either way,
            and schema and pooled figures are released either way.
        least_cell: least rows behind anything that is counted or measured for the server: a score cell, or all held-out rows.
        approval_rate: share of held-out loans that the cut-off approves, for swap sets and the treatment of groups.
        champion_sha256: sha256 (hex) of the model that the new one is compared with, loan by loan; every bank must have it. None for none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    aliases: ClassVar[dict[str, str]] = {}
    """Other names of parameters."""
    protections: ClassVar[tuple[str, ...]] = ("masking", "paillier")
    """How what the parties exchange can be protected: schemes for sums, or "sealed" where there are envelopes only."""

    kind: str
    validation_fraction: float = Field(default=0.0, ge=0, le=0.9)
    validation_seed: int = Field(default=0, ge=0)
    release: ReleaseForm = "full"
    least_cell: int = Field(default=20, ge=1)
    approval_rate: float = Field(default=0.8, gt=0, lt=1)
    champion_sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")

    def __init__(self, **parameters: Any) -> None:
        given = _without_aliases(parameters, self.aliases)
        if unknown := sorted(set(given) - set(type(self).model_fields)):
            supported = ", ".join(sorted(set(type(self).model_fields) - {"kind"}))
            raise JobError(f"unsupported parameter {', '.join(unknown)}; supported are {supported}")
        try:
            super().__init__(**given)
        except ValidationError as error:
            raise JobError(_reasons(error)) from None

    @property
    def most_steps(self) -> int:
        """Most `riskfed.protocols.program.Progress` steps that the job reports: one, unless its kind says otherwise."""
        return 1

    @property
    def releaser(self) -> str | None:
        """The party whose result is released, where it is not one that all parties have alike."""
        return None

    @property
    def parties_without_records(self) -> tuple[str, ...]:
        """Parties of the run that hold no records, and do something else."""
        return ()

    @property
    def needs_model(self) -> str | None:
        """sha256 of a model that every bank must have stored before the job can begin."""
        return self.champion_sha256


def kind_of(job: type[Job]) -> str:
    """The one value of a job class's ``kind``."""
    return str(get_args(job.model_fields["kind"].annotation)[0])


def _without_aliases(parameters: dict[str, Any], aliases: dict[str, str]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for name, value in parameters.items():
        full = aliases.get(name, name)
        if full in given:
            raise JobError(f"parameter {full} is given twice")
        given[full] = value
    return given


def _reasons(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_context=False)
    return "; ".join(
        f"{'.'.join(str(part) for part in item['loc']) or 'job'}: {item['msg']}, got {item['input']!r}"
        if item["loc"]
        else item["msg"]
        for item in found
    )
