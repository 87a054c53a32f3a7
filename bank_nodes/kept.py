"""What a bank's programs keep beyond their run, such as the common customers of an alignment.

    kept/<name>-<roster>.bin      as the program gave it; <roster>: first digits of a sha256 of the parties' names

Content is secret to the bank (an alignment holds customers' ids): files are the vault's user's alone, and are replaced as a whole. Another
roster has files of its own, since its parties found their common customers among themselves.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from riskfed.errors import LocalProtocolError
from riskfed.files import sync_folder, write_whole

_NAME = re.compile(r"[a-z][a-z_]{0,39}")
_DIGITS: Final = 24


class Kept:
    """What one vault keeps.

    Args:
        folder: made where absent, for the vault's user alone.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, roster: Sequence[str], name: str) -> bytes | None:
        """What was kept last under this name with these parties; None for nothing.

        Raises:
            OSError: it cannot be read.
        """
        try:
            return self._path(roster, name).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, roster: Sequence[str], name: str, content: bytes) -> None:
        """Keep something in place of what was kept before; it is on the disk when this returns.

        Raises:
            OSError: it cannot be written; what was kept before still is.
        """
        path = self._path(roster, name)
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(path, content, private=True)
        sync_folder(self._folder)

    def _path(self, roster: Sequence[str], name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise LocalProtocolError(f"nothing can be kept under the name {name!r}; expected small letters and _")
        # Names are in a fixed order, and none holds a NUL.
        digest = hashlib.sha256("\0".join(sorted(roster)).encode()).hexdigest()
        return self._folder / f"{name}-{digest[:_DIGITS]}.bin"
