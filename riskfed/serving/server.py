"""Run the scoring API in this process."""

from __future__ import annotations

import ipaddress
import logging
import socket

import uvicorn

from riskfed.errors import ConfigurationError
from riskfed.serving.app import create_app
from riskfed.serving.live import LiveModel
from riskfed.serving.registry_client import MlflowRegistry, ModelSource

_log = logging.getLogger("riskfed.serving")


def serve(
    tracking_uri: str,
    name: str,
    alias: str = "champion",
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    poll_seconds: float = 15.0,
) -> None:
    """Serve the model that `alias` of `name` points at in MLflow's registry, and follow the alias.

    Args:
        tracking_uri: address of an MLflow server.
        name: registered model.
        alias: alias to follow.
        host: address to listen on; loopback by default, because the API has neither TLS nor authentication of its own.
        port: 0 takes a free one.
        poll_seconds: time between two looks at the alias.

    Raises:
        ConfigurationError: `tracking_uri` is not an MLflow server's address, or `host` and `port` cannot be listened on.
        RegistryError: there is no sound model to begin with.
    """
    serve_source(MlflowRegistry(tracking_uri, name, alias), host, port, poll_seconds=poll_seconds)


def serve_source(source: ModelSource, host: str = "127.0.0.1", port: int = 8000, *, poll_seconds: float = 15.0) -> None:
    """Serve the model of any source, a folder for one. Ends at SIGINT or SIGTERM, after the requests under way.

    Raises:
        ConfigurationError: the address cannot be listened on.
        RegistryError: there is no sound model to begin with.
    """
    live = LiveModel(source)
    live.refresh()
    # No access log: it would write paths with their queries, where a mistaken client may have put an applicant's values.
    config = uvicorn.Config(
        create_app(live, poll_seconds=poll_seconds),
        host=host,
        port=port,
        access_log=False,
        server_header=False,
        log_level="warning",
    )
    with _listen(host, port) as listening:
        address, number = listening.getsockname()[:2]
        shown = f"[{address}]" if ":" in address else address
        if not ipaddress.ip_address(address).is_loopback:
            _log.warning(
                "listening beyond this machine without TLS or authentication: put a gateway that has both in front"
            )
        if live.engine is not None:
            print(f"scoring with {live.engine.model} on http://{shown}:{number}/v1/score", flush=True)
        uvicorn.Server(config).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise ConfigurationError(f"cannot listen on {host} port {port} ({error.strerror}); choose another") from None
