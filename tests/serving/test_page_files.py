"""The page's files over HTTP: what a browser may do with them, and that it asks for each of them once."""

from __future__ import annotations

import asyncio
import re
from importlib import resources

import httpx
import pytest
from starlette.applications import Starlette

from riskfed.serving.api.page import page_routes

FILES = sorted(entry.name for entry in resources.files("riskfed.serving").joinpath("page").iterdir())


def ask(path: str, method: str = "GET", **headers: str) -> httpx.Response:
    async def call() -> httpx.Response:
        transport = httpx.ASGITransport(Starlette(routes=page_routes()))
        async with httpx.AsyncClient(transport=transport, base_url="http://page") as client:
            return await client.request(method, path, headers=headers)

    return asyncio.run(call())


@pytest.mark.parametrize("path", ["/", *(f"/page/{name}" for name in FILES if name != "index.html")])
def test_every_file_is_served_kept_and_confined(path: str) -> None:
    answer = ask(path)
    assert answer.status_code == 200
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert answer.headers["x-content-type-options"] == "nosniff"
    for known in (answer.headers["etag"], f'"x", W/{answer.headers["etag"]}', "*"):
        again = ask(path, **{"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", answer.headers["etag"])
    assert ask(path, **{"If-None-Match": '"x"'}).status_code == 200
    head = ask(path, "HEAD")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(answer.content))


@pytest.mark.parametrize(
    "path", ["/page/", "/page/index.html", "/page/../api/page.py", "/page/%2e%2e/api/page.py", "/x"]
)
def test_there_is_nothing_else(path: str) -> None:
    assert ask(path).status_code == 404


def test_the_files_hold_to_the_policy() -> None:
    for name in FILES:
        text = resources.files("riskfed.serving").joinpath("page", name).read_text()
        assert text.count("\n") < 300, name
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text), f"{name} names another host"
        assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|new Function", text), name
        assert not re.search(r"localStorage|sessionStorage|indexedDB|document\.cookie|caches\.", text), name
    page = resources.files("riskfed.serving").joinpath("page", "index.html").read_text()
    assert not re.search(r"<style|\sstyle=|<script(?![^>]*\ssrc=)|\son\w+=", page), "inline script or style"
