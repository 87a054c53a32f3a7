"""A whole federation in one process, and the pooled model to hold it against."""

from __future__ import annotations

from riskfed.simulation.horizontal import Result, pooled_cuts, pooled_reference, simulate
from riskfed.simulation.traffic import Message, Traffic, Transcript
from riskfed.simulation.vertical import VerticalResult, simulate_vertical

__all__ = [
    "Message",
    "Result",
    "Traffic",
    "Transcript",
    "VerticalResult",
    "pooled_cuts",
    "pooled_reference",
    "simulate",
    "simulate_vertical",
]
