"""How a run ended, for whoever started it: Flower itself says only that a run failed, not why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self

from riskfed.files import read_record, write_record


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    Attributes:
        status: "finished"; "unrecorded" if the model is out but tracking could not record all of it; "failed".
        reason: why, unless finished.
        run: the run's id.
        transport, protection: as in the run file.
        seconds: wall time in the ServerApp, waiting for the banks included.
        attempts: attempts that this ServerApp has begun; more than one where a bank was lost and came back.
        rounds: lock-steps served.
        job: its kind.
        trees: trees grown, or steps of a job that grows none.
        received, sent: bytes by bank, as the server sees it.
        unconfirmed: bank -> why it did not confirm that it has stored the model.
        tracking: facts from the listeners, such as the id of the run in MLflow.
    """

    status: Literal["finished", "unrecorded", "failed"]
    reason: str = ""
    run: str = ""
    transport: str = ""
    protection: str = ""
    seconds: float = 0.0
    attempts: int = 1
    rounds: int = 0
    job: str = ""
    trees: int = 0
    received: Mapping[str, int] = field(default_factory=dict)
    sent: Mapping[str, int] = field(default_factory=dict)
    unconfirmed: Mapping[str, str] = field(default_factory=dict)
    tracking: Mapping[str, str] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write as JSON."""
        write_record(path, self)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            ConfigurationError: absent or malformed.
        """
        return read_record(cls, path, f"{path.name} is absent or is not a run's outcome")
