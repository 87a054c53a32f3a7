"""How numbers read in a report: few digits, thousands apart, a minus sign and no hyphen, a dash where there is none."""

from __future__ import annotations

import math

from riskfed.evaluation.record import Interval

NONE = "–"
"""Stands where a figure is not defined or not published."""


def count(value: float | None) -> str:
    """A number of loans: ``12,345``."""
    return NONE if value is None else f"{value:,.0f}"


def decimal(value: float | None, digits: int = 4) -> str:
    """A figure with a fixed number of decimals: ``0.7812``."""
    if value is None or not math.isfinite(value):
        return NONE
    text = f"{value:,.{digits}f}"
    return text.removeprefix("-") if float(text.replace(",", "")) == 0 else text.replace("-", "−")


def percent(share: float | None, digits: int = 1) -> str:
    """A share as per cent: ``22.1 %``. A share that is above 0 and would read as 0 is ``under`` the least that can be read."""
    if share is None or not math.isfinite(share):
        return NONE
    least = 10.0**-digits
    if 0 < share * 100 < least / 2:
        return f"under {least:.{digits}f} %"
    return f"{decimal(share * 100, digits)} %"


def p_value(value: float | None) -> str:
    """A probability with three decimals, or which end it is near: ``<0.001``, ``>0.999``."""
    if value is None or not math.isfinite(value):
        return NONE
    return "<0.001" if value < 0.001 else ">0.999" if value > 0.999 else f"{value:.3f}"


def interval(estimate: Interval, digits: int = 4) -> str:
    """The 95 % interval: ``0.7701 to 0.7923``."""
    if estimate.low is None or estimate.high is None:
        return NONE
    return f"{decimal(estimate.low, digits)} to {decimal(estimate.high, digits)}"


def ratio(part: float, whole: float) -> float | None:
    """Part over whole; None where the whole is 0."""
    return part / whole if whole else None


def plural(number: int, one: str, many: str = "") -> str:
    """``1 bank``, ``5 banks``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def octets(value: float) -> str:
    """A number of bytes: ``12.4 MB``."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError


def listed(names: list[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)
