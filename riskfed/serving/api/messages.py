"""What is sent to the service under ``/v1`` and what comes back.

Requests are read by these classes. Answers are put together as plain dictionaries, which is several times cheaper, and documented by these
classes; the tests hold the two together.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from riskfed.serving.api.requests import REQUEST_ID_PATTERN
from riskfed.serving.engine.interface import ModelKind

Level = str | int | float
RequestId = Annotated[str, StringConstraints(pattern=REQUEST_ID_PATTERN)]
Version = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]


class _Request(BaseModel):
    """Unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)


class ScoreRequest(_Request):
    """One applicant. Unknown fields are refused."""

    request_id: RequestId | None = Field(
        default=None,
        description="Given back with the score, and kept in the audit log: no personal data. Made up where absent.",
    )
    customer_id: Annotated[str, StringConstraints(min_length=1, max_length=128)] | None = Field(
        default=None,
        description="By which a partner knows the customer, for models that a partner has a part in; never logged.",
    )
    model_version: Version | None = Field(
        default=None, description="Score with this version, if it is still served; by default with the champion."
    )
    applicant: dict[str, Any] = Field(
        description="Field -> value, as in the model's schema; nullable fields may be left out."
    )


class WhatIfRequest(_Request):
    """One applicant, of whom is asked what would change the score."""

    applicant: dict[str, Any] = Field(description="As in a score's request.")
    model_version: Version | None = Field(default=None, description="As in a score's request.")
    features: Annotated[list[str], Field(max_length=16)] | None = Field(
        default=None, description="Fields to vary; by default those of the reasons."
    )


class ServedModel(BaseModel):
    """The model that scored."""

    name: str
    version: str
    alias: str | None = Field(description="the registry's alias that led to it")
    sha256: str = Field(description="of the model's JSON, equal to that of the model which the banks released")


class ReasonAnswer(BaseModel):
    """One of the features that speak most against the applicant."""

    code: str
    text: str = Field(description="in the language that Content-Language names")
    feature: str
    rank: int = Field(ge=1, le=4)
    points_lost: float = Field(gt=0, description="points that this feature costs, against the average loan")


class ScoreAnswer(BaseModel):
    """An applicant's score."""

    request_id: str
    pd: float = Field(ge=0, le=1, description="probability of default")
    score: int = Field(description="points; higher is better")
    score_range: tuple[int, int] = Field(description="points are clipped to this range")
    reasons: list[ReasonAnswer] = Field(max_length=4, description="adverse only, the weightiest first")
    model: ServedModel
    fallback: Literal["deadline", "unknown_customer", "partner_unavailable", "no_customer"] | None = Field(
        default=None, description="why a partner's part is missing; absent where it is not"
    )


class FieldError(BaseModel):
    """One field's problem."""

    pointer: str = Field(description="JSON pointer to the field, as a URI fragment (RFC 6901, section 6)")
    code: Literal["missing", "unknown", "wrong_type", "unknown_level", "out_of_range"]
    detail: str = Field(description="what was expected; never what was received")


class Problem(BaseModel):
    """RFC 9457 problem details."""

    type: str = Field(description="urn:riskfed:problem:..., or about:blank")
    title: str
    status: int
    detail: str
    retry_after: int | None = Field(default=None, description="seconds to wait, as in Retry-After")
    errors: list[FieldError] | None = None


class ItemProblem(BaseModel):
    """In a batch, in place of a score. Pointers begin at the item. Without request_id, as a stream's last line: the stream ends here."""

    request_id: str | None = None
    problem: Problem


class AlternativeAnswer(BaseModel):
    """What another value of one field would give, everything else as it is."""

    feature: str
    text: str
    current: Level | None
    best: Level | None
    best_points: int
    nearest: Level | None = Field(description="the nearest value that is clearly better; null where there is none")
    nearest_points: int | None
    curve: list[tuple[Level | None, int]] = Field(description="value and score, by rising value")


class WhatIfAnswer(BaseModel):
    """An applicant's score, and what would change it."""

    request_id: str
    pd: float = Field(ge=0, le=1)
    score: int
    score_range: tuple[int, int]
    alternatives: list[AlternativeAnswer]
    immutable: list[str] = Field(
        description="features left out: the schema marks them as protected, or as what nobody can change"
    )
    model: ServedModel
    fallback: Literal["no_customer"] | None = Field(
        default=None,
        description="of a model with partners: they are not asked here, so all of this is by the own model; absent of others",
    )


class ModelEntry(BaseModel):
    """A model that can be asked for."""

    name: str
    version: str
    alias: str | None
    sha256: str
    kind: ModelKind
    role: Literal["champion", "retained"]
    since: datetime = Field(description="when this service began to score with it")


class ModelList(BaseModel):
    """The champion, then former ones that can still be asked for."""

    models: list[ModelEntry]


class CardRow(BaseModel):
    """A bin of a scorecard; of a linear model in parts also a standardised column or a partner's score, which have neither figure."""

    feature: str
    bin: str
    woe: float | None
    points: int | None


class FeatureGain(BaseModel):
    """How much a feature does in the trees."""

    feature: str
    gain: float = Field(description="mean loss reduction of its splits; of a one-hot feature, over all its levels")


class Card(BaseModel):
    """What the model is made of: of a scorecard or linear model its table, of trees what they look at."""

    description: str | None = Field(default=None, description="the registry's")
    base_points: int | None = Field(
        default=None, description="points that everybody begins with, where there is a table"
    )
    intercept: float | None = None
    variables: int | None = None
    table: list[CardRow] | None = None
    trees: int | None = None
    depth: int | None = Field(default=None, description="of the deepest tree; 0: leaves alone")
    importance: list[FeatureGain] | None = Field(default=None, description="trees: the most important features first")


class ScaleAnswer(BaseModel):
    """How log-odds become points."""

    base: float
    odds: float
    pdo: float
    minimum: int
    maximum: int


class ModelDetails(ModelEntry):
    """One model with all that a form, or a reader, needs of it."""

    schema_name: str
    schema_version: str
    inputs: dict[str, Any] = Field(description="JSON Schema of an applicant")
    example: dict[str, Any] = Field(description="an applicant, made from the schema; nobody's values")
    score_range: tuple[int, int]
    scale: ScaleAnswer
    languages: list[str] = Field(description="in which reasons are told")
    partners: list[str] = Field(
        description="organisations that are asked for their part of a score, by customer_id; none of most models"
    )
    card: Card
    figures: dict[str, str] = Field(description="what the registry says of it: auc, ks, headline and the like")


class Health(BaseModel):
    """The process is alive."""

    status: Literal["ok"]


class Readiness(BaseModel):
    """Whether it can score, and with what."""

    status: Literal["ready", "ready_with_problems"]
    model: ServedModel
    since: datetime
    warm_start: bool = Field(
        description="the model is the local copy of an earlier run: the registry has not been seen yet"
    )
    last_success: datetime | None = Field(description="when the registry last named a sound model")
    problem: str | None = Field(description="why the registry's model is not in use, or cannot be found out")
    refused: str | None = Field(description="the model that the registry names and that was refused")
    challenger: str | None = Field(description="the model that scores in the shadow")
    challenger_problem: str | None = Field(description="why there is none, where one is meant to be")
