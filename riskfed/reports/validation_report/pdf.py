"""A report as a PDF, printed by a headless Chromium where one is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from riskfed.errors import ConfigurationError

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_SECONDS = 120


def report_pdf(html: str, chromium: Path | None = None) -> bytes:
    """Print a document.

    Args:
        html: as `riskfed.reports.validation_report.validation_report` gives it.
        chromium: the browser's program; None looks for one on the path.

    Raises:
        ConfigurationError: there is no such browser, or it printed nothing.
    """
    program = str(chromium) if chromium is not None else next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None or shutil.which(program) is None:
        raise ConfigurationError(
            "printing a PDF needs Chromium or Chrome, and none was found; install one, name it by --chromium, or print the HTML by hand"
        )
    with tempfile.TemporaryDirectory(prefix="riskfed-report-") as folder:
        page, printed = Path(folder, "report.html"), Path(folder, "report.pdf")
        page.write_text(html, encoding="utf-8")
        try:
            subprocess.run(
                _command(program, Path(folder), page, printed), check=True, capture_output=True, timeout=_SECONDS
            )
            return printed.read_bytes()
        except (OSError, subprocess.SubprocessError) as error:
            raise ConfigurationError(
                f"{Path(program).name} printed no PDF ({type(error).__name__}); print the HTML from a browser instead"
            ) from None


def _command(program: str, folder: Path, page: Path, printed: Path) -> list[str]:
    # Chromium's sandbox does not start for root, and the page holds no script.
    as_root = ["--no-sandbox"] if os.geteuid() == 0 else []
    quiet = ["--headless", "--disable-gpu", "--no-first-run", f"--user-data-dir={folder / 'profile'}"]
    return [program, *quiet, *as_root, "--no-pdf-header-footer", f"--print-to-pdf={printed}", page.as_uri()]
