"""What a report is made of: sections of text, terms, tables and pictures. The template lays them out, and escapes every text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from markupsafe import Markup

from riskfed.evaluation.limits import Colour


@dataclass(frozen=True, slots=True)
class Mark:
    """A cell that judges: a word, and a colour whose sign the template draws beside it."""

    text: str
    colour: Colour


Cell = str | Markup | Mark
"""Text is escaped; `Markup` is a picture that this package has drawn."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its heading, its unit in words, and whether it holds numbers, which are set right."""

    heading: str
    unit: str = ""
    number: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """A table with a caption in plain words.

    Attributes:
        total: whether the last row sums up the others.
        narrow: whether it is set as wide as its content and not as the page.
    """

    kind: ClassVar[str] = "table"
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    note: str = ""
    total: bool = False
    narrow: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawing with its caption."""

    svg: Markup
    caption: str


@dataclass(frozen=True, slots=True)
class Pictures:
    """Pictures side by side."""

    kind: ClassVar[str] = "pictures"
    pictures: Sequence[Picture]


@dataclass(frozen=True, slots=True)
class Side:
    """Two blocks side by side; one below the other where the page is narrow."""

    kind: ClassVar[str] = "side"
    left: Block
    right: Block


@dataclass(frozen=True, slots=True)
class Columns:
    """Small tables that flow in columns, under one caption."""

    kind: ClassVar[str] = "columns"
    caption: str
    tables: Sequence[Table]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph; `missing` where it says why there is nothing to show."""

    kind: ClassVar[str] = "text"
    text: str
    missing: bool = False


@dataclass(frozen=True, slots=True)
class Terms:
    """Words of the trade, explained where they first appear."""

    kind: ClassVar[str] = "terms"
    terms: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Facts:
    """Names with what is known under them."""

    kind: ClassVar[str] = "facts"
    facts: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Statements:
    """A list of sentences."""

    kind: ClassVar[str] = "statements"
    sentences: Sequence[str]


Block = Table | Pictures | Side | Columns | Text | Terms | Facts | Statements


@dataclass(frozen=True, slots=True)
class Section:
    """A numbered section; `anchor` is its address within the document."""

    anchor: str
    title: str
    blocks: Sequence[Block]


def missing(reason: str) -> Text:
    """A line in the place of content that there is none of."""
    return Text(reason, missing=True)
