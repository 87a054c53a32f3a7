"""Picture of what each bank brought: Shapley values with their intervals, and what the others lose without the bank."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from riskfed.evaluation.contribution import ContributionRecord
from riskfed.reports.figures import BLUE, GREY, ORANGE, legend, picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_BANKS = 12
_NAME_LENGTH = 16
_UTILITIES: Final = {"auc": "AUC", "logloss": "log-loss", "profit": "profit per applicant"}


def shapley_bars(record: ContributionRecord) -> Figure:
    """Bars by falling Shapley value, of twelve banks at most: the first ones and the last. A value below 0 harms the others."""
    ordered = sorted(record.banks, key=lambda bank: (-bank.shapley, bank.bank))
    half = _MOST_BANKS // 2
    shown = ordered if len(ordered) <= _MOST_BANKS else [*ordered[:half], *ordered[-half:]]
    left_out = "" if len(shown) == len(ordered) else f", {half} first and {half} last of {len(ordered)} banks"
    figure, axes = picture(f"gain in {_UTILITIES[record.utility]}{left_out}", "")
    places = np.arange(len(shown))[::-1].astype(float)
    values = np.array([bank.shapley for bank in shown])
    axes.barh(places + 0.18, values, color=BLUE, height=0.42, label="Shapley value")
    axes.barh(places - 0.24, [bank.leave_one_out for bank in shown], color=ORANGE, height=0.26, label="leave one out")
    if record.method == "sampled":
        low, high = (
            [getattr(b, end) if b.lower is not None else b.shapley for b in shown] for end in ("lower", "upper")
        )
        whiskers = np.stack([values - np.array(low), np.array(high) - values])
        axes.errorbar(values, places + 0.18, xerr=whiskers, fmt="none", color=GREY, lw=2.5, capsize=4, label="95 %")
    axes.axvline(0, color=GREY, lw=1.5)
    axes.set_yticks(places, [_short(bank.bank) for bank in shown])
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    legend(axes, "best")
    return figure


def _short(name: str) -> str:
    return name if len(name) <= _NAME_LENGTH else f"{name[: _NAME_LENGTH - 1]}…"
