"""What schemathesis has to be told of this service: how a stream is sent, and that a new request takes a new Idempotency-Key."""

from __future__ import annotations

import uuid
from typing import Any

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def lines(_: schemathesis.SerializationContext, value: Any) -> bytes:
    """A stream's lines; what is no text is sent as it comes."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


@schemathesis.hook
def before_call(_: schemathesis.HookContext, case: schemathesis.Case, kwargs: dict[str, Any]) -> None:
    """What OpenAPI cannot say of Idempotency-Key: one that was used for another body is refused, and a stream takes none."""
    key = (case.headers or {}).get("Idempotency-Key")
    if not isinstance(key, str) or not (1 <= len(key) <= 255 and all("!" <= sign <= "~" for sign in key)):
        return
    if case.media_type == "application/x-ndjson":
        del case.headers["Idempotency-Key"]
    else:
        case.headers["Idempotency-Key"] = str(uuid.uuid4())
