"""The operator's description of one run: a TOML or JSON file whose path the ServerApp gets as ``run-file``."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny, ValidationError, field_validator, model_validator

from riskfed.errors import ConfigurationError
from riskfed.evaluation.limits import Limits as Acceptance
from riskfed.jobs import Job, job_from_dict
from riskfed.plan import Plan
from riskfed.schema import Schema


class SessionSettings(BaseModel):
    """Where the session transport listens.

    Attributes:
        bind: address to listen on.
        port: 0 takes a free one.
        address: name or IP address under which couriers reach `bind`; None where it is the same.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bind: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535)
    address: str | None = None


class Limits(BaseModel):
    """How long the server waits, in seconds.

    Attributes:
        connect_timeout: for all banks to be there.
        round_timeout: for a bank's answer in one round.
        farewell_timeout: for couriers to end their work once the run is over.
        loss_timeout: for a lost bank to come back and the run to get on by a tree, where `RunFile.on_loss` is "wait".
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    connect_timeout: float = Field(default=300, gt=0)
    round_timeout: float = Field(default=1800, gt=0)
    farewell_timeout: float = Field(default=30, gt=0)
    loss_timeout: float = Field(default=3600, gt=0)


class RunFile(BaseModel):
    """One run.

    Attributes:
        job: what the banks compute.
        protection: how sums are protected; where it is left out, "sealed" for a vertical job, which has no sums, else "masking".
        key_bits: size of the Paillier modulus: of the sums' key, or the label holder's in a vertical job.
        transport: "session" (a stream for each bank) or "message" (a Flower message for each step).
        roster: bank -> id of its registered Flower node. The operator binds names to keys here.
        schema_file: the consortium's schema, JSON.
        outcome_file: where the outcome is written, JSON.
        progress_file: where events are appended as JSON lines; None for nowhere.
        metrics_file: where the server's Prometheus metrics are written, for a textfile collector; ends in .prom. None for nowhere.
        release_file: where the finished release is written, JSON.
        state_file: where the run's id and attempt are kept, for ``riskfed train --resume``.
        on_loss: when a bank is lost, "wait" for it within `Limits.loss_timeout` and go on from the last tree that all banks have; or
            "fail" at once, to be resumed by hand.
        session, limits: see there.
        acceptance: limits on the model, which its verdict is held against; banks are not told of them.
        tracking: handed on to whoever makes the listeners.

    Paths are relative to the file's own folder.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    job: SerializeAsAny[Job]
    protection: Literal["masking", "paillier", "sealed"] = "masking"
    key_bits: int = 2048
    transport: Literal["session", "message"] = "session"
    roster: Mapping[str, int]
    schema_file: Path
    outcome_file: Path = Path("outcome.json")
    progress_file: Path | None = Path("progress.jsonl")
    metrics_file: Path | None = None
    release_file: Path = Path("release.json")
    state_file: Path = Path("run-state.json")
    on_loss: Literal["wait", "fail"] = "wait"
    session: SessionSettings = SessionSettings()
    limits: Limits = Limits()
    acceptance: Acceptance = Acceptance()
    tracking: Mapping[str, Any] | None = None

    @field_validator("job", mode="before")
    @classmethod
    def _job(cls, value: Any) -> Any:
        return job_from_dict(value) if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _protected(self) -> Self:
        if "protection" not in self.model_fields_set:
            # Set past the frozen model, as pydantic's own validators do: the file leaves it to the job.
            object.__setattr__(self, "protection", self.job.protections[0])
        return self

    @field_validator("roster")
    @classmethod
    def _one_node_each(cls, roster: Mapping[str, int]) -> Mapping[str, int]:
        if len(set(roster.values())) != len(roster):
            raise ValueError("two banks have the same node")
        return roster

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read and check a file.

        Raises:
            ConfigurationError: unreadable, unknown or impossible settings; names the file.
            JobError: the job has an unsupported parameter.
        """
        try:
            run = cls(**read_fields(path))
        except ValidationError as error:
            found = error.errors(include_url=False, include_context=False, include_input=False)
            reasons = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'run'}: {e['msg']}" for e in found)
            raise ConfigurationError(f"run file {path.name}: {reasons}") from None
        except (ValueError, TypeError):
            raise _no_table(path) from None
        return run._relative_to(path.resolve().parent)

    def _relative_to(self, folder: Path) -> Self:
        names = ("schema_file", "outcome_file", "progress_file", "metrics_file", "release_file", "state_file")
        paths = {name: folder / getattr(self, name) for name in names if getattr(self, name) is not None}
        return self.model_copy(update=paths)

    def save(self, path: Path) -> None:
        """Write the file as JSON."""
        path.write_text(json.dumps(self.model_dump(mode="json"), indent=2) + "\n")

    def load_schema(self) -> Schema:
        """The consortium's schema.

        Raises:
            ConfigurationError: the schema file cannot be read, or is no schema.
        """
        try:
            fields = json.loads(self.schema_file.read_text())
        except (OSError, ValueError):
            raise ConfigurationError(f"schema file {self.schema_file.name} cannot be read, or is not JSON") from None
        if not isinstance(fields, dict):
            raise ConfigurationError(f"schema file {self.schema_file.name} is not a JSON object")
        return Schema(**fields)

    def plan(self, run: str, attempt: int = 1) -> Plan:
        """The plan that all banks are sent, for an attempt of the run with this id.

        Raises:
            PlanError: the roster or the protection is impossible.
            ConfigurationError: see `load_schema`; or job, roster and schema do not go together.
        """
        schema = self.load_schema()
        self._check_split(schema)
        return Plan(
            run=run,
            attempt=attempt,
            roster=tuple(sorted(self.roster)),
            job=self.job,
            schema_fingerprint=schema.fingerprint,
            protection=self.protection,
            key_bits=self.key_bits,
        )

    def _check_split(self, schema: Schema) -> None:
        """Whether the records are split as the job takes them: by rows, or by columns. The vaults check it too; here it is said before
        anybody is asked."""
        if schema.is_vertical != (self.job.releaser is not None):
            held = "names the holder of each feature" if schema.is_vertical else "names no holders of features"
            raise ConfigurationError(
                f"the schema {self.schema_file.name} {held}, which does not suit a {self.job.kind} job; name another schema or job"
            )
        if not schema.is_vertical:
            return
        if self.job.releaser != schema.label_holder:
            raise ConfigurationError(
                f"the job's label_holder is {self.job.releaser}, the schema's is {schema.label_holder}; they must be the same party"
            )
        without = self.job.parties_without_records
        if sorted(self.roster) != sorted({*schema.holders, *without}):
            coordinator = "".join(f" with {name} as coordinator" for name in without)
            raise ConfigurationError(
                f"the roster is {', '.join(sorted(self.roster))}, and features are held by {', '.join(schema.holders)}; a "
                f"{self.job.kind} job needs all of them{coordinator} and nobody else"
            )


def read_fields(path: Path) -> dict[str, Any]:
    """What a run file says, TOML or JSON by its suffix; only its form is checked.

    Raises:
        ConfigurationError: unreadable, or no table.
    """
    try:
        text = path.read_text()
        fields = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise ConfigurationError(f"run file {path.name} cannot be read ({error.strerror})") from None
    except ValueError:
        raise _no_table(path) from None
    if not isinstance(fields, dict):
        raise _no_table(path)
    return fields


def _no_table(path: Path) -> ConfigurationError:
    return ConfigurationError(f"run file {path.name} is not a valid {path.suffix[1:] or 'TOML'} table")
