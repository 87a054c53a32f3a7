"""Pictures as cards of MLflow's chart view.

`MlflowClient.log_image` makes the picture that a card shows 256 pixels small, and the page centres it in a square of which it shows the
upper part only, less than two thirds, and of that no more than a long name of the run leaves: square pictures lose their lower half. So
what is shown is made here: a square with the picture, twice as wide as high, in its upper left. A click on the card opens the picture
itself. Names are those that `log_image` gives.
"""

from __future__ import annotations

import io
import re
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient

_LOGGED_IMAGES = "mlflow.loggedImages"
_SHOWN_PIXELS = 720
_SHOWN_SHARE = 0.78
"""Of the square's width that is surely shown."""


def log_cards(
    client: MlflowClient, run_id: str, pictures: Mapping[str, bytes], *, step: int, milliseconds: int
) -> None:
    """Log pictures. The same ones at the same time are logged once, however often this is called.

    Args:
        client: MLflow's.
        run_id: the run.
        pictures: ``section/card`` -> PNG, at least as wide as high.
        step: of the run.
        milliseconds: since the epoch.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name, png in pictures.items():
            identity = uuid.uuid5(uuid.UUID(int=0), f"{run_id} {name}")
            key = re.sub(r"[^a-zA-Z0-9_\-./ ]", "_", name).replace("/", "~")
            stem = f"{key}+step+{step}+timestamp+{milliseconds}+{identity}"
            Path(folder, f"{stem}.png").write_bytes(png)
            Path(folder, f"{stem}+compressed.webp").write_bytes(_shown(png))
        client.log_artifacts(run_id, folder, "images")
    client.set_tag(run_id, _LOGGED_IMAGES, "True")


def _shown(png: bytes) -> bytes:
    """The square that the card shows the upper left of."""
    from PIL import Image

    picture = Image.open(io.BytesIO(png)).convert("RGB")
    picture.thumbnail((_SHOWN_PIXELS, _SHOWN_PIXELS))
    side = round(picture.width / _SHOWN_SHARE)
    canvas = Image.new("RGB", (side, side), "white")
    canvas.paste(picture, (0, 0))
    buffer = io.BytesIO()
    canvas.save(buffer, format="WEBP", quality=90)
    return buffer.getvalue()
