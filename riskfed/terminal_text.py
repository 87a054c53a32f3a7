"""Text from elsewhere on a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """`text` with escapes in place of what a terminal would act on: a client, or a server, may have chosen it."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)
