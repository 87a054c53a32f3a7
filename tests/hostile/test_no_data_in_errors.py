"""Errors cross from a bank to the server; values do not. Every way to fail is provoked, and all that the server gets is searched."""

from __future__ import annotations

import base64
import errno
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bank_nodes import results, run_service
from bank_nodes.log import VaultLog
from riskfed.flower import client_app
from riskfed.protocols import opening
from riskfed.protocols.program import Sum
from riskfed.secure.masking import MaskingProtection
from riskfed.secure.protection import StepwiseProtection
from tests.bank_nodes.banks import loans
from tests.hostile.real_banks import real_banks

VALUE, NAME = 123456789.125, "SECRET-NAME"
SECRET = f"row 17: {NAME} owes {VALUE}"


def traces() -> list[bytes]:
    """Forms in which the values could have slipped out."""
    numbers = [struct.pack(order, VALUE) for order in ("<d", ">d", "<f", ">f")] + [struct.pack("<q", 123456789)]
    texts = [str(VALUE).encode(), b"123456789", b"1.234567", NAME.encode(), NAME.lower().encode()]
    return [*numbers, *texts, base64.b64encode(NAME.encode())[:-4], NAME.encode().hex().encode()]


def found_in(data: bytes) -> list[bytes]:
    return [trace for trace in traces() if trace in data]


def frames(**columns: Any) -> dict[str, pd.DataFrame]:
    """Records of three banks; the first one's hold the recognisable values."""
    own = loans(0).assign(id=NAME, dti=VALUE, **columns)
    return {"ash": own, "birch": loans(1), "cedar": loans(2)}


def text(column: str) -> pd.Series:
    values = loans(0)[column].astype(object)
    values.iloc[:3] = NAME
    return values


UNFIT: dict[str, Callable[[], dict[str, Any]]] = {
    "a number above its maximum": lambda: {"amount": VALUE},
    "an unknown level": lambda: {"grade": text("grade")},
    "an unknown code": lambda: {"region": 123456789},
    "a label that is none": lambda: {"default": 123456789},
    "text for a number": lambda: {"dti": NAME},
    "a date for a number": lambda: {"amount": pd.Timestamp("2020-01-01")},
    "infinity": lambda: {"amount": np.inf},
}


@pytest.mark.parametrize("name", UNFIT)
def test_records_that_do_not_fit(name: str) -> None:
    with real_banks({**frames(), "ash": loans(0).assign(**({"id": NAME, "dti": VALUE} | UNFIT[name]()))}) as banks:
        outcome = banks.run()
        assert outcome.status == "failed"
        assert "bank ash" in outcome.reason
        assert found_in(banks.known_to_server) == []


def raising(error: BaseException) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


def program_that_raises(*_: Any, **__: Any) -> Callable[[], Any]:
    def program() -> Any:
        yield Sum(np.zeros(3, dtype=np.int64), 10)
        raise ValueError(SECRET)

    return program


def program_above_its_bound(*_: Any, **__: Any) -> Callable[[], Any]:
    def program() -> Any:
        yield Sum(np.array([123456789], dtype=np.int64), 10)

    return program


def program_of_another_type(*_: Any, **__: Any) -> Callable[[], Any]:
    def program() -> Any:
        yield Sum(np.array([VALUE]), 10)

    return program


FAILURES: dict[str, tuple[Any, str, Any, str]] = {
    "a program raises": (run_service, "program_for", program_that_raises, "internal error in the vault"),
    "making a program raises": (run_service, "program_for", raising(KeyError(SECRET)), "internal error in the vault"),
    "a value is above its bound": (run_service, "program_for", program_above_its_bound, "above the declared bound"),
    "values are of another type": (run_service, "program_for", program_of_another_type, "got values of type float64"),
    "protection raises": (MaskingProtection, "_encrypt", raising(RuntimeError(SECRET)), "internal error in the vault"),
    "memory is short": (MaskingProtection, "_encrypt", raising(MemoryError(SECRET)), "internal error in the vault"),
    "opening a sum raises": (StepwiseProtection, "reveal", raising(IndexError(SECRET)), "internal error in the vault"),
    "the handshake raises": (opening, "Handshake", raising(type(NAME, (Exception,), {})(SECRET)), "internal error"),
    "the log's disk is full": (VaultLog, "record", raising(OSError(errno.ENOSPC, "No space", f"/{NAME}")), "No space"),
    "the model cannot be stored": (results, "store_release", raising(OSError(28, "full", NAME)), ""),
    "storing the model raises": (results, "store_release", raising(ValueError(SECRET)), ""),
    "the courier raises": (client_app.Vault, "ask", raising(ValueError(SECRET)), "internal error in the courier"),
    "the courier cannot connect": (
        client_app.Vault,
        "_connect",
        raising(OSError(13, "denied", NAME)),
        "does not answer",
    ),
}


CASES = [(name, "session") for name in FAILURES] + [("a program raises", "message"), ("the courier raises", "message")]


@pytest.mark.parametrize(("name", "transport"), CASES)
def test_every_failure_is_told_without_its_text(monkeypatch: pytest.MonkeyPatch, name: str, transport: str) -> None:
    where, attribute, failure, says = FAILURES[name]
    with real_banks(frames()) as banks:
        monkeypatch.setattr(where, attribute, failure)
        outcome = banks.run(transport=transport)
        monkeypatch.undo()
        told = outcome.reason + str(outcome.unconfirmed)
        assert says in told or "the stream of bank" in told  # whichever the server notices first
        assert any(bank in told for bank in banks.configs)
        assert found_in(banks.known_to_server) == []


def test_a_run_that_succeeds_tells_nothing_of_them_either() -> None:
    with real_banks(frames()) as banks:
        assert banks.run().status == "finished"
        assert len(banks.known_to_server) > 100_000
        searched = banks.known_to_server
    assert NAME.encode() not in searched
    assert struct.pack("<d", VALUE) not in searched


def test_a_wrong_answer_is_told_without_what_was_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one bank's records made another bank refuse must not stand in the refusal."""
    with real_banks(frames()) as banks:
        monkeypatch.setattr("riskfed.secure.masking.MaskingCombiner.combine", lambda self, parts: NAME.encode() * 99)
        outcome = banks.run()
    assert "does not start with the header" in outcome.reason
    assert NAME not in outcome.reason


def test_the_search_can_fail() -> None:
    for form in (SECRET.encode(), struct.pack("<d", VALUE), repr({"x": NAME}).encode()):
        assert found_in(b"... " + form + b" ...")
