"""How a certificate is named by its sha256 in files that people write."""

from __future__ import annotations


def plain_fingerprint(text: str) -> str:
    """A sha256 as 64 small hex digits; colons are allowed in `text`.

    Raises:
        ValueError: it is none.
    """
    plain = text.replace(":", "").lower()
    if len(plain) != 64 or not set(plain) <= set("0123456789abcdef"):
        raise ValueError(f"{text!r} is no sha256; expected 64 hex digits, colons allowed")
    return plain
