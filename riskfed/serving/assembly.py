"""Join the service's parts as its settings say. Nothing listens yet, and no model is loaded."""

from __future__ import annotations

from functools import partial

from pydantic import SecretStr

from riskfed.errors import ConfigurationError
from riskfed.serving.access.api_keys import ApiKeys
from riskfed.serving.access.gate import Gate
from riskfed.serving.access.mutual_tls import Certificates
from riskfed.serving.access.oidc import OidcTokens
from riskfed.serving.access.rate_limit import RateLimits
from riskfed.serving.api.metrics import ServiceMetrics
from riskfed.serving.api.service import Service, change_recorder
from riskfed.serving.configuration import AccessSettings, ModelSettings, RecordsSettings, ServingSettings
from riskfed.serving.engine.reason_texts import read_overlay
from riskfed.serving.engine.vertical import build_engine
from riskfed.serving.models.folder import ModelFolder
from riskfed.serving.models.live import LiveModels
from riskfed.serving.models.local_copy import LocalCopy
from riskfed.serving.models.mlflow_registry import MlflowRegistry
from riskfed.serving.models.shadow import Shadow
from riskfed.serving.models.source import ModelSource
from riskfed.serving.partner import PartnerDirectory
from riskfed.serving.records.audit import AuditLog
from riskfed.serving.records.idempotency import IdempotencyStore, store_of

_MEGABYTE = 1 << 20


def service_of(settings: ServingSettings) -> Service:
    """The service that the settings describe.

    Raises:
        ConfigurationError: something that they name is absent or unusable, or the service would listen beyond this machine to anybody.
        ProtectionError: the audit log is broken.
    """
    if settings.access.is_open and not settings.listen.is_loopback:
        raise ConfigurationError(
            f"listen.host is {settings.listen.host}, and nobody would have to say who they are; name access.keys (riskfed api-key add), "
            "access.certificates or access.oidc, or listen on 127.0.0.1"
        )
    records = settings.records
    audit = AuditLog(
        records.folder / "audit", rotate_bytes=records.rotate_megabytes * _MEGABYTE, durable=records.durable
    )
    try:
        return _joined(settings, audit)
    except BaseException:
        audit.close()
        raise


def _joined(settings: ServingSettings, audit: AuditLog) -> Service:
    metrics = ServiceMetrics()
    answers = settings.answers
    texts = None if answers.texts is None else read_overlay(answers.texts)
    scale = None if answers.scale is None else answers.scale.scale()
    partners = PartnerDirectory(settings.partners)
    live = LiveModels(
        _champion(settings.model),
        challenger=_challenger(settings.model),
        copy=LocalCopy(settings.records.folder / "champions") if settings.model.keep_copy else None,
        retained=settings.model.retained,
        build=partial(build_engine, scale=scale, texts=texts, partner=partners.find if settings.partners else None),
        on_change=change_recorder(audit, metrics),
    )
    shadow = None
    if settings.model.challenger is not None:
        shadow = Shadow(live, audit.record_many, approval_rate=answers.approval_rate)
    return Service(
        live=live,
        gate=_gate(settings.access),
        audit=audit,
        idempotency=_store(settings.records),
        shadow=shadow,
        metrics=metrics,
        joint_deadline=answers.joint_deadline,
        partners=partners,
    )


def _champion(model: ModelSettings) -> ModelSource:
    if model.folder is not None:
        return ModelFolder(model.folder)
    return _registry(model, model.alias, model.version)


def _challenger(model: ModelSettings) -> ModelSource | None:
    return None if model.challenger is None else _registry(model, model.challenger, None)


def _registry(model: ModelSettings, alias: str, version: str | None) -> MlflowRegistry:
    if model.tracking_uri is None or model.name is None:
        raise ConfigurationError("model.tracking_uri and model.name say where the registered model is; set both")
    return MlflowRegistry(model.tracking_uri, model.name, alias, version=version)


def _gate(access: AccessSettings) -> Gate:
    oidc = access.oidc
    return Gate(
        keys=None if access.keys is None else ApiKeys(access.keys),
        oidc=None if oidc is None else OidcTokens(oidc.issuer, oidc.audience, scope_prefix=oidc.scope_prefix),
        certificates=None if access.certificates is None else Certificates(access.certificates),
        rates=RateLimits(
            access.rate, storage=access.rate_store or "memory", password=_secret(access.rate_store_password)
        ),
    )


def _store(records: RecordsSettings) -> IdempotencyStore:
    url = records.idempotency_url or f"sqlite:///{records.folder.absolute() / 'idempotency.sqlite'}"
    return store_of(url, hours=records.idempotency_hours, password=_secret(records.idempotency_password))


def _secret(given: SecretStr | None) -> str | None:
    return None if given is None else given.get_secret_value()
