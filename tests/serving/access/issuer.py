"""A small OpenID Connect issuer over HTTP, for tests."""

import base64
import json
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

RSA = rsa.generate_private_key(65537, 2048)
KEYS: dict[str, tuple[str, Any]] = {
    "RS256": ("RS256", RSA),
    "ES256": ("ES256", ec.generate_private_key(ec.SECP256R1())),
    "EdDSA": ("EdDSA", ed25519.Ed25519PrivateKey.generate()),
}
STRANGER = rsa.generate_private_key(65537, 2048)


def jwk(name: str, algorithm: str, private: Any) -> dict[str, Any]:
    made = jwt.get_algorithm_by_name(algorithm).to_jwk(private.public_key(), as_dict=True)
    return {**made, "kid": name, "use": "sig", "alg": algorithm}


class Issuer:
    """Publishes keys, and signs tokens."""

    def __init__(self) -> None:
        self.published = [jwk(name, *key) for name, key in KEYS.items()]
        # What no service should ever use: a symmetric key, and a key for encryption.
        secret = base64.urlsafe_b64encode(b"s" * 32).decode().rstrip("=")
        self.published.append({"kty": "oct", "k": secret, "kid": "oct", "alg": "HS256"})
        self.published.append({**jwk("encryption", "RS256", STRANGER), "use": "enc"})
        self.asked: Counter[str] = Counter()
        self.says: dict[str, Any] = {}
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked[self.path] += 1
                known = {
                    "/.well-known/openid-configuration": issuer.document(),
                    "/keys?p=1": {"keys": issuer.published},
                }
                body = json.dumps(known.get(self.path)).encode()
                self.send_response(200 if self.path in known else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self._handler = Handler
        self.start(0)

    @property
    def name(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def document(self) -> dict[str, Any]:
        return {"issuer": self.name, "jwks_uri": f"{self.name}/keys?p=1", **self.says}

    def start(self, port: int) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def token(self, name: str = "RS256", *, key: Any = None, algorithm: str = "", **claims: Any) -> str:
        content = {
            "iss": self.name,
            "aud": "riskfed",
            "sub": "desk",
            "scope": "openid riskfed:score riskfed:models",
            "exp": int(time.time()) + 300,
            **claims,
        }
        content = {claim: value for claim, value in content.items() if value is not None}
        known = KEYS.get(name, ("RS256", RSA))
        return jwt.encode(content, key or known[1], algorithm=algorithm or known[0], headers={"kid": name})
