"""What would change a score: one feature after the other takes other values, all else stays as it is.

A model's score changes only at its steps: a forest's thresholds, a scorecard's bin edges. So one value in each interval between two steps
shows all that a feature can do, within the schema's range. In each interval that is the value nearest to the applicant's own, rounded to
few digits away from it; whole where the applicant's own is. Levels are tried one by one. Left out: a missing value (not stating something
is no way to a better score), special values (codes, not amounts), and features that nobody is told to change (`immutable`).

What is shown is how the model answers, not what causes what: features move together in life, and here they do not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from riskfed.schema import Feature, Level, Schema
from riskfed.serving.engine.interface import Engine

Value = Level | float

MOST_POINTS: Final = 60
"""Points of a curve, at most."""

WORTH_IT: Final = 5
"""Points of score from which on a change is called better."""

_FEATURES: Final = 4
_DIGITS: Final = range(2, 9)
_FLOAT32_MAXIMUM: Final = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True)
class Alternative:
    """What one feature's other values would give.

    Attributes:
        feature: its name.
        current: the applicant's own value; None where missing.
        curve: (value, points of the score) by rising value, levels in the schema's order; the applicant's own value among them.
        best: value with most points; of several the nearest to the applicant's own.
        best_points: its score.
        nearest: value nearest to the applicant's own that gives at least `WORTH_IT` points more; None where none does.
        nearest_points: its score.
    """

    feature: str
    current: Value | None
    curve: tuple[tuple[Value, int], ...]
    best: Value
    best_points: int
    nearest: Value | None
    nearest_points: int | None


@dataclass(frozen=True, slots=True)
class _Tried:
    value: Value
    distance: float
    points: int


def immutable(schema: Schema) -> tuple[str, ...]:
    """Features that nobody is told to change: those that the schema marks so, and its protected attributes."""
    protected = {attribute.name for attribute in schema.attributes if attribute.role == "protected"}
    return tuple(feature.name for feature in schema.features if feature.immutable or feature.name in protected)


def alternatives(engine: Engine, applicant: Mapping[str, Any], features: Sequence[str] = ()) -> tuple[Alternative, ...]:
    """Try other values of an applicant's features.

    Args:
        engine: the model.
        applicant: field -> value.
        features: names, without repetition; those that are no features or immutable are left out. None given: those of the reasons, or
            where there is no reason the four that weigh most.

    Returns:
        One for each feature that has another value to try, in the order of ``features``.

    Raises:
        ApplicantError: the applicant does not meet the schema.
    """
    row = engine.encode(applicant)[0]
    known = {feature.name: position for position, feature in enumerate(engine.schema.features)}
    fixed = set(immutable(engine.schema))
    positions = [known[name] for name in features or _telling(engine, row) if name in known and name not in fixed]
    columns = np.cumsum([0, *(len(feature.columns) for feature in engine.schema.features)])
    tried: list[tuple[Feature, list[Value]]] = []
    rows = [row[None]]
    for position in positions:
        feature, first = engine.schema.features[position], int(columns[position])
        values = _values(engine, feature, first, applicant.get(feature.name))
        tried.append((feature, values))
        rows.append(_with_values(row, feature, first, values))
    margins = engine.predictions.margins(np.concatenate(rows))
    points = iter(engine.scale.points_of_log_odds(margins).tolist())
    own = next(points)
    found = []
    for feature, values in tried:
        current = applicant.get(feature.name)
        entries = [_Tried(value, _distance(feature, current, value), next(points)) for value in values]
        if entries:
            found.append(_alternative(feature, current, own, entries))
    return tuple(found)


def _telling(engine: Engine, row: NDArray[np.float32]) -> list[str]:
    """Features of the reasons, else those of the largest contributions, without the immutable ones."""
    reasons = [reason.feature for reason in engine.score_row(row[None]).reasons]
    fixed = set(immutable(engine.schema))
    if any(name not in fixed for name in reasons):
        return reasons
    shares = np.abs(engine.predictions.explain(row)[1])
    names = [engine.schema.features[position].name for position in np.argsort(-shares, kind="stable")]
    return [name for name in names if name not in fixed][:_FEATURES]


def _values(engine: Engine, feature: Feature, column: int, current: Any) -> list[Value]:
    """Values to try, in order, the applicant's own among them where there is one."""
    if feature.levels:
        return list(feature.levels)
    low = -_FLOAT32_MAXIMUM if feature.minimum is None else feature.minimum
    high = _FLOAT32_MAXIMUM if feature.maximum is None else feature.maximum
    # Of an applicant whose value is missing, the values nearest to 0 are tried.
    near = float(min(max(0.0, low), high) if current is None else current)
    steps = engine.predictions.steps(column)
    starts = [-_FLOAT32_MAXIMUM, *steps.tolist()]
    ends = [*np.nextafter(steps, np.float32(-np.inf)).tolist(), _FLOAT32_MAXIMUM]
    special = set(feature.special_values) - {near}
    values = [
        _between(max(start, low), min(end, high), near)
        for start, end in zip(starts, ends, strict=True)
        if max(start, low) <= min(end, high)
    ]
    return [_plain(value) for value in values if value not in special]


def _between(low: float, high: float, near: float) -> float:
    """The number in [low, high] that is nearest to ``near``, rounded away from there to the fewest digits that stay inside."""
    if low <= near <= high:
        return near
    edge, up = (low, True) if near < low else (high, False)
    if edge == 0:
        return 0.0
    magnitude = math.floor(math.log10(abs(edge)))
    for whole in (True, False) if near.is_integer() else (False,):
        for digits in _DIGITS:
            exponent = magnitude - digits + 1
            exponent = max(0, exponent) if whole else exponent
            # By way of decimal digits: 3 * 0.1 is not the number that is written 0.3.
            scaled = edge / 10.0**exponent
            value = float(f"{math.ceil(scaled) if up else math.floor(scaled)}e{exponent}")
            if low <= value <= high:
                return value
    return edge


def _with_values(
    row: NDArray[np.float32], feature: Feature, column: int, values: Sequence[Value]
) -> NDArray[np.float32]:
    """(len(values), n_columns) float32: the row with each of the values."""
    rows = np.repeat(row[None], len(values), axis=0)
    if feature.encoding == "numeric":
        rows[:, column] = np.array(values, dtype=np.float32)
    elif feature.encoding == "ordinal":
        rows[:, column] = np.arange(len(values))
    else:
        rows[:, column : column + len(values)] = np.eye(len(values), dtype=np.float32)
    return rows


def _distance(feature: Feature, current: Any, value: Value) -> float:
    """How far a value is from the applicant's own: in numbers, or in steps of an order; 1 between levels without order."""
    if current is None:
        return 1.0
    if feature.encoding == "numeric":
        return abs(float(value) - float(current))
    if feature.encoding == "onehot":
        return float(value != current)
    return float(abs(feature.levels.index(value) - feature.levels.index(current)))


def _alternative(feature: Feature, current: Any, own: int, tried: list[_Tried]) -> Alternative:
    best = min(tried, key=lambda entry: (-entry.points, entry.distance))
    better = [entry for entry in tried if entry.points >= own + WORTH_IT]
    nearest = min(better, key=lambda entry: (entry.distance, -entry.points), default=None)
    curve = tried if feature.levels else _thinned(tried, [best, *([nearest] if nearest else [])])
    return Alternative(
        feature=feature.name,
        current=current,
        curve=tuple((entry.value, entry.points) for entry in curve),
        best=best.value,
        best_points=best.points,
        nearest=nearest.value if nearest else None,
        nearest_points=nearest.points if nearest else None,
    )


def _thinned(tried: list[_Tried], kept: list[_Tried]) -> list[_Tried]:
    """At most `MOST_POINTS` of a numeric curve: one of neighbours with equal points, the nearest to the own value, and if these are too
    many, evenly spread ones; always its ends, the own value and ``kept``.
    """
    ends = {id(entry) for entry in (tried[0], tried[-1], min(tried, key=lambda entry: entry.distance), *kept)}
    runs: list[_Tried] = []
    for entry in tried:
        last = runs[-1] if runs else None
        if last is None or last.points != entry.points or (id(last) in ends and id(entry) in ends):
            runs.append(entry)
        elif id(last) not in ends and (id(entry) in ends or entry.distance < last.distance):
            runs[-1] = entry
    room = MOST_POINTS - len(ends)
    others = [entry for entry in runs if id(entry) not in ends]
    if len(others) > room:
        others = [others[place] for place in np.linspace(0, len(others) - 1, room).astype(int).tolist()]
    chosen = ends | {id(entry) for entry in others}
    return [entry for entry in runs if id(entry) in chosen]


def _plain(value: float) -> Value:
    return int(value) if value.is_integer() and abs(value) < 2**53 else value
