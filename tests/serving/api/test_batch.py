"""POST /v1/score:batch: the same answers as one by one, in an array or a stream, whatever happens in between."""

import asyncio
import itertools
import json
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskfed.errors import AuditError
from riskfed.serving.access.gate import Gate
from riskfed.serving.access.rate_limit import RateLimits
from riskfed.serving.api.items import SLICE
from riskfed.serving.api.messages import ItemProblem, ScoreAnswer
from riskfed.serving.api.service import BodyLimits
from tests.serving.api.client import OTHER, SOUND, Api, lines_of, listening, put
from tests.serving.models import make_release

PATH = "/v1/score:batch"
WRONG = {"income": -1, "late payments": "one"}
ENTRIES: list[Any] = [
    {"request_id": "a", "applicant": SOUND},
    {"request_id": "b", "applicant": WRONG},
    {"applicant": OTHER},
    7,
    {"request_id": "c", "applicant": OTHER, "model_version": "none"},
    {"request_id": "not an id", "applicant": OTHER},
    {"request_id": "d", "applicant": OTHER, "extra": 1},
]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Api:
    return Api(tmp_path_factory.mktemp("api"))


def nameless(content: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in content.items() if name != "request_id"}


def test_an_array_gets_the_answers_that_its_entries_get_alone(api: Api) -> None:
    answer = api("POST", PATH, json=ENTRIES)
    assert (answer.status_code, answer.headers["content-language"]) == (200, "en")
    found = answer.json()
    batch_id = answer.headers["x-request-id"]
    assert [one["request_id"] for one in found] == [
        "a",
        "b",
        f"{batch_id}:2",
        f"{batch_id}:3",
        "c",
        f"{batch_id}:5",
        "d",
    ]
    for entry, one in zip(ENTRIES, found, strict=True):
        alone = api("POST", "/v1/score", json=entry)
        if alone.status_code == 200:
            assert nameless(one) == nameless(alone.json())
            ScoreAnswer.model_validate(one)
        else:
            assert one["problem"] == alone.json()
            ItemProblem.model_validate(one)
    assert [one["problem"]["status"] for one in found if "problem" in one] == [422, 422, 404, 422, 422]


def test_an_array_is_audited_entry_by_entry(api: Api) -> None:
    many = [{"applicant": OTHER}] * (2 * SLICE + 1)
    found = api("POST", PATH, json=many).json()
    assert [line["request_id"] for line in api.audited()] == [one["request_id"] for one in found]
    assert api("POST", PATH, json=[]).json() == []


def test_a_stream_gets_the_answers_of_an_array(shared: Api) -> None:
    lines = b"\n".join(json.dumps(entry).encode() for entry in ENTRIES)
    answer = shared.stream(lines + b"\n\n{broken\n")
    assert answer.headers["content-type"] == "application/x-ndjson"
    *same, broken = lines_of(answer)
    array = shared("POST", PATH, json=ENTRIES).json()
    assert [nameless(one) for one in same] == [nameless(one) for one in array]
    assert (broken["problem"]["status"], broken["problem"]["title"]) == (400, "Malformed JSON")


@given(cuts=st.lists(st.integers(0, 400), max_size=12), ending=st.sampled_from([b"", b"\n", b"\r\n", b"\n\n \n"]))
def test_a_stream_may_be_cut_anywhere(shared: Api, cuts: list[int], ending: bytes) -> None:
    content = b"\n".join(json.dumps({"request_id": f"r{n}", "applicant": OTHER}).encode() for n in range(4)) + ending
    places = [0, *sorted(min(cut, len(content)) for cut in cuts), len(content)]

    async def parts() -> AsyncIterator[bytes]:
        for start, end in itertools.pairwise(places):
            yield content[start:end]

    found = lines_of(shared.stream(parts()))
    assert [one["request_id"] for one in found] == ["r0", "r1", "r2", "r3"]
    assert len({one["pd"] for one in found}) == 1


@given(lengths=st.lists(st.integers(1, 300), min_size=1, max_size=8), cut=st.integers(1, 150))
def test_a_line_that_is_too_long_is_refused_and_the_next_one_is_not(
    tmp_path_factory: pytest.TempPathFactory, shared: Api, lengths: list[int], cut: int
) -> None:
    api = Api.__new__(Api)
    api.__dict__.update(shared.__dict__)
    lines = [b'"' + b"x" * (length - 1) for length in lengths]
    content = b"\n".join(lines)

    async def parts() -> AsyncIterator[bytes]:
        for start in range(0, len(content), cut):
            yield content[start : start + cut]

    object.__setattr__(shared.service, "limits", BodyLimits(single=100))
    try:
        found = lines_of(shared.stream(parts()))
    finally:
        object.__setattr__(shared.service, "limits", BodyLimits())
    assert [one["problem"]["status"] for one in found] == [413 if length > 100 else 400 for length in lengths]


def test_one_batch_has_one_champion(api: Api) -> None:
    """The model is swapped while the stream runs; a second stream then gets the new one."""
    line = json.dumps({"applicant": OTHER}).encode() + b"\n"

    async def parts() -> AsyncIterator[bytes]:
        yield line
        put(api.model_folder, make_release(40))
        assert await asyncio.to_thread(api.live.refresh)
        yield line

    first, second = lines_of(api.stream(parts()))
    assert first["model"] == second["model"] != lines_of(api.stream(line))[0]["model"]


def test_a_stream_that_cannot_be_recorded_ends_with_its_problem(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    record, written = type(api.service.audit).record_many, []

    def fail_later(log: Any, event: str, entries: Any) -> None:
        if written:
            raise AuditError("the disk is full")
        written.append(event)
        record(log, event, entries)

    monkeypatch.setattr(type(api.service.audit), "record_many", fail_later)

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield json.dumps({"applicant": OTHER}).encode() + b"\n"
            await asyncio.sleep(0.01)

    score, last = lines_of(api.stream(parts()))
    assert "pd" in score
    assert last == {"problem": last["problem"]}
    assert last["problem"]["status"] == 503
    assert len(api.audited()) == 1


def test_a_silent_stream_is_ended(tmp_path: Path) -> None:
    api = Api(tmp_path, limits=BodyLimits(idle_seconds=0.05))

    async def parts() -> AsyncIterator[bytes]:
        yield json.dumps({"applicant": OTHER}).encode() + b"\n"
        await asyncio.sleep(5)

    score, last = lines_of(api.stream(parts()))
    assert ("pd" in score, last["problem"]["status"]) == (True, 408)
    api.close()


class Clock:
    """Time that passes only where somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_a_stream_is_slowed_down_to_its_clients_rate_and_an_array_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    api = Api(tmp_path, gate=Gate(rates=RateLimits("10/second", clock=clock)))
    lines = (json.dumps({"applicant": OTHER}).encode() + b"\n") * 25
    monkeypatch.setattr("riskfed.serving.api.stream.asyncio.sleep", clock.sleep)
    assert all("pd" in one for one in lines_of(api.stream(lines)))
    assert clock.now >= 1
    monkeypatch.undo()
    clock.now += 100
    assert api("POST", PATH, json=[{"applicant": OTHER}] * 8).status_code == 200
    refused = api("POST", PATH, json=[{"applicant": OTHER}] * 8)
    assert (refused.status_code, refused.headers["content-type"]) == (429, "application/problem+json")
    assert int(refused.headers["retry-after"]) >= 1
    api.close()


def head_of_stream() -> bytes:
    head = f"POST {PATH} HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-ndjson\r\nContent-Length: {1 << 30}\r\n\r\n"
    return head.encode()


def wait_for_its_end(port: int) -> None:
    """Until the service has counted the stream as done."""
    for _ in range(400):
        if 'route="/v1/score:batch",status="2xx"' in httpx.get(f"http://127.0.0.1:{port}/metrics").text:
            return
        time.sleep(0.05)
    raise AssertionError("the stream is still being worked for")


def test_who_does_not_read_is_not_read_from_and_then_dropped(tmp_path: Path) -> None:
    """Over a real socket: a client that sends without reading is stopped by the network's buffers, long before its stream is scored."""
    api = Api(tmp_path, limits=BodyLimits(idle_seconds=0.5))
    line = json.dumps({"applicant": OTHER}).encode() + b"\n"
    with listening(api.app) as port, socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(head_of_stream())
        client.settimeout(0.3)
        sent = 0
        with pytest.raises((TimeoutError, ConnectionError)):
            while sent < 64 << 20:
                sent += client.send(line * 1000)
        assert sent < 64 << 20
        wait_for_its_end(port)
        assert 0 < len(api.audited()) < sent / len(line)
    api.close()


def test_who_goes_is_not_worked_for(api: Api) -> None:
    """A client leaves in the middle of its stream: no further line is scored, and it is no defect of the server."""
    line = json.dumps({"applicant": OTHER}).encode() + b"\n"
    with listening(api.app) as port:
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(head_of_stream() + line * 3)
            got = b""
            while got.count(b'"pd"') < 3:
                got += client.recv(65536)
        wait_for_its_end(port)
        assert 'status="500"' not in httpx.get(f"http://127.0.0.1:{port}/metrics").text
    assert len(api.audited()) == 3
