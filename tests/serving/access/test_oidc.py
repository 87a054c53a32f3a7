"""Access tokens of a real small issuer over HTTP: what counts, what does not, and what happens when the issuer is away."""

import asyncio
import base64
import hashlib
import hmac
import logging
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from riskfed.errors import ConfigurationError
from riskfed.serving.access import oidc
from riskfed.serving.access.client import AccessError, Client
from riskfed.serving.access.oidc import OidcTokens
from tests.serving.access.issuer import KEYS, RSA, STRANGER, Issuer, jwk


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    made = Issuer()
    yield made
    made.stop()


def tokens(issuer: Issuer, **settings: Any) -> OidcTokens:
    return OidcTokens(issuer.name, "riskfed", **{"cooldown": 0.0, **settings})


async def refusal(service: OidcTokens, token: str) -> AccessError:
    with pytest.raises(AccessError) as refused:
        await service.verify(token)
    return refused.value


@pytest.mark.parametrize("name", list(KEYS))
def test_a_good_token_is_its_client(issuer: Issuer, name: str) -> None:
    async def use() -> None:
        service = tokens(issuer)
        for _ in range(3):
            assert await service.verify(issuer.token(name)) == Client("desk", frozenset({"score", "models"}), "oidc")
        assert issuer.asked.total() == 2
        await service.close()

    asyncio.run(use())


def unsigned(token: str) -> str:
    header = base64.urlsafe_b64encode(b'{"alg":"none","kid":"RS256"}').decode().rstrip("=")
    return f"{header}.{token.split('.')[1]}."


def hmac_under_the_public_key(issuer: Issuer) -> str:
    """Signed by HS256 with the published key's text, by hand, because PyJWT refuses to."""

    def part(content: bytes) -> str:
        return base64.urlsafe_b64encode(content).decode().rstrip("=")

    public = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signed = part(b'{"alg":"HS256","kid":"RS256"}') + "." + issuer.token().split(".")[1]
    return f"{signed}.{part(hmac.digest(public, signed.encode(), hashlib.sha256))}"


def forged(issuer: Issuer) -> dict[str, str]:
    now, good = int(time.time()), issuer.token()
    head, body, signature = good.split(".")
    return {
        "audience": issuer.token(aud="another-service"),
        "no audience": issuer.token(aud=None),
        "issuer": issuer.token(iss="http://127.0.0.1:1"),
        "expired": issuer.token(exp=now - 31),
        "no end": issuer.token(exp=None),
        "endless": issuer.token(exp=float("inf")),
        "not yet": issuer.token(nbf=now + 600),
        "from the future": issuer.token(iat=now + 600),
        "alg none": unsigned(good),
        "HS256 with the public key": hmac_under_the_public_key(issuer),
        "HS256 with the published secret": issuer.token("oct", key=b"s" * 32, algorithm="HS256"),
        "key for encryption": issuer.token("encryption", key=STRANGER),
        "another algorithm of the key": issuer.token("RS256", algorithm="RS512"),
        "a stranger's signature": issuer.token(key=STRANGER),
        "unknown kid": issuer.token("unknown"),
        "changed claims": f"{head}.{issuer.token(scope='riskfed:metrics').split('.')[1]}.{signature}",
        "no signature": f"{head}.{body}.",
        "no client": issuer.token(sub=None),
        "a client that breaks lines": issuer.token(sub="a\nb"),
        "a client that is a list": issuer.token(azp=["desk"]),
    }


def test_every_other_token_is_refused_with_one_text(issuer: Issuer) -> None:
    async def use() -> dict[str, tuple[str, str]]:
        service = tokens(issuer)
        errors = {why: await refusal(service, token) for why, token in forged(issuer).items()}
        await service.close()
        return {why: (str(error), error.challenge) for why, error in errors.items()}

    said = asyncio.run(use())
    assert len(said) == 20
    assert len(set(said.values())) == 1, said
    assert said["expired"][0].startswith("401")


def test_clocks_may_differ_by_half_a_minute(issuer: Issuer) -> None:
    async def use() -> None:
        service, now = tokens(issuer), int(time.time())
        await service.verify(issuer.token(exp=now - 15, nbf=now + 15, iat=now + 15))

    asyncio.run(use())


@pytest.mark.parametrize(
    ("claims", "name", "scopes"),
    [
        ({"azp": "azp", "client_id": "id"}, "azp", {"score", "models"}),
        ({"client_id": "id"}, "id", {"score", "models"}),
        ({"scope": None, "scp": ["riskfed:metrics", "other:score", 3]}, "desk", {"metrics"}),
        ({"scope": None, "scp": "riskfed:score"}, "desk", {"score"}),
        ({"scope": "score models riskfed:everything"}, "desk", set()),
        ({"scope": {"riskfed:score": 1}}, "desk", set()),
        ({"scope": None}, "desk", set()),
    ],
)
def test_name_and_scopes(issuer: Issuer, claims: dict[str, Any], name: str, scopes: set[str]) -> None:
    client = asyncio.run(tokens(issuer).verify(issuer.token(**claims)))
    assert (client.name, client.scopes) == (name, frozenset(scopes))


def test_a_remembered_token_ends_with_its_time_and_with_its_key(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified, decode = Counter[str](), jwt.decode

    def count(token: str, *arguments: Any, **settings: Any) -> Any:
        verified[token] += 1
        return decode(token, *arguments, **settings)

    monkeypatch.setattr(jwt, "decode", count)

    async def use() -> None:
        service, token = tokens(issuer), issuer.token()
        for _ in range(3):
            await service.verify(token)
        assert verified[token] == 1
        now = time.time()
        with monkeypatch.context() as later:
            later.setattr(oidc.time, "time", lambda: now + 331)
            await service.verify(token)  # judged anew; PyJWT has a clock of its own
        assert verified[token] == 2
        issuer.published = [key for key in issuer.published if key["kid"] != "RS256"]
        await refusal(service, issuer.token("unknown"))  # makes the service ask
        assert (await refusal(service, token)).status == 401

    asyncio.run(use())


def test_a_new_key_is_found_and_unknown_ids_do_not_flood_the_issuer(issuer: Issuer) -> None:
    new = rsa.generate_private_key(65537, 2048)

    async def use() -> None:
        patient, eager = tokens(issuer, cooldown=3600), tokens(issuer)
        for service in (patient, eager):
            await service.verify(issuer.token())
        issuer.published = [jwk("new", "RS256", new)]
        issuer.asked.clear()
        errors = await asyncio.gather(*(refusal(patient, issuer.token(f"unknown-{number}")) for number in range(50)))
        assert {error.status for error in errors} == {401}
        assert issuer.asked.total() == 0
        # Many at once wait for one question.
        clients = await asyncio.gather(*(eager.verify(issuer.token("new", key=new, n=n)) for n in range(20)))
        assert {client.name for client in clients} == {"desk"}
        assert issuer.asked.total() == 2

    asyncio.run(use())


def test_when_the_issuer_is_down_known_keys_go_on_working(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    async def use() -> None:
        service, cold = tokens(issuer), tokens(issuer)
        await service.verify(issuer.token())
        issuer.stop()
        monkeypatch.setattr(oidc, "_FRESH", 0.0)  # due for reading anew, too
        for number in range(3):
            await service.verify(issuer.token(number=number))
        for asked in (service, cold):
            error = await refusal(asked, issuer.token("new", key=RSA))
            assert (error.status, error.challenge) == (503, "")
            assert error.retry_after is not None
        issuer.start(issuer.port)
        assert (await cold.verify(issuer.token())).name == "desk"

    asyncio.run(use())


@pytest.mark.parametrize(
    "says", [{"issuer": "http://127.0.0.1:1"}, {"jwks_uri": "http://issuer.example/keys"}, {"jwks_uri": None}]
)
def test_a_discovery_document_that_is_not_the_issuers_is_not_believed(issuer: Issuer, says: dict[str, Any]) -> None:
    issuer.says = says
    assert asyncio.run(refusal(tokens(issuer), issuer.token())).status == 503


@pytest.mark.parametrize(
    "issuer_name",
    ["http://issuer.example", "https://user:hunter2@issuer.example", "ftp://x", "https://", "https://a?b", ""],
)
def test_an_issuer_without_tls_is_refused(issuer_name: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        OidcTokens(issuer_name, "riskfed")
    assert "hunter2" not in str(refused.value)


def test_no_token_is_logged(issuer: Issuer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "riskfed")

    async def use() -> list[str]:
        service = tokens(issuer)
        sent = [issuer.token(), *forged(issuer).values()]
        for token in sent[1:]:
            await refusal(service, token)
        await service.verify(sent[0])
        return [*sent, repr(vars(service))]

    *sent, shown = asyncio.run(use())
    for token in sent:
        assert token not in caplog.text + shown
        assert (token.rsplit(".", 1)[1] or "none") not in caplog.text
