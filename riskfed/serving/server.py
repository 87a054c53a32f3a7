"""Run the scoring service in this process."""

from __future__ import annotations

import logging
import socket
import ssl
from typing import Any

import uvicorn

from riskfed.errors import ConfigurationError
from riskfed.listening import authority_of, listen_on
from riskfed.log_output import configure_logging
from riskfed.serving.access.mutual_tls import PeerCertificateProtocol
from riskfed.serving.api.app import create_app
from riskfed.serving.assembly import service_of
from riskfed.serving.configuration import ListenSettings, ServingSettings

_log = logging.getLogger("riskfed.serving")
_SECONDS_TO_FINISH = 20
_CONNECTIONS = 1000


def serve(settings: ServingSettings) -> None:
    """Serve until SIGINT or SIGTERM, and finish the requests under way.

    Raises:
        ConfigurationError: something that the settings name is absent or unusable, or the address cannot be listened on.
        RegistryError: there is no sound model to begin with, neither in the registry nor as a copy.
        ProtectionError: the audit log is broken.
    """
    configure_logging()
    service = service_of(settings)
    try:
        with listen_on(settings.listen.host, settings.listen.port) as listening:
            service.live.start()
            server = uvicorn.Server(_uvicorn(settings, create_app(service, poll_seconds=settings.model.poll_seconds)))
            _announce(settings.listen, listening, str(service.engine().model))
            server.run(sockets=[listening])
    finally:
        if service.audit is not None:
            service.audit.close()


def _uvicorn(settings: ServingSettings, app: Any) -> uvicorn.Config:
    listen = settings.listen
    # No access log: it would write paths with their queries, where a mistaken client may have put an applicant's values.
    options: dict[str, Any] = {
        "access_log": False,
        "server_header": False,
        # X-Forwarded-For would let a client choose the address that its wrong keys count against.
        "proxy_headers": False,
        "ws": "none",
        "log_config": None,
        "limit_concurrency": _CONNECTIONS,
        "timeout_graceful_shutdown": _SECONDS_TO_FINISH,
    }
    if listen.certificate is not None and listen.key is not None:
        options |= {"ssl_certfile": str(listen.certificate), "ssl_keyfile": str(listen.key)}
    if listen.client_authorities is not None:
        # A certificate is asked for and not demanded: whether one is needed says the gate, which also takes keys and tokens.
        options |= {
            "ssl_ca_certs": str(listen.client_authorities),
            "ssl_cert_reqs": ssl.CERT_OPTIONAL,
            "http": PeerCertificateProtocol,
        }
    config = uvicorn.Config(app, **options)
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"listen.certificate, listen.key and listen.client_authorities must be PEM files that belong together ({type(error).__name__})"
        ) from None
    return config


def _announce(listen: ListenSettings, listening: socket.socket, model: str) -> None:
    scheme = "http" if listen.certificate is None else "https"
    if scheme == "http" and not listen.is_loopback:
        _log.warning("listening beyond this machine without TLS: keys can be read on the way, unless a gateway has TLS")
    print(f"scoring with {model} on {scheme}://{authority_of(listening)}/v1/score", flush=True)
