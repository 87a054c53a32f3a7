"""What each bank brought to the model of all: the record that a contribution job releases.

It names banks, as no other record does: that is its purpose. Of a bank it says what its records are worth, and how many of its rows were
left out as copies (a number below the job's ``least_cell`` is not told).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from riskfed.evaluation.cells import is_publishable
from riskfed.evaluation.shapley import Values

_MANY_LEFT_OUT = 0.05
"""Share of a bank's rows."""
_HARDLY = 0.02
"""Share of the gain of all banks over no model."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class BankShare(_Record):
    """One bank's part.

    Attributes:
        bank: name.
        shapley: Shapley value, in the utility's unit.
        lower, upper: 95 % interval; None where the value is exact.
        leave_one_out: what the others together lose without the bank.
        reward_share: its share of a reward: of all values above 0, in [0, 1]; None where no bank has one.
        copies: rows left out because another bank holds them too; None for fewer than the least cell.
        repeats: rows left out because they repeat another row of the bank; None as above.
        has_records: whether any were left to train on.
    """

    bank: str
    shapley: float
    lower: float | None = None
    upper: float | None = None
    leave_one_out: float
    reward_share: float | None
    copies: int | None
    repeats: int | None
    has_records: bool


class ContributionRecord(_Record):
    """All that was found.

    Attributes:
        utility: "auc", "logloss" (negative mean) or "profit" (per applicant).
        base: utility of no model.
        start: utility from which on the gain is shared: `base`, or the mean of the coalitions of `least_coalition` banks where that is 2 or
            more (`riskfed.evaluation.shapley`).
        total: utility of the model of all banks less `start`: what the Shapley values add up to.
        least_coalition: banks in the smallest coalition that trained.
        method: "exact", or "sampled" over `orders` orders of banks.
        coalitions: models that were trained and measured.
        untrained: coalitions whose records gave no model, and which count as `base`.
        rows, defaults: held-out loans of all banks, on which every model was measured.
        banks: by name.
        warnings: what a reader must know, in words.
    """

    utility: Literal["auc", "logloss", "profit"]
    base: float
    start: float
    total: float
    least_coalition: int = Field(ge=1)
    method: Literal["exact", "sampled"]
    orders: int | None = None
    coalitions: int = Field(ge=0)
    untrained: int = Field(ge=0)
    rows: int
    defaults: int
    banks: tuple[BankShare, ...]
    warnings: tuple[str, ...] = ()

    @property
    def efficiency_error(self) -> float:
        """How far the Shapley values are from adding up to the total; rounding only."""
        return abs(sum(bank.shapley for bank in self.banks) - self.total)


@dataclass(frozen=True, slots=True)
class BankRows:
    """A bank's rows as they were counted.

    Attributes:
        rows: to train on and to measure on, when copies and repeats were left out.
        copies, repeats: left out.
        development: to train on.
    """

    rows: int
    copies: int
    repeats: int
    development: int

    @property
    def left_out(self) -> float:
        """Share of all rows of the bank."""
        every = self.rows + self.copies + self.repeats
        return (self.copies + self.repeats) / every if every else 0.0


def banks_of(
    values: Values, leave_one_out: Mapping[str, float], rows: Mapping[str, BankRows], least_cell: int
) -> tuple[BankShare, ...]:
    """Every bank's part; a bank without records to train on is a null player, whose values are 0.

    Args:
        values, leave_one_out: of the banks that have records.
        rows: of every bank.
        least_cell: least count above 0 that is told.
    """
    rewards = reward_shares({name: value.value for name, value in values.of.items()})
    return tuple(
        BankShare(
            bank=name,
            shapley=values.of[name].value if name in values.of else 0.0,
            lower=values.of[name].low if name in values.of else None,
            upper=values.of[name].high if name in values.of else None,
            leave_one_out=leave_one_out.get(name, 0.0),
            reward_share=None if rewards is None else rewards.get(name, 0.0),
            copies=counted.copies if is_publishable(counted.copies, least_cell) else None,
            repeats=counted.repeats if is_publishable(counted.repeats, least_cell) else None,
            has_records=counted.development > 0,
        )
        for name, counted in sorted(rows.items())
    )


def reward_shares(shapley: Mapping[str, float]) -> dict[str, float] | None:
    """Share of each in a reward: proportional to its value, nothing below 0. None where nobody is above 0."""
    positive = {name: max(value, 0.0) for name, value in shapley.items()}
    whole = sum(positive[name] for name in sorted(positive))
    return {name: value / whole for name, value in positive.items()} if whole > 0 else None


def warnings_of(
    banks: Sequence[BankShare],
    values: Values,
    base: float,
    rows: Mapping[str, BankRows],
    untrained: int,
    vouching: bool,
) -> tuple[str, ...]:
    """What a reader must know before money is shared by the values.

    Args:
        banks: their parts.
        values: that these are from.
        base: utility of no model.
        rows: of every bank.
        untrained: coalitions that gave no model.
        vouching: whether small coalitions were left out, and every bank's own loans were among those measured on. A bank with wrong
            labels is then in most models, and these suit its own held-out loans.
    """
    hardly = _HARDLY * max(values.start + values.total - base, 0.0)
    told = [_about(bank, hardly, rows[bank.bank]) for bank in banks]
    if untrained:
        told.append(
            f"{untrained} coalitions gave no model and count as none: their records do not suit the model's parameters"
        )
    if vouching:
        told.append(
            "models were measured on every bank's loans, wrong labels among them; name validation_banks before money is shared"
        )
    if values.total <= hardly:
        told.append(
            f"sharing starts at a utility of {values.start:.4f}, and all banks together gain {values.total:+.4f} above it: so little is "
            "mostly chance, and so are the shares"
        )
    return tuple(text for text in told if text)


def _about(bank: BankShare, hardly: float, rows: BankRows) -> str:
    if not bank.has_records:
        return f"{bank.bank}: no records are left to train on, so its value is 0"
    told = []
    if bank.shapley < -hardly and (bank.upper is None or bank.upper < 0):
        told.append("its records make the model worse; look at its labels and encoding before they are used again")
    elif abs(bank.shapley) <= hardly or (bank.lower is not None and bank.lower <= 0):
        told.append("its records hardly change the model")
    if rows.left_out > _MANY_LEFT_OUT:
        told.append(
            f"{rows.left_out:.0%} of its rows were left out as copies; either they are, or the features do not tell loans apart"
        )
    return f"{bank.bank}: {'; '.join(told)}" if told else ""
