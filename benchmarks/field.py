"""``make bench-field``: the rest of the field's text, measured: vertical logistic regression, transfer, contribution, compression, privacy.

All figures are printed and written to runs/bench/field.json. Each part can be run by itself too, such as ``python -m benchmarks.transfer``.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks import compact_model, compression, contribution, privacy, transfer, vertical_logistic

PATH: Final = Path("runs/bench/field.json")


_USUAL_DEPTH: Final = "depth 6"


def _compression() -> dict[str, Any]:
    """Bytes on the way by protection, at XGBoost's usual depth and at others, and bytes of the model that is served."""
    measured = compression.measure()
    by_protection = {
        name: by_depth[_USUAL_DEPTH] | by_depth for name, by_depth in measured.items() if name != "identical"
    }
    return {
        "bytes_per_tree": by_protection,
        "identical": measured["identical"],
        "model_bytes": compact_model.measure(),
    }


PARTS: Final[Mapping[str, Callable[[], Any]]] = {
    "vertical_logistic": vertical_logistic.measure,
    "transfer": transfer.measure,
    "transfer_encrypted": transfer.encrypted,
    "contribution": contribution.measure,
    "compression": _compression,
    "privacy": privacy.measure,
}


def main() -> None:
    """Measure, print, write; what was measured before and is not named stays."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="by default all")
    chosen = parser.parse_args().parts or list(PARTS)
    figures: dict[str, Any] = json.loads(PATH.read_text()) if PATH.exists() else {}
    for name in chosen:
        print(f"\n== {name.replace('_', ' ')}", flush=True)
        began = time.monotonic()
        figures[name] = PARTS[name]()
        print(json.dumps(figures[name], indent=2))
        print(f"   {time.monotonic() - began:.0f} s", flush=True)
    PATH.parent.mkdir(parents=True, exist_ok=True)
    PATH.write_text(json.dumps({name: figures[name] for name in PARTS if name in figures}, indent=2) + "\n")
    print(f"\nwritten to {PATH}")


if __name__ == "__main__":
    main()
