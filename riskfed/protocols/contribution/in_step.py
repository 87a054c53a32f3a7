"""Run several programs side by side: what they ask for at the same time goes out as one sum, so that rounds are shared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

from riskfed.errors import LocalProtocolError
from riskfed.protocols.program import Program, Sum

K = TypeVar("K")
T = TypeVar("T")


def in_step(programs: Mapping[K, Program[T]]) -> Program[dict[K, T]]:
    """What each program returns, by its key.

    Args:
        programs: that yield sums only. The same at every bank, in the same order; when each ends follows from pooled figures.

    Raises:
        LocalProtocolError: one asks for something else.
    """
    running, answers = dict(programs), dict.fromkeys(programs, None)
    results: dict[K, T] = {}
    while running:
        asked = _asked(running, answers, results)
        if asked:
            values = np.concatenate([request.values for request in asked.values()])
            bounds = [np.broadcast_to(np.int64(request.bound), request.values.shape) for request in asked.values()]
            pooled = yield Sum(values, np.concatenate(bounds))
            ends = np.cumsum([len(request.values) for request in asked.values()])[:-1]
            answers = dict(zip(asked, np.split(pooled, ends), strict=True))
    return {key: results[key] for key in programs}


def _asked(running: dict[K, Program[T]], answers: Mapping[K, Any], results: dict[K, T]) -> dict[K, Sum]:
    """Give every running program its answer; what it asks next, or its result, with which it leaves."""
    asked: dict[K, Sum] = {}
    for key, program in list(running.items()):
        try:
            request = program.send(answers[key])
        except StopIteration as stop:
            results[key] = stop.value
            del running[key]
            continue
        if not isinstance(request, Sum):
            raise LocalProtocolError(f"programs in step may ask for sums only, not for {type(request).__name__}")
        asked[key] = request
    return asked
