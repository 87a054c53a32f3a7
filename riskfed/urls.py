"""Addresses that people write into files."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

_PASSWORD: Final = re.compile(
    r"^[^/]*://[^@]*:[^@]*@|[?&;:/ ][^=&;]*(password|passwd|pwd|passphrase|secret|token)[^=&;]*=", re.IGNORECASE
)
"""user:password before the host, or a parameter that looks like one. Rather too much than too little is found."""


def holds_password(url: str) -> bool:
    """Whether a URL holds a password, which must not stand in a file that is copied around."""
    return _PASSWORD.search(unquote(url)) is not None
