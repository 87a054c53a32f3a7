"""The fleet's proxy: SuperNodes' calls pass, and nothing else of the SuperLink can be reached, however it is spelt."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from flwr.supernode import fleet_http_client

from riskfed.stack.keys import ServerFiles, write_server_files
from tests.deploy.proxy import DEPLOY, NGINX, Upstream, exchange, nginx

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed (apt-get install nginx-light)")

SITE = (DEPLOY / "nginx" / "riskfed-fleet.conf").read_text()
ONLY_WITHOUT_KEYS = {"register-node", "unregister-node"}
CALLS = re.search(r"/v1/fleet/\(\?<riskfed_name>([a-z|-]+)\)", SITE)[1].split("|")  # type: ignore[index]


@dataclass
class Door:
    upstream: Upstream
    port: int
    fleet: ServerFiles

    def send(self, line: str, headers: str = "", body: bytes = b"") -> tuple[int, list[tuple[str, str]]]:
        """Status, and what reached the SuperLink (method and path)."""
        self.upstream.seen.clear()
        head = f"{line}\r\nHost: localhost\r\nConnection: close\r\n{headers}"
        if "ength" not in headers and "ncoding" not in headers:
            head += f"Content-Length: {len(body)}\r\n"
        answer, _ = exchange(self.port, head.encode("latin-1") + b"\r\n" + body, trust=self.fleet.authority)
        status = int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/") else 0
        return status, [(method, path) for method, path, _, _ in self.upstream.seen]


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("proxy")
    superlink = write_server_files(folder / "superlink")
    upstream = Upstream(superlink)
    with nginx(folder / "nginx", upstream.port, superlink) as (port, fleet):
        yield Door(upstream, port, fleet)
    upstream.shutdown()
    upstream.server_close()


def test_the_calls_are_those_of_the_installed_flower() -> None:
    source = Path(fleet_http_client.__file__).read_text()
    assert set(CALLS) | ONLY_WITHOUT_KEYS == set(re.findall(r'path="/v1/fleet/([a-z-]+)"', source))


@pytest.mark.parametrize("call", CALLS)
def test_what_supernodes_call_passes(door: Door, call: str) -> None:
    assert door.send(f"POST /v1/fleet/{call} HTTP/1.1", body=b"x" * 100) == (200, [("POST", f"/v1/fleet/{call}")])


def test_headers_of_nodes_pass_and_forged_origins_do_not(door: Door) -> None:
    door.send(
        "POST /v1/fleet/get-run HTTP/1.1",
        "flwr-public-key: abc\r\nflwr-signature: def\r\nX-Forwarded-For: 8.8.8.8\r\nForwarded: for=8.8.8.8\r\nX-Forwarded-Proto: http\r\n",
    )
    ((_, _, headers, _),) = door.upstream.seen
    assert (headers["flwr-public-key"], headers["flwr-signature"]) == ("abc", "def")
    assert (headers["X-Forwarded-For"], headers["X-Forwarded-Proto"]) == ("127.0.0.1", "https")
    assert "8.8.8.8" not in str(headers)


REFUSED = [
    "/v1/control/start-run",
    "/v1/control/list-runs",
    "/v1/control/register-node",
    "/v1/runtime/push-messages",
    "/v1/runtime/responses",
    "/v1/fleet/register-node",
    "/v1/fleet/unregister-node",
    "/v1/fleet/",
    "/v1/fleet",
    "/",
    "/health",
    "/docs",
    "/openapi.json",
    # other spellings, of what is refused and of what is allowed
    "/v1/fleet/../control/start-run",
    "/v1/fleet/get-run/../../control/start-run",
    "/v1/fleet/%2e%2e/control/start-run",
    "/v1/fleet/..%2fcontrol/start-run",
    "/v1/fleet/%2e%2e%2fcontrol%2fstart-run",
    "/v1/fleet/..;/control/start-run",
    "/v1/fleet/..\\control/start-run",
    "/v1/control/start-run/../../fleet/get-run",
    "/v1/control/../fleet/get-run",
    "/v1/control/start-run?/v1/fleet/get-run",
    "/v1/control/start-run#/v1/fleet/get-run",
    "/v1/control/start-run%00/v1/fleet/get-run",
    "/v1/control/start-run;/v1/fleet/get-run",
    "//v1/control/start-run",
    "//v1/fleet/get-run",
    "/v1//fleet/get-run",
    "/v1/fleet//get-run",
    "/v1/./fleet/get-run",
    "/v1/fleet/get-run/",
    "/v1/fleet/get-run?x=1",
    "/v1/fleet/get-run?",
    "/v1/fleet/get%2drun",
    "/%76%31/fleet/get-run",
    "/V1/fleet/get-run",
    "/v1/fleet/GET-RUN",
    "/v1/fleet/get-run%20",
    "/v1/fleet/get-run%0a",
    "/v1/fleet/get-run%0d%0aX: y",
    "https://localhost/v1/control/start-run",
    "https://localhost:8000/v1/control/start-run",
    "/https://127.0.0.1:8000/v1/control/start-run",
]


@pytest.mark.parametrize("target", REFUSED)
def test_nothing_else_passes(door: Door, target: str) -> None:
    status, reached = door.send(f"POST {target} HTTP/1.1")
    assert reached == []
    assert status in {400, 404}


@pytest.mark.parametrize(
    "method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "post", "POSTX"]
)
def test_no_other_method_passes(door: Door, method: str) -> None:
    status, reached = door.send(f"{method} /v1/fleet/get-run HTTP/1.1")
    assert reached == []
    assert status in {400, 404, 405}


SMUGGLED = b"POST /v1/control/start-run HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n" + SMUGGLED),
        ("Content-Length: 0\r\nContent-Length: 90\r\n", SMUGGLED),
        ("Transfer-Encoding: chunked\r\n", b"0\r\n\r\n" + SMUGGLED),
        ("Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n" + SMUGGLED),
        ("Transfer-Encoding : chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n" + SMUGGLED),
        ("Content-Length: 0\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n", SMUGGLED),
        ("Content-Length: 0\r\nX-Original-URL: /v1/control/start-run\r\nX-Rewrite-URL: /v1/control/start-run\r\n", b""),
    ],
)
def test_no_request_hides_in_another(door: Door, headers: str, body: bytes) -> None:
    _, reached = door.send("POST /v1/fleet/get-run HTTP/1.1", headers, body)
    assert all(path == "/v1/fleet/get-run" for _, path in reached)


def test_a_pipelined_request_is_judged_like_the_first(door: Door) -> None:
    good = b"POST /v1/fleet/get-run HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
    door.upstream.seen.clear()
    last = SMUGGLED.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    answer, _ = exchange(door.port, good + last, trust=door.fleet.authority)
    assert [path for _, path, _, _ in door.upstream.seen] == ["/v1/fleet/get-run"]
    assert answer.count(b"HTTP/1.1 200") == 1
    assert answer.count(b"HTTP/1.1 404") == 1


def test_http2_is_not_spoken(door: Door) -> None:
    door.upstream.seen.clear()
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000")
    with pytest.raises(ssl.SSLError, match="no application protocol"):
        exchange(door.port, preface, trust=door.fleet.authority, protocols=["h2"])
    for offered in (None, ["h2", "http/1.1"]):
        answer, agreed = exchange(door.port, preface, trust=door.fleet.authority, protocols=offered)
        assert agreed != "h2"
        assert b" 400 " in answer.splitlines()[0]
    assert door.upstream.seen == []


@pytest.mark.parametrize(("size", "status"), [(16 << 20, 200), ((16 << 20) + 1, 413)])
def test_bodies_up_to_the_limit(door: Door, size: int, status: int) -> None:
    got, reached = (
        door.send("POST /v1/fleet/push-object HTTP/1.1", body=bytes(size))
        if status == 200
        else door.send("POST /v1/fleet/push-object HTTP/1.1", f"Content-Length: {size}\r\n")
    )
    assert got == status
    assert len(reached) == (status == 200)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1:DeprecationWarning")
def test_the_certificate_is_the_given_one_and_old_tls_is_refused(door: Door, tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        exchange(door.port, b"", trust=write_server_files(tmp_path / "other").authority)
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        exchange(door.port, b"", trust=door.fleet.authority, tls=ssl.TLSVersion.TLSv1_1)


def test_a_superlink_with_another_certificate_is_not_talked_to(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("impostor")
    upstream = Upstream(write_server_files(folder / "impostor"))
    with nginx(folder / "nginx", upstream.port, write_server_files(folder / "superlink")) as (port, fleet):
        assert Door(upstream, port, fleet).send("POST /v1/fleet/get-run HTTP/1.1") == (502, [])
    upstream.shutdown()
    upstream.server_close()
