"""Small plots as inline SVG: text stays text, nothing is loaded, and equal figures give equal bytes.

Sizes are in the drawing's own units, which are CSS pixels where it is shown at its width. Colours are those of `riskfed.reports.figures`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup, escape

from riskfed.reports.figures import GREY

WIDTH, HEIGHT = 520, 330
_TEXT = 13
_LETTER = 7.0
"""Width of a letter of `_TEXT` size, on the large side."""
_GRID, _INK = "#DDDDDD", "#333333"
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 24, 34, 50


@dataclass(frozen=True, slots=True)
class Axis:
    """A numeric axis from `low` to `high`, with a title, and ticks written by `written`."""

    title: str
    low: float
    high: float
    written: Callable[[float], str] = "{:g}".format

    def ticks(self, most: int = 6) -> list[float]:
        """Round numbers within the axis: steps of 1, 2 or 5 times a power of ten, `most` of them or fewer."""
        span = self.high - self.low
        power = 10.0 ** math.floor(math.log10(span / most))
        step = next(power * factor for factor in (1, 2, 5, 10, 20) if span / (power * factor) <= most)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [round(number * step, 12) for number in range(first, last + 1)]


def axis(title: str, values: Sequence[float], written: Callable[[float], str], *, zero: bool = True) -> Axis:
    """An axis that holds all values with some room, from 0 where `zero`."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    low, high = (min(0.0, low), max(0.0, high)) if zero else (low, high)
    room = (high - low) * 0.06 or max(abs(high), 1.0) * 0.06
    return Axis(title, low if zero and low == 0 else low - room, high + room, written)


@dataclass(slots=True)
class Plot:
    """A plot with a title that screen readers say. Draw, then take `svg`.

    Attributes:
        x: numeric, or names of categories, which get places 0, 1, ...
        y: numeric.
    """

    title: str
    x: Axis | Sequence[str]
    y: Axis
    x_title: str = ""
    _parts: list[str] = field(default_factory=list)
    _keys: list[tuple[str, str, str]] = field(default_factory=list)

    def at_x(self, value: float) -> float:
        """Where a value, or a category's number, is from the left."""
        low, high = (self.x.low, self.x.high) if isinstance(self.x, Axis) else (-0.5, len(self.x) - 0.5)
        return _LEFT + (value - low) / (high - low) * (WIDTH - _LEFT - _RIGHT)

    def at_y(self, value: float) -> float:
        """Where a value is from the top."""
        share = (value - self.y.low) / (self.y.high - self.y.low)
        return HEIGHT - _BOTTOM - share * (HEIGHT - _BOTTOM - _TOP)

    def line(self, xs: Sequence[float], ys: Sequence[float], colour: str, key: str = "", dash: str = "") -> None:
        """Join points by straight lines."""
        points = " ".join(f"{self.at_x(x):.1f},{self.at_y(y):.1f}" for x, y in zip(xs, ys, strict=True))
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        self._parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2.2"{dashed}/>')
        self.key(key, colour, f"line {dash}")

    def bar(self, left: float, right: float, value: float, colour: str) -> None:
        """A bar from 0 to `value`."""
        ends = sorted((self.at_y(0), self.at_y(value)))
        x, width = self.at_x(left), self.at_x(right) - self.at_x(left)
        box = f'x="{x:.1f}" y="{ends[0]:.1f}" width="{width:.1f}" height="{ends[1] - ends[0]:.1f}"'
        self._parts.append(f'<rect {box} fill="{colour}"/>')

    def whisker(self, x: float, low: float, high: float, colour: str = _INK) -> None:
        """An interval, upright."""
        at, top, bottom = self.at_x(x), self.at_y(high), self.at_y(low)
        path = f"M{at:.1f} {bottom:.1f}V{top:.1f}M{at - 4:.1f} {bottom:.1f}h8M{at - 4:.1f} {top:.1f}h8"
        self._parts.append(f'<path d="{path}" stroke="{colour}" stroke-width="1.4" fill="none"/>')

    def diamond(self, x: float, y: float, colour: str) -> None:
        """A point that stands out by its shape too."""
        at, up = self.at_x(x), self.at_y(y)
        path = f"M{at - 5:.1f} {up:.1f}l5 -5l5 5l-5 5z"
        self._parts.append(f'<path d="{path}" fill="{colour}" stroke="#FFFFFF" stroke-width="0.8"/>')

    def key(self, text: str, colour: str, shape: str = "bar") -> None:
        """Explain a colour above the plot."""
        if text:
            self._keys.append((text, colour, shape))

    def svg(self) -> Markup:
        """The drawing."""
        inside = "".join([self._frame(), *self._parts, self._legend()])
        head = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" font-size="{_TEXT}" fill="{_INK}">'
        return Markup(f"{head}<title>{escape(self.title)}</title>{inside}</svg>")  # noqa: S704  texts are escaped where they enter

    def _frame(self) -> str:
        floor, right = HEIGHT - _BOTTOM, WIDTH - _RIGHT
        parts = []
        for tick in self.y.ticks():
            up = self.at_y(tick)
            parts += [
                f'<path d="M{_LEFT} {up:.1f}H{right}" stroke="{_GRID}"/>',
                label(_LEFT - 7, up + 4.5, self.y.written(tick), "end"),
            ]
        for at, text in self._x_ticks():
            parts.append(label(at, floor + 18, text, "middle"))
        base = self.at_y(min(max(0.0, self.y.low), self.y.high))
        parts.append(f'<path d="M{_LEFT} {base:.1f}H{right}" stroke="{GREY}"/>')
        title = self.x.title if isinstance(self.x, Axis) else self.x_title
        parts.append(label((_LEFT + right) / 2, HEIGHT - 8, title, "middle"))
        middle = (_TOP + floor) / 2
        turned = f'<text transform="translate(14 {middle:.0f}) rotate(-90)" text-anchor="middle">'
        return "".join([*parts, f"{turned}{escape(self.y.title)}</text>"])

    def _x_ticks(self) -> list[tuple[float, str]]:
        if isinstance(self.x, Axis):
            return [(self.at_x(tick), self.x.written(tick)) for tick in self.x.ticks(7)]
        room = (WIDTH - _LEFT - _RIGHT) / max(len(self.x), 1)
        longest = max((len(name) for name in self.x), default=1)
        every = max(1, math.ceil((min(longest, 12) + 1.5) * _LETTER / room))  # names that would touch are left out
        widest = int(room * every / _LETTER - 1)
        return [(self.at_x(n), short(name, widest)) for n, name in enumerate(self.x) if n % every == 0]

    def _legend(self) -> str:
        parts, at = [], float(_LEFT)
        for text, colour, shape in self._keys:
            if shape.startswith("line"):
                dash = shape.removeprefix("line").strip()
                dashed = f' stroke-dasharray="{dash}"' if dash else ""
                parts.append(f'<path d="M{at:.0f} 14h22" stroke="{colour}" stroke-width="2.4"{dashed}/>')
            elif shape == "diamond":
                parts.append(f'<path d="M{at + 6:.0f} 14l5 -5l5 5l-5 5z" fill="{colour}"/>')
            elif shape == "whisker":
                parts.append(f'<path d="M{at + 11:.0f} 8v12m-4 0h8m-8 -12h8" stroke="{colour}" stroke-width="1.4"/>')
            else:
                parts.append(f'<rect x="{at + 4:.0f}" y="8" width="14" height="12" fill="{colour}"/>')
            parts.append(label(at + 28, 18.5, text))
            at += 28 + len(text) * _LETTER + 20
        return "".join(parts)


def label(x: float, y: float, text: str, anchor: str = "start") -> str:
    """A line of text, escaped."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def short(text: str, most: int) -> str:
    """A text of `most` letters or fewer; what was cut shows by an ellipsis."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
