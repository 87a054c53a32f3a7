"""Writing a little TOML, which the standard library only reads."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Final

_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")


def toml_key(name: str) -> str:
    """`name` as a key of TOML; quoted where it must be."""
    return name if _BARE_KEY.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def toml_lines(fields: Iterable[tuple[str, object]]) -> list[str]:
    """``name = value`` for texts without control characters, integers and dates."""
    # A JSON string is a TOML basic string, as long as nothing needs a surrogate escape.
    return [
        f"{name} = {json.dumps(value, ensure_ascii=False) if isinstance(value, str) else value}"
        for name, value in fields
    ]
