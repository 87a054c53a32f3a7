"""A scorecard as tables: the points card, a feature's bins, the regression; for notebooks, reports and a terminal."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from riskfed.errors import ConfigurationError
from riskfed.scorecard.woe import information_values

if TYPE_CHECKING:
    import pandas as pd

    from riskfed.scorecard.card import CardBin, Scorecard

_COUNTS = ("goods", "bads")


def points_card(card: Scorecard) -> pd.DataFrame:
    """The card that is printed: an applicant's score is the base and one row of each variable, added up.

    Returns:
        A row for the base (variable "base points") and for each bin. Columns: ``variable``, ``bin``; ``goods`` and ``bads`` (Int64);
        ``share`` of the development loans and ``default_rate`` (0 to 1); ``woe``; ``points`` (int64). Missing where a count is not
        released, where a bin is empty, and for the base.
    """
    import pandas as pd

    base = {"variable": "base points", "bin": "", "points": card.base_points}
    rows = [_row(bin_, card.fit.rows) | {"variable": v.feature} for v in card.variables for bin_ in v.bins]
    columns = ["variable", "bin", *_COUNTS, "share", "default_rate", "woe", "points"]
    return pd.DataFrame([base, *rows], columns=columns).astype(dict.fromkeys(_COUNTS, "Int64"))


def binning_table(card: Scorecard, feature: str) -> pd.DataFrame:
    """The bins of a feature, in the model or not.

    Returns:
        A row for each bin. Columns as of `points_card` without ``variable``, and ``iv``, what the bin adds to the information value.

    Raises:
        ConfigurationError: the feature was no candidate.
    """
    import pandas as pd

    found = [candidate for candidate in card.candidates if candidate.feature == feature]
    if not found:
        known = ", ".join(candidate.feature for candidate in card.candidates)
        raise ConfigurationError(f"{feature} was no candidate of this scorecard; known are {known}")
    bins = found[0].bins
    columns = ["bin", *_COUNTS, "share", "default_rate", "woe", "iv", "points"]
    rows = [_row(bin_, card.fit.rows) | {"iv": iv} for bin_, iv in zip(bins, _information(bins), strict=True)]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(_COUNTS, "Int64"))


def coefficients_table(card: Scorecard) -> pd.DataFrame:
    """The regression of default on the weights of evidence.

    Returns:
        A row for the intercept and for each variable. Columns: ``variable``, ``coefficient``, ``standard_error``, ``wald_z``, ``p_value``,
        ``vif`` and ``iv`` (missing for the intercept), ``sign`` ("right" where the coefficient is below 0, "wrong" otherwise).
    """
    import pandas as pd

    fit = card.fit
    rows = [
        {
            "variable": v.feature,
            **{name: getattr(v, name) for name in ("coefficient", "standard_error", "wald_z", "p_value", "vif", "iv")},
            "sign": "right" if v.coefficient < 0 else "wrong",
        }
        for v in card.variables
    ]
    intercept = {
        "variable": "intercept",
        "coefficient": fit.intercept,
        "standard_error": fit.intercept_error,
        "sign": "",
    }
    columns = ["variable", "coefficient", "standard_error", "wald_z", "p_value", "vif", "iv", "sign"]
    table = pd.DataFrame([intercept, *rows], columns=columns)
    return table.astype({"vif": "float64", "iv": "float64"})


def as_text(card: Scorecard) -> str:
    """The card in Markdown whose columns also align as plain text: scale, points of each bin, and what rounding does."""
    head = (
        f"Scorecard of {len(card.variables)} variables, developed on {card.fit.rows:,} loans ({card.fit.defaults:,} defaults)\n\n"
        f"{card.base_score:g} points are odds of {card.base_odds:g} to 1; {card.pdo:g} points double the odds. "
        f"Everyone begins with {card.base_points} points.\n"
    )
    rows = [["variable", "bin", "loans", "default rate", "WoE", "points"]]
    for variable in card.variables:
        names = itertools.chain([variable.feature], itertools.repeat(""))
        rows += [_printed(name, bin_) for name, bin_ in zip(names, variable.bins)]
    rounding = f"\nThe sum of whole points is within {card.rounding:.1f} points of the exact score.\n"
    return f"{head}\n{markdown(rows)}{rounding}"


def _row(bin_: CardBin, rows: int) -> dict[str, Any]:
    """One bin as figures by name."""
    known = {"bin": bin_.label, "goods": bin_.goods, "bads": bin_.bads, "woe": bin_.woe, "points": bin_.points}
    if bin_.goods is None or bin_.bads is None:
        return known
    loans = bin_.goods + bin_.bads
    return known | {"share": loans / rows, "default_rate": bin_.bads / loans if loans else None}


def _information(bins: Sequence[CardBin]) -> list[float | None]:
    """What each bin adds to the information value; None where its count is not released."""
    shown = [(b.goods, b.bads) for b in bins if b.goods is not None and b.bads is not None]
    values = iter(information_values(shown, [b.woe for b in bins if b.goods is not None]))
    return [None if b.goods is None else next(values) for b in bins]


def _printed(name: str, bin_: CardBin) -> list[str]:
    if bin_.goods is None or bin_.bads is None:
        loans, rate = "", ""
    else:
        total = bin_.goods + bin_.bads
        loans, rate = f"{total:,}", f"{bin_.bads / total:.1%}" if total else ""
    return [name, bin_.label, loans, rate, f"{bin_.woe:.3f}", str(bin_.points)]


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, the first row its head: two columns of text, the others of numbers."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = [
        "| " + " | ".join(c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths))) + " |"
        for row in cells
    ]
    rule = "|" + "|".join("-" * (w + 2) if i < 2 else "-" * (w + 1) + ":" for i, w in enumerate(widths)) + "|"
    return "\n".join([lines[0], rule, *lines[1:]]) + "\n"
