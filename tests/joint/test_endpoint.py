"""A feature holder's endpoint as the process that it is: who is answered, with what, how often, and what is kept of it."""

from __future__ import annotations

import base64
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from cryptography import x509

from bank_nodes.answers.log import read_answers
from riskfed.linear_model import read_partial_score
from riskfed.trees.leaf_sets import LeafSets, columns_of_decisions
from tests.joint.linear_models import linear_parts
from tests.joint.models import SCHEMA, customers, vertical_model
from tests.joint.world import PATH, Holder, make_holder
from tests.serving.access.tls import Authority

FRAME = customers(300, seed=9)
IDS = FRAME["customer_id"].tolist()
ENCODED = SCHEMA.part_of("payments").encode(FRAME)


@pytest.fixture(scope="module")
def holder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Holder]:
    holder = make_holder(tmp_path_factory.mktemp("endpoint"), "payments", FRAME, {"per_minute": 100_000})
    holder.store(vertical_model())
    holder.store(linear_parts(), "run-linear")
    holder.start()
    yield holder
    holder.stop(signal.SIGKILL)


@pytest.fixture(scope="module")
def client(holder: Holder) -> Iterator[httpx.Client]:
    with holder.asking() as client:
        yield client


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Callable[..., Holder]]:
    """Makes a holder of a test's own, which ends with the test."""
    made: list[Holder] = []

    def make(**answers: int) -> Holder:
        made.append(make_holder(tmp_path, "payments", FRAME, answers))
        made[0].store(vertical_model())
        return made[0]

    yield make
    for holder in made:
        holder.stop(signal.SIGKILL)


def question(customer: str, answers: str = "decisions") -> dict[str, str]:
    return {"part": vertical_model(answers).parts["payments"].sha256, "customer_id": customer}


def test_it_answers_with_the_customers_decisions_however_the_id_is_written(client: httpx.Client) -> None:
    part = vertical_model().parts["payments"]
    for place in range(40):
        written = f"  {IDS[place].lower()} " if place % 2 else IDS[place]
        answer = client.post(PATH, json=question(written))
        assert answer.status_code == 200
        found = columns_of_decisions(base64.b64decode(answer.json()["decisions"]), len(part.rules))
        assert found.tolist() == part.decisions(ENCODED[place]).tolist()


def test_a_part_that_the_vault_stores_later_is_answered_with_leaf_sets(holder: Holder, client: httpx.Client) -> None:
    asked = question(IDS[0], "leaf_sets")
    assert client.post(PATH, json=asked).json()["type"] == "urn:riskfed:problem:unknown-part"
    holder.store(vertical_model("leaf_sets"), "run-2")
    end = time.monotonic() + 20
    while (answer := client.post(PATH, json=asked)).status_code == 404 and time.monotonic() < end:
        time.sleep(0.1)
    part = vertical_model("leaf_sets").parts["payments"]
    found = LeafSets(part.leaf_masks).columns(base64.b64decode(answer.json()["leaf_sets"]))
    assert (found <= part.decisions(ENCODED[0])).all()


BAD = {
    b"": 400,
    b"[]": 400,
    b"\xff": 400,
    b'{"part": "x", "customer_id": "Q00001"}': 400,
    json.dumps({**question("Q00001"), "more": 1}).encode(): 400,
    json.dumps({**question("Q00001"), "customer_id": 7}).encode(): 400,
    json.dumps(question("Q00001" * 100)).encode(): 400,
    b" " * 5000: 413,
}


@pytest.mark.parametrize("body", BAD, ids=[str(n) for n in range(len(BAD))])
def test_what_is_no_question_is_refused_without_a_word_of_it(client: httpx.Client, body: bytes) -> None:
    answer = client.post(PATH, content=body)
    assert (answer.status_code, answer.headers["content-type"]) == (BAD[body], "application/problem+json")
    assert "Q00001" not in answer.text


def test_another_path_or_method_is_refused(client: httpx.Client) -> None:
    assert client.get(PATH).status_code == 405
    assert client.post("/", json=question(IDS[0])).status_code == 404


@pytest.mark.parametrize("customer", ["Q99999", "Q1", " ", "\u0007", "Q00001\u0000"])
def test_a_stranger_is_a_404_of_the_same_length(client: httpx.Client, customer: str) -> None:
    known = raw(client, question(IDS[3]))
    strange = raw(client, question(customer))
    assert known.startswith(b"HTTP/1.1 200")
    assert strange.startswith(b"HTTP/1.1 404")
    assert b"urn:riskfed:problem:unknown-customer" in strange
    assert len(known) == len(strange)


def test_a_linear_part_answers_with_its_partial_score_and_every_answer_has_one_length(client: httpx.Client) -> None:
    part = linear_parts().parts["payments"]
    lengths = set()
    for place in range(20):
        asked = {"part": part.sha256, "customer_id": IDS[place]}
        told = client.post(PATH, json=asked).json()
        assert list(told) == ["partial_score"]
        (score,) = read_partial_score(base64.b64decode(told["partial_score"]))
        assert score == np.float32(part.score.partial(ENCODED[place : place + 1])[0])
        lengths |= {len(raw(client, asked)), len(raw(client, {**asked, "customer_id": f"Q9999{place}"}))}
    assert len(lengths) == 1


def raw(client: httpx.Client, content: dict[str, str]) -> bytes:
    """All bytes of an answer."""
    answer = client.post(PATH, json=content)
    head = f"HTTP/1.1 {answer.status_code} {answer.reason_phrase}\r\n".encode()
    return head + b"".join(b"%s: %s\r\n" % pair for pair in answer.headers.raw) + b"\r\n" + answer.content


def test_other_certificates_are_refused(holder: Holder, tmp_path: Path) -> None:
    listed_authority, _ = holder.authority.issue("somebody", x509.DNSName("lender.example"))
    with holder.asking(listed_authority) as client:
        assert client.post(PATH, json=question(IDS[0])).status_code == 403
    stranger, _ = Authority(tmp_path, "strangers").issue("lender", x509.DNSName("lender.example"))
    with holder.asking(stranger) as client, pytest.raises(httpx.TransportError):
        client.post(PATH, json=question(IDS[0]))
    with (
        httpx.Client(verify=holder.context(None), trust_env=False) as client,
        pytest.raises(httpx.TransportError),
    ):
        client.post(f"https://127.0.0.1:{holder.port}{PATH}", json=question(IDS[0]))


def test_plain_http_and_older_tls_get_nothing(holder: Holder) -> None:
    import ssl

    with socket.create_connection(("127.0.0.1", holder.port), timeout=10) as plain:
        plain.sendall(b"POST /v1/decisions HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"HTTP/1.1 200" not in plain.recv(4096)
    context = holder.context(holder.client)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with (
        socket.create_connection(("127.0.0.1", holder.port), timeout=10) as connection,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        context.wrap_socket(connection, server_hostname="127.0.0.1")


def test_the_log_has_each_answer_and_no_customer(holder: Holder, client: httpx.Client) -> None:
    before = len(list(read_answers(holder.home / "answers")))
    client.post(PATH, json=question(IDS[7]))
    client.post(PATH, json=question("Q77777"))
    client.get(PATH)
    entries = list(read_answers(holder.home / "answers"))
    assert entries[0]["event"] == "opened"
    told = [(entry["event"], entry["client"], entry["part"], entry["known"]) for entry in entries[before:]]
    sha256 = vertical_model().parts["payments"].sha256
    assert told == [("answered", "lender", sha256, True), ("answered", "lender", sha256, False)]
    text = "".join(path.read_text() for path in (holder.home / "answers").iterdir()) + holder.stderr
    assert not [customer for customer in [*IDS, "Q77777"] if customer in text]
    assert '"answering"' in holder.stderr


def test_a_second_endpoint_of_the_same_log_does_not_start(holder: Holder) -> None:
    done = run_to_its_end(holder)
    assert done.returncode == 2
    assert "another process writes the log of answers" in done.stderr


def run_to_its_end(holder: Holder) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "riskfed.cli", "node", "answer", "--config", str(holder.home / "bank.toml")]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_days_allowance_survives_a_restart_and_strangers_count(alone: Callable[..., Holder]) -> None:
    holder = alone(per_day=5)
    holder.start()
    with holder.asking() as client:
        answers = [client.post(PATH, json=question(customer)).status_code for customer in (*IDS[:2], "Q88888")]
    assert answers == [200, 200, 404]
    holder.stop(signal.SIGKILL)
    with (holder.home / "answers" / next((holder.home / "answers").iterdir()).name).open("ab") as file:
        file.write(b'{"client": "torn')  # by a power failure
    holder.start()
    with holder.asking() as client:
        answers = [client.post(PATH, json=question(customer)) for customer in IDS[:4]]
    assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
    assert 0 < int(answers[-1].headers["retry-after"]) <= 86_400
    holder.stop()
    assert len([entry for entry in read_answers(holder.home / "answers") if entry["event"] == "answered"]) == 5
    command = [sys.executable, "-m", "riskfed.cli", "node", "answered", "--config", str(holder.home / "bank.toml")]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert "lender: 4 known and 1 unknown customers" in shown


def test_a_clients_certificate_can_be_its_own_authority(alone: Callable[..., Holder]) -> None:
    holder = alone()
    text = (holder.home / "bank.toml").read_text().replace('"authority.pem"', '"lender.pem"')
    (holder.home / "bank.toml").write_text(text)
    holder.start()
    other, _ = holder.authority.issue("somebody", x509.DNSName("lender.example"))
    with holder.asking() as client:
        assert client.post(PATH, json=question(IDS[0])).status_code == 200
    with holder.asking(other) as client, pytest.raises(httpx.TransportError):
        client.post(PATH, json=question(IDS[0]))
    holder.stop()


def test_a_label_holder_does_not_answer(alone: Callable[..., Holder]) -> None:
    holder = alone()
    text = (holder.home / "bank.toml").read_text().replace('bank = "payments"', 'bank = "lender"')
    (holder.home / "bank.toml").write_text(text)
    done = run_to_its_end(holder)
    assert done.returncode == 2
    assert "only feature holders answer" in done.stderr
