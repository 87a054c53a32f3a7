"""A whole federation in one process, and the pooled model to hold it against."""

from __future__ import annotations

from riskfed.simulation.horizontal import Result, pooled_cuts, pooled_reference, simulate
from riskfed.simulation.traffic import Message, Traffic, Transcript
from riskfed.simulation.transfer import TransferResult, simulate_transfer
from riskfed.simulation.vertical import LogisticResult, VerticalResult, simulate_vertical

__all__ = [
    "LogisticResult",
    "Message",
    "Result",
    "Traffic",
    "Transcript",
    "TransferResult",
    "VerticalResult",
    "pooled_cuts",
    "pooled_reference",
    "simulate",
    "simulate_transfer",
    "simulate_vertical",
]
