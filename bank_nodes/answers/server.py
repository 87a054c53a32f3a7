"""Run a feature holder's endpoint: a process of its own, which reads records and parts and nothing else of the bank's.

It holds no key of the federation and cannot reach the vault. Start it by ``riskfed node answer --config bank.toml``.
"""

from __future__ import annotations

import ssl
from typing import Any

import structlog
import uvicorn

from bank_nodes.answers.allowance import Allowance
from bank_nodes.answers.customers import Customers
from bank_nodes.answers.endpoint import PATH, AnswersEndpoint
from bank_nodes.answers.log import AnswersLog
from bank_nodes.answers.parts import PartFolder
from bank_nodes.answers.settings import AnswersConfig
from bank_nodes.config import NodeConfig
from bank_nodes.holdings import load_records, load_schema
from riskfed.errors import ConfigurationError
from riskfed.listening import authority_of, listen_on
from riskfed.log_output import configure_logging
from riskfed.peer_certificate import PeerCertificateProtocol

_SECONDS_TO_FINISH = 5
_CONNECTIONS = 200
_IDLE_SECONDS = 300

diary = structlog.get_logger("answers")


def answer(config: NodeConfig) -> None:
    """Answer until SIGINT or SIGTERM.

    Raises:
        ConfigurationError: there is no section ``[answers]``, a file is unfit, or the address cannot be listened on.
        SchemaError: this party is no feature holder of the schema.
        ContractError: the records do not meet the schema.
        ProtectionError: the log is broken.
    """
    configure_logging()
    if config.answers is None:
        raise ConfigurationError("the node file has no section [answers]; see docs/joint-scoring.md")
    settings = config.answers
    schema = load_schema(config.loan_schema.file).part_of(config.bank)
    if not schema.is_vertical or config.bank == schema.label_holder:
        raise ConfigurationError(f"{config.bank} is the label holder; only feature holders answer")
    customers = Customers(load_records(config.source, schema), schema)
    parts = PartFolder(config.vault.models, schema)
    with AnswersLog(settings.log) as log, listen_on(settings.host, settings.port) as listening:
        allowance = Allowance(settings.per_minute, settings.per_day, log.answered_today)
        server = uvicorn.Server(
            _uvicorn(settings, AnswersEndpoint(customers, parts, settings.client_of, allowance, log))
        )
        limits = {"per_minute": settings.per_minute, "per_day": settings.per_day}
        log.record("opened", clients={name: list(known) for name, known in settings.clients.items()}, **limits)
        diary.info("answering", bank=config.bank, customers=len(customers), parts=len(parts))
        print(f"{config.bank} answers on https://{authority_of(listening)}{PATH}", flush=True)
        server.run(sockets=[listening])


def _uvicorn(settings: AnswersConfig, app: Any) -> uvicorn.Config:
    config = uvicorn.Config(
        app,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        ws="none",
        lifespan="off",
        log_config=None,
        http=PeerCertificateProtocol,
        limit_concurrency=_CONNECTIONS,
        # The label holder keeps its connections: a TLS handshake costs more than a score.
        timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=_SECONDS_TO_FINISH,
        ssl_certfile=str(settings.certificate),
        ssl_keyfile=str(settings.key),
        ssl_ca_certs=str(settings.client_authorities),
        ssl_cert_reqs=ssl.CERT_REQUIRED,
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            "answers.certificate, answers.key and answers.client_authorities must be PEM files that belong together "
            f"({type(error).__name__})"
        ) from None
    if config.ssl is None:
        raise ConfigurationError("TLS could not be set up")
    config.ssl.minimum_version = ssl.TLSVersion.TLSv1_3
    # A client's own certificate may stand in place of an authority's.
    config.ssl.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return config
