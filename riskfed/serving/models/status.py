"""What is said of the models in use: which are served, what changed, what is wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from riskfed.serving.engine.interface import Engine
from riskfed.serving.models.source import ModelFiles, ModelReference


class UnknownVersionError(LookupError):
    """A version that is not served; the message names those that are.

    Attributes:
        served: those that are, the champion first; none before the first model.
    """

    def __init__(self, served: tuple[str, ...]) -> None:
        super().__init__(f"this version is not served; served are: {', '.join(served) or 'none'}")
        self.served = served


@dataclass(frozen=True, slots=True)
class ServedVersion:
    """A model that requests may use.

    Attributes:
        engine: scores with it.
        role: the champion, or one that was champion before and may still be asked for by its version.
        since: when it became champion last, UTC.
        files: that it was loaded from, with what the registry tells of it.
    """

    engine: Engine
    role: Literal["champion", "retained"]
    since: datetime
    files: ModelFiles = field(repr=False)


@dataclass(frozen=True, slots=True)
class ModelChange:
    """For the audit log.

    Attributes:
        kind: a champion or challenger was taken up; a model was refused, which is told once.
        reference, sha256: which model; of a refused one, the sha256 that the registry states.
        replaced: the one before it, which of a refused one stays.
        reason: why it was refused; "warm start" or "withdrawn" where it was that.
    """

    kind: Literal["champion", "challenger", "refused"]
    reference: ModelReference
    sha256: str
    replaced: ModelReference | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """For ``/readyz``. No part of it holds anything of an applicant.

    Attributes:
        state: "ready_with_problems": a model serves, but the registry is not followed, or its model was refused.
        champion, since: in use, and from when.
        warm_start: the champion is the local copy's, and the registry has not confirmed it yet.
        last_success: when the source was last asked and its champion found in use, or taken up.
        problem: what is wrong with the champion's source, model or copy, and who must act.
        refused: the model that is current at the source and was refused.
        challenger: in the shadow.
        challenger_problem: why there is none, where one is followed and its alias is there; never a reason for `state`.
    """

    state: Literal["ready", "ready_with_problems", "not_ready"]
    champion: ModelReference | None = None
    since: datetime | None = None
    warm_start: bool = False
    last_success: datetime | None = None
    problem: str | None = None
    refused: str | None = None
    challenger: ModelReference | None = None
    challenger_problem: str | None = None
