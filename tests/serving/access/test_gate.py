"""The gate: one order of checks, one kind of error, whatever is sent."""

import asyncio
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from riskfed.serving.access.api_keys import ApiKeys
from riskfed.serving.access.client import ANONYMOUS, SCOPES, AccessError
from riskfed.serving.access.gate import Gate
from riskfed.serving.access.key_file import add_key
from riskfed.serving.access.mutual_tls import PEER, CertificateEntry, Certificates, PeerCertificate
from riskfed.serving.access.oidc import OidcTokens
from riskfed.serving.access.rate_limit import RateLimits


def request(*authorization: str | bytes, peer: PeerCertificate | None = None) -> dict[str, Any]:
    values = [value.encode("latin-1") if isinstance(value, str) else value for value in authorization]
    headers = [(b"host", b"api"), *((b"authorization", value) for value in values)]
    extensions = {"extensions": {PEER: peer}} if peer else {}
    return {"type": "http", "client": ("192.0.2.1", 40_000), "headers": headers, **extensions}


def refusal(gate: Gate, scope: dict[str, Any], needed: Any = "score", cost: int = 1) -> AccessError:
    with pytest.raises(AccessError) as refused:
        asyncio.run(gate.admit(scope, needed, cost))
    return refused.value


@pytest.fixture(scope="module")
def key_and_file(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    file = tmp_path_factory.mktemp("keys") / "keys.json"
    return add_key(file, "loan-desk", ["score", "metrics"]), file


@pytest.fixture(scope="module")
def gate(key_and_file: tuple[str, Path]) -> Iterator[Gate]:
    keys = ApiKeys(key_and_file[1], attempts="100000/second")
    made = Gate(keys=keys, oidc=OidcTokens("http://127.0.0.1:9/none", "riskfed", cooldown=3600))
    yield made
    asyncio.run(made.close())


def test_an_open_gate_lets_everybody_in_and_still_counts() -> None:
    async def use() -> None:
        gate = Gate(rates=RateLimits("3/hour"))
        assert gate.open
        for scope in SCOPES:
            assert await gate.admit(request(), scope) == ANONYMOUS
        await gate.admit(request(), "metrics", cost=0)
        with pytest.raises(AccessError, match="429 Too many requests"):
            await gate.admit(request(), "score")

    asyncio.run(use())


@pytest.mark.parametrize("form", ["Bearer {}", "bearer {}", "BEARER   {}", "Bearer {} "])
def test_the_scheme_may_be_written_in_any_case(gate: Gate, key_and_file: tuple[str, Path], form: str) -> None:
    client = asyncio.run(gate.admit(request(form.format(key_and_file[0])), "metrics"))
    assert (client.name, client.how) == ("loan-desk", "api_key")


def test_a_missing_scope_is_named_and_costs_nothing(key_and_file: tuple[str, Path]) -> None:
    key, file = key_and_file

    async def use() -> None:
        gate = Gate(keys=ApiKeys(file), rates=RateLimits("1/hour"))
        for _ in range(3):
            with pytest.raises(AccessError) as refused:
                await gate.admit(request(f"Bearer {key}"), "models")
            assert refused.value.status == 403
            assert refused.value.challenge.endswith('error="insufficient_scope", scope="models"')
        await gate.admit(request(f"Bearer {key}"), "score")

    asyncio.run(use())


def test_a_stream_is_charged_as_it_goes_on(key_and_file: tuple[str, Path]) -> None:
    key, file = key_and_file

    async def use() -> None:
        gate = Gate(keys=ApiKeys(file), rates=RateLimits("100/hour"))
        client = await gate.admit(request(f"Bearer {key}"), "score", 60)
        await gate.charge(client, 40)
        with pytest.raises(AccessError) as refused:
            await gate.charge(client, 1)
        assert refused.value.status == 429
        assert 0 < (refused.value.retry_after or 0) <= 7200
        with pytest.raises(AccessError, match="send fewer"):
            await gate.charge(client, 101)

    asyncio.run(use())


def test_without_credentials_the_challenge_says_what_to_send(gate: Gate) -> None:
    error = refusal(gate, request())
    assert (error.status, error.challenge) == (401, 'Bearer realm="riskfed"')


@given(
    st.lists(
        st.binary(max_size=80)
        | st.builds(
            lambda scheme, rest: scheme + rest,
            st.sampled_from([b"Bearer ", b"Basic ", b"bearer\t"]),
            st.binary(max_size=60),
        )
        | st.from_regex(rb"Bearer ([A-Za-z0-9_-]{0,12}\.){0,3}[A-Za-z0-9_=-]{0,12}"),
        max_size=2,
    )
)
@example([b"Bearer " + b"a" * 8186])
@example([b"Bearer " + b"a" * 1_000_000])
@example([b"Bearer rf_aaaaaaaa_" + b"a" * 43 + b"\n"])
@example([b"Bearer eyJhbGciOiJub25lIn0.e30."])
@example([b"Bearer eyJhbGciOiJSUzI1NiIsImtpZCI6W119.e30.AA"])
def test_malformed_headers_are_refused_and_nothing_else_happens(gate: Gate, values: list[bytes]) -> None:
    error = refusal(gate, request(*values))
    assert error.status in {401, 503}
    for value in values:
        text = value.decode("latin-1")
        assert len(text) < 12 or text not in str(error) + error.challenge


def test_two_credentials_in_one_request_are_refused(gate: Gate, key_and_file: tuple[str, Path]) -> None:
    bearer = f"Bearer {key_and_file[0]}"
    assert refusal(gate, request(bearer, bearer)).status == 401


PEER_OF_DESK = PeerCertificate("ab" * 32, frozenset({"DNS:desk.bank.example"}), time.time() + 3600)
LIST = {"desk": CertificateEntry(scopes=("score",), names=("DNS:desk.bank.example",))}


def test_a_certificate_counts_where_no_token_is_sent(key_and_file: tuple[str, Path]) -> None:
    key, file = key_and_file

    async def use() -> None:
        gate = Gate(keys=ApiKeys(file), certificates=Certificates(LIST))
        assert (await gate.admit(request(peer=PEER_OF_DESK), "score")).name == "desk"
        assert (await gate.admit(request(f"Bearer {key}", peer=PEER_OF_DESK), "score")).name == "loan-desk"
        # A wrong token is not made good by the certificate: whoever sends one means to be judged by it.
        with pytest.raises(AccessError, match="401"):
            await gate.admit(request("Bearer x", peer=PEER_OF_DESK), "score")

    asyncio.run(use())


def test_with_certificates_alone_the_answer_names_no_scheme() -> None:
    gate = Gate(certificates=Certificates(LIST))
    assert not gate.open
    for scope in (request(), request(peer=PeerCertificate("cd" * 32, frozenset(), time.time() + 60))):
        error = refusal(gate, scope)
        assert (error.status, error.challenge) == (403, "")


def test_nothing_of_a_request_is_logged(gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for value in (
        "Bearer rf_aaaaaaaa_" + "s" * 43,
        "Basic hunter2",
        "Bearer hunter2.hunter2.hunter2",
        "Bearer hunter2",
    ):
        refusal(gate, request(value))
    assert "hunter2" not in caplog.text
    assert "sss" not in caplog.text
