"""The courier: what it passes on, what it keeps to itself, and that it is light."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from riskfed.flower import client_app
from riskfed.flower.client_app import app
from riskfed.flower.codec import COURIER_ERROR, decode, encode
from riskfed.flower.session import SessionServer
from riskfed.protocols.frames import Frame, Kind, encode_batch
from tests.flower.federation import NODES, PartyVault, context_for, schema, vaults
from tests.helpers import plan_for

SECRET = "salary 48211"
"""Stands for a record's value."""
WAITS = {"round_timeout": 5.0, "connect_timeout": 5.0}


@pytest.fixture
def ash() -> Iterator[PartyVault]:
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1
    with vaults() as opened:
        yield opened["ash"]


def _call(vault: PartyVault, content: RecordDict, action: str = "step", context: Context | None = None) -> Message:
    message = Message(content, NODES["ash"], f"train.{action}")
    message.metadata.__dict__["_message_id"] = "1"
    return app(message, context or context_for(vault))


def _plan() -> bytes:
    plan = plan_for(tuple(NODES), schema_fingerprint=schema().fingerprint)
    return encode_batch([Frame(Kind.PLAN, 0, plan.model_dump_json().encode())])


def test_a_step_goes_to_the_vault_with_its_runs_label_and_comes_back(ash: PartyVault) -> None:
    reply = _call(ash, encode(_plan(), run="test/1", **WAITS))

    batch, settings = decode(reply.content)
    assert batch[:1] == bytes([Kind.EXCHANGE])
    assert settings == {}
    assert [run for run, _ in ash.heard] == ["test/1"]


@pytest.mark.parametrize("action", ["step", "session"])
@pytest.mark.parametrize(
    "fault",
    [ValueError(SECRET), KeyError(SECRET), RuntimeError(f"row 3: {SECRET}"), type(SECRET, (Exception,), {})(SECRET)],
)
def test_the_text_of_a_foreign_exception_stays_at_the_bank(
    ash: PartyVault, monkeypatch: pytest.MonkeyPatch, action: str, fault: Exception
) -> None:
    def fail(*_: Any) -> None:
        raise fault

    monkeypatch.setattr(client_app, "decode", fail)
    reply = _call(ash, encode(b"x"), action)

    assert (reply.error.code, reply.error.reason) == (
        COURIER_ERROR,
        "internal error in the courier; see the node's log",
    )
    assert SECRET not in repr(reply)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (RecordDict({"x": ConfigRecord({"x": SECRET})}), "other records than a batch"),
        (encode(b"x"), "lacks the setting run"),
        (encode(b"x", run="a/1"), "lacks the setting round_timeout"),
        (encode(b"x", run="a/1", round_timeout=-1.0), "lacks the setting round_timeout"),
    ],
)
def test_malformed_messages_are_refused_before_the_vault_hears_of_them(
    ash: PartyVault, content: RecordDict, says: str
) -> None:
    reply = _call(ash, content)
    assert says in (reply.error.reason or "")
    assert ash.heard == []


def test_a_node_without_a_vault_says_so(ash: PartyVault) -> None:
    context = context_for(ash)
    del context.node_config["vault"]
    reply = _call(ash, encode(_plan(), run="test/1", **WAITS), context=context)
    assert "names no vault" in (reply.error.reason or "")


def test_an_unreachable_vault_gives_no_path_away(ash: PartyVault) -> None:
    reply = _call(
        ash, encode(_plan(), run="test/1", **WAITS), context=context_for(ash, {"vault": "/srv/bank/secret.sock"})
    )
    assert "the vault does not answer" in (reply.error.reason or "")
    assert "secret" not in (reply.error.reason or "")


def _invitation(server: SessionServer) -> dict[str, str]:
    invitation = server.invitation("ash")
    return {"endpoint": invitation.endpoint, "ticket": invitation.ticket, "certificate": invitation.certificate}


def test_the_vault_hears_nothing_until_the_server_has_let_the_courier_in(ash: PartyVault) -> None:
    with SessionServer(NODES) as server:
        content = encode(b"", run="test/1", **WAITS, **{**_invitation(server), "ticket": "made up"})
        reply = _call(ash, content, "session")
    assert reply.error.reason == "the session refused this node: node and ticket do not belong together in this run"
    assert ash.heard == []


def test_a_session_that_breaks_makes_the_vault_drop_the_run(ash: PartyVault) -> None:
    server = SessionServer({"ash": NODES["ash"]}).__enter__()
    replies: list[Message] = []
    content = encode(b"", run="test/1", **WAITS, **_invitation(server))
    courier = threading.Thread(target=lambda: replies.append(_call(ash, content, "session")))
    courier.start()
    server.wait_until_open(10)
    server.exchange({"ash": _plan()}, 10)
    server.close(0)  # no word of farewell
    courier.join(10)

    assert ash.reasons == ["the session with the server ended early"]


def test_the_reply_of_a_session_holds_counts_only(ash: PartyVault) -> None:
    with SessionServer({"ash": NODES["ash"]}) as server:
        replies: list[Message] = []
        content = encode(b"", run="test/1", **WAITS, **_invitation(server))
        courier = threading.Thread(target=lambda: replies.append(_call(ash, content, "session")))
        courier.start()
        server.wait_until_open(10)
        answer = server.exchange({"ash": _plan()}, 10)["ash"]
        farewell = encode_batch([Frame(Kind.FAILED, 0, b"enough")])
        server.close(10, farewell)
        courier.join(10)

    assert set(replies[0].content) == {"counts"}
    assert dict(replies[0].content["counts"]) == {
        "rounds": 2,
        "bytes_to_vault": len(_plan()) + len(farewell),
        "bytes_from_vault": len(answer),
    }
    assert ash.reasons == ["enough"]


def test_a_courier_starts_without_what_only_a_vault_or_an_operator_needs() -> None:
    heavy = ["numba", "pandas", "pydantic", "mlflow", "xgboost", "gmpy2", "phe", "riskfed.secure", "riskfed.plan"]
    code = f"import sys, riskfed.flower.client_app; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
