"""Score applicants over HTTP with the joint model, and hold the answers against the model that nobody has whole."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import pandas as pd

from riskfed.errors import RunFailedError

_TOLERANCE = 1e-6
"""On a PD: the service rounds what it shows."""


@dataclass(frozen=True, slots=True)
class JointScores:
    """What the scoring service answered.

    Attributes:
        scored: applicants whom the partner knows.
        fell_back: of them, those for whom the partner's answer did not come in time.
        agreeing: of those scored jointly, how many have the very PD of the joint model.
        p50_ms, p99_ms: milliseconds of a whole score, as a client on this machine sees it.
        unknown: the answer for an applicant whom the partner does not know.
    """

    scored: int
    fell_back: int
    agreeing: int
    p50_ms: float
    p99_ms: float
    unknown: dict[str, Any]


def score_jointly(api: str, applicants: pd.DataFrame, expected: np.ndarray, stranger: pd.Series) -> JointScores:
    """Score applicants one by one, as a loan desk does.

    Args:
        api: address of the scoring service.
        applicants: (n, any) the label holder's own records, with their ``customer_id`` as it writes it; all are known to the partner.
        expected: (n,) PD of each by the joint model.
        stranger: one more record, of a customer whom the partner does not know.

    Raises:
        RunFailedError: the service refused one.
    """
    pds, fallbacks, milliseconds = [], [], []
    with httpx.Client(base_url=api, timeout=30) as client:
        _score(client, applicants.iloc[0])  # connections are made once
        for _, applicant in applicants.iterrows():
            began = time.perf_counter()
            answer = _score(client, applicant)
            milliseconds.append(1000 * (time.perf_counter() - began))
            pds.append(answer["pd"])
            fallbacks.append("fallback" in answer)
        unknown = _score(client, stranger)
    joint = ~np.array(fallbacks)
    agreeing = joint & (np.abs(np.array(pds) - expected) <= _TOLERANCE)
    return JointScores(
        scored=len(pds),
        fell_back=int(sum(fallbacks)),
        agreeing=int(agreeing.sum()),
        p50_ms=statistics.median(milliseconds),
        p99_ms=_percentile(milliseconds, 99),
        unknown=unknown,
    )


def _score(client: httpx.Client, record: pd.Series) -> dict[str, Any]:
    fields = {str(name): _plain(value) for name, value in record.items()}
    customer = fields.pop("customer_id")
    answer = client.post("/v1/score", json={"applicant": fields, "customer_id": customer})
    if answer.status_code != httpx.codes.OK:
        raise RunFailedError(f"the scoring API answered {answer.status_code}: {answer.text[:300]}")
    scored: dict[str, Any] = answer.json()
    return scored


def _plain(value: object) -> object:
    """JSON's own types: a frame's rows hold numpy's."""
    return value.item() if isinstance(value, np.generic) else value


def _percentile(values: Sequence[float], percent: float) -> float:
    return float(np.percentile(values, percent))
