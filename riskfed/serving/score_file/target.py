"""Where the scoring service is, and how this side shows who it is. Applicants and keys cross a network under TLS only."""

from __future__ import annotations

import ipaddress
import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from riskfed.errors import ConfigurationError
from riskfed.serving.score_file.exchange import Endpoint

_KEY = re.compile(r"[\x21-\x7e]{1,8192}")


@dataclass(frozen=True, slots=True)
class Credentials:
    """How this side shows who it is.

    Attributes:
        api_key: secret; None for a service that is open, or that knows this side by its certificate.
        ca_file: PEM file with the authority of the service's certificate; None for the system's authorities.
        certificate: PEM file with this side's certificate, for mutual TLS.
        certificate_key: PEM file with its private key; None where it stands in `certificate`.
    """

    api_key: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    certificate: Path | None = None
    certificate_key: Path | None = None


def target(url: str, credentials: Credentials, *, plain_http: bool = False, timeout: float = 60.0) -> Endpoint:
    """The endpoint behind an address such as ``https://scoring.bank.example`` or ``http://127.0.0.1:8000``.

    Args:
        url: of the service; a path in it stands before every path.
        credentials: see there.
        plain_http: whether ``http://`` may lead beyond this machine, as in a container network that nobody else is in.
        timeout: seconds to connect, and between two pieces of an answer.

    Raises:
        ConfigurationError: the address is none, or is not safe; a file cannot be read; the key is none.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if host is None or parts.scheme not in {"http", "https"} or parts.query or parts.fragment or parts.username:
        raise ConfigurationError(
            "--url is no address of a service; expected, for example, https://scoring.bank.example"
        )
    if parts.scheme == "http" and not (plain_http or _is_loopback(host)):
        raise ConfigurationError(
            f"http://{host} would send applicants and the key in clear over a network; expected https://, or --plain-http where "
            "nobody can listen"
        )
    if credentials.api_key is not None and not _KEY.fullmatch(credentials.api_key):
        raise ConfigurationError("the API key is empty, or holds spaces or line ends; give it as it was printed")
    headers = {} if credentials.api_key is None else {"Authorization": f"Bearer {credentials.api_key}"}
    tls = _tls(credentials) if parts.scheme == "https" else None
    return Endpoint(host, port or (443 if tls else 80), parts.path.rstrip("/"), tls, headers, timeout)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _tls(credentials: Credentials) -> ssl.SSLContext:
    named = [path for path in (credentials.ca_file, credentials.certificate, credentials.certificate_key) if path]
    for path in named:
        if not path.is_file():
            raise ConfigurationError(f"there is no file {path}; it is needed for TLS")
    try:
        context = ssl.create_default_context(cafile=credentials.ca_file)
        if credentials.certificate is not None:
            # An encrypted key would make OpenSSL ask on the terminal, where there may be nobody.
            context.load_cert_chain(credentials.certificate, credentials.certificate_key, password="")
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or "not PEM"
        told = ", ".join(str(path) for path in named)
        raise ConfigurationError(
            f"{told} cannot be used for TLS ({reason}); expected PEM files, the key unencrypted"
        ) from None
    return context
