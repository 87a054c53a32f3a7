"""The page at / for an analyst at the loan desk: a handful of static files.

The page holds no data: it reads the model's card and scores through the API, with the key that the analyst types, which stays in the page's
memory. So the files need no key themselves. The content security policy lets the browser run the service's own scripts only, talk to nobody
else, and turn no text into markup (trusted types): an applicant's value can neither be executed nor leave for another host.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    # Kept by the browser, and asked about each time: a new release of the service shows at once.
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    media_type: str
    etag: str


def page_routes() -> list[BaseRoute]:
    """Routes of the page: ``/``, and ``/page/NAME`` for each of its files. They answer GET and HEAD, and 304 to a known ETag."""
    files = _files()
    index = files.pop("index.html")
    return [_route("/", index), *(_route(f"/page/{name}", file) for name, file in sorted(files.items()))]


def _route(path: str, file: _File) -> Route:
    async def send(request: Request) -> Response:
        headers = {**_HEADERS, "ETag": file.etag}
        if _knows(request.headers.get("if-none-match", ""), file.etag):
            return Response(status_code=304, headers=headers)
        return Response(file.content, media_type=file.media_type, headers=headers)

    return Route(path, send, methods=["GET"], include_in_schema=False, name=f"page {path}")


def _knows(if_none_match: str, etag: str) -> bool:
    """Whether If-None-Match names the ETag; compared weakly, since a proxy that compresses makes it weak (RFC 9110, section 13.1.2)."""
    named = (tag.strip().removeprefix("W/") for tag in if_none_match.split(","))
    return any(tag in {"*", etag} for tag in named)


def _files() -> dict[str, _File]:
    """The package's files by name, read once."""
    found = {}
    for entry in resources.files("riskfed.serving").joinpath("page").iterdir():
        media_type = _MEDIA_TYPES.get(f".{entry.name.rpartition('.')[2]}")
        if media_type is not None:
            content = entry.read_bytes()
            found[entry.name] = _File(content, media_type, f'"{hashlib.sha256(content).hexdigest()[:32]}"')
    return found
