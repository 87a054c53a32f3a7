"""What the scoring service is told: a TOML file (``riskfed serve --config FILE``), each key overridden by RISKFED_SERVING__SECTION__KEY.

docs/scoring.md has a file with every key.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from riskfed.scorecard.points import ScoreScale
from riskfed.serving.partner import PartnerSettings
from riskfed.settings_file import FileSettings


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelSettings(Section):
    """Which model is served: one of MLflow's registry, or a folder.

    Attributes:
        tracking_uri: address of the MLflow server (http, https); credentials from MLflow's own environment variables.
        name: registered model.
        alias: the alias whose version is served, and followed when it moves.
        version: serve this version whatever the alias says.
        challenger: alias of a second version, scored beside the first and never answered with.
        folder: a model's folder in place of the registry; looked at as often.
        poll_seconds: time between two looks.
        retained: former champions that can still be asked for by their version.
        keep_copy: whether champions are kept in the records' folder, for a start while the registry is down.
    """

    tracking_uri: str | None = None
    name: str | None = None
    alias: str = "champion"
    version: str | None = None
    challenger: str | None = None
    folder: Path | None = None
    poll_seconds: float = Field(default=15.0, ge=0.1, le=3600)
    retained: int = Field(default=2, ge=0, le=20)
    keep_copy: bool = True

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.folder is None) == (self.tracking_uri is None):
            raise ValueError("expected either tracking_uri and name, a model of MLflow's registry, or folder")
        if (self.tracking_uri is None) != (self.name is None):
            raise ValueError("tracking_uri and name go together")
        if self.folder is not None and (self.version or self.challenger):
            raise ValueError("version and challenger are for models of MLflow's registry")
        return self


class ListenSettings(Section):
    """Where it listens, and by which certificate it is known.

    Attributes:
        host, port: loopback and 8000; port 0 takes a free one.
        certificate, key: PEM files of the service's own TLS certificate and key.
        client_authorities: PEM file; clients may show a certificate of these authorities (``access.certificates`` says who is who).
    """

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    certificate: Path | None = None
    key: Path | None = None
    client_authorities: Path | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together")
        if self.client_authorities is not None and self.certificate is None:
            raise ValueError("client_authorities needs TLS: certificate and key")
        return self

    @property
    def is_loopback(self) -> bool:
        """Whether nobody beyond this machine is heard."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


class OidcSettings(Section):
    """Bearer tokens of an OpenID Connect provider (extra ``oidc``).

    Attributes:
        issuer: its address, as in the tokens' ``iss``.
        audience: what the tokens' ``aud`` must name.
        scope_prefix: of this service's scopes among the token's: "riskfed:score" gives the scope score.
    """

    issuer: str
    audience: str
    scope_prefix: str = "riskfed:"


class AccessSettings(Section):
    """Who may ask. With none of the three, anybody on this machine may, and nobody else is listened to.

    Attributes:
        keys: file of API keys, written by ``riskfed api-key``.
        certificates: TOML file that says which client certificate is whose.
        oidc: see `OidcSettings`.
        rate: applicants that one client may have scored, such as "600/minute"; None: no limit.
        rate_store: Redis URL, where several services share the limits; None: each counts by itself.
        rate_store_password: of that Redis; from the environment only.
    """

    keys: Path | None = None
    certificates: Path | None = None
    oidc: OidcSettings | None = None
    rate: str | None = None
    rate_store: str | None = None
    rate_store_password: SecretStr | None = None

    @property
    def is_open(self) -> bool:
        """Whether nobody has to say who they are."""
        return self.keys is None and self.certificates is None and self.oidc is None


class RecordsSettings(Section):
    """What is kept.

    Attributes:
        folder: holds the audit log, the idempotency store and copies of champions; for one process alone.
        rotate_megabytes: size at which the audit log goes on in a new file.
        durable: "each": an answer leaves when its line is on the disk; "second": at most a second later, so that a power failure (not a
            crash of the process) may lose that much.
        idempotency_url: "postgresql://..." or "redis://..." where several services share the store; None: SQLite in `folder`.
        idempotency_password: of that store; from the environment only.
        idempotency_hours: how long a repeated request gets the first one's answer.
    """

    folder: Path = Path("scoring")
    rotate_megabytes: int = Field(default=64, ge=1, le=4096)
    durable: Literal["each", "second"] = "second"
    idempotency_url: str | None = None
    idempotency_password: SecretStr | None = None
    idempotency_hours: float = Field(default=24.0, gt=0, le=24 * 365)


class ScaleSettings(Section):
    """A scale of points; see `ScoreScale`."""

    base: float = 600.0
    odds: float = Field(default=50.0, gt=0)
    pdo: float = Field(default=20.0, gt=0)
    minimum: int = 300
    maximum: int = 850

    def scale(self) -> ScoreScale:
        """The scale.

        Raises:
            ConfigurationError: minimum is not below maximum.
        """
        return ScoreScale(self.base, self.odds, self.pdo, self.minimum, self.maximum)


class AnswerSettings(Section):
    """How scores are told.

    Attributes:
        texts: TOML file with reasons' texts by language, over those of the schema.
        scale: of all models; None takes a scorecard's own, and for trees 600 points at 50:1 and 20 to double the odds.
        approval_rate: share of applicants that is taken to be approved where champion and challenger are compared.
        joint_deadline: seconds that partners may take for their part of a score.
    """

    texts: Path | None = None
    scale: ScaleSettings | None = None
    approval_rate: float = Field(default=0.8, gt=0, lt=1)
    joint_deadline: float = Field(default=0.2, gt=0, le=10)


class ServingSettings(FileSettings):
    """Everything that the scoring service is told. Read it by `ServingSettings.read`.

    Attributes:
        partners: feature holders that are asked where the champion is a vertical model (docs/joint-scoring.md).
    """

    prefix: ClassVar[str] = "RISKFED_SERVING__"
    secrets: ClassVar[tuple[tuple[str, str], ...]] = (
        ("records", "idempotency_password"),
        ("access", "rate_store_password"),
    )
    called: ClassVar[str] = "service file"

    model: ModelSettings
    listen: ListenSettings = ListenSettings()
    access: AccessSettings = AccessSettings()
    records: RecordsSettings = RecordsSettings()
    answers: AnswerSettings = AnswerSettings()
    partners: tuple[PartnerSettings, ...] = ()
