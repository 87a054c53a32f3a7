"""Prometheus metrics in a text file, for node_exporter's textfile collector: a process that listens nowhere is watched all the same."""

from __future__ import annotations

import logging
from pathlib import Path

from prometheus_client import CollectorRegistry, disable_created_metrics, write_to_textfile

_log = logging.getLogger("riskfed.metrics")

# A second series for every counter, of no use to anybody who has the first.
disable_created_metrics()  # type: ignore[no-untyped-call]


class MetricsFile:
    """A registry and the file that it is written to, whole each time.

    Args:
        path: must end in .prom for the collector to take it; its folder is made if absent.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.registry = CollectorRegistry()
        self._failing = False

    def write(self) -> None:
        """Write the file. A disk that is full must not end anybody's work, so it is logged once and not raised."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_to_textfile(str(self.path), self.registry)
            self._failing = False
        except OSError as error:
            if not self._failing:
                _log.warning("metrics cannot be written to %s (%s)", self.path.name, error.strerror)
            self._failing = True

    def remove(self) -> None:
        """Take the file away: what has stopped in good order has no metrics, and none that look alive."""
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            _log.warning("metrics file %s cannot be removed (%s)", self.path.name, error.strerror)
