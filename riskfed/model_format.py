"""What a model's or a part's JSON says that it is, before anything else of it is believed."""

from __future__ import annotations

import json


def format_of(data: bytes) -> str:
    """Its "format"; empty for XGBoost's, which has none, and for what is no JSON object."""
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError):
        return ""
    said = fields.get("format") if isinstance(fields, dict) else None
    return said if isinstance(said, str) else ""
