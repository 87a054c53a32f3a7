"""Keep the demo's stack running behind the terminal (`riskfed up`), and stop it again (`riskfed down`)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from riskfed.errors import ConfigurationError

_POLL_SECONDS = 0.3


def start(folder: Path, arguments: list[str]) -> None:
    """Start ``riskfed demo --keep`` in the background and wait until it is ready, showing its output meanwhile.

    Raises:
        ConfigurationError: it runs already, or did not come up.
    """
    if running(folder) is not None:
        raise ConfigurationError(f"the stack in {folder} runs already; stop it by riskfed down")
    (folder / "ready").unlink(missing_ok=True)
    log = folder.with_suffix(".log")
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "riskfed.cli", "demo", "--keep", "--folder", str(folder), *arguments]
    with log.open("wb") as output:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    _pid_file(folder).write_text(str(child.pid))
    shown = 0
    while True:
        text = log.read_text(errors="replace")
        sys.stdout.write(text[shown:])
        sys.stdout.flush()
        shown = len(text)
        if (folder / "ready").exists():
            return
        if child.poll() is not None:
            _pid_file(folder).unlink()
            raise ConfigurationError(f"the stack did not come up (exit code {child.returncode}); its output is above")
        time.sleep(_POLL_SECONDS)


def stop(folder: Path, timeout: float = 60.0) -> bool:
    """Stop what `start` started; False where nothing runs."""
    pid = running(folder)
    if pid is None:
        return False
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + timeout
    while running(folder) is not None:
        if time.monotonic() > deadline:
            raise ConfigurationError(f"process {pid} does not stop; look at {folder.with_suffix('.log')}")
        time.sleep(_POLL_SECONDS)
    _pid_file(folder).unlink(missing_ok=True)
    return True


def running(folder: Path) -> int | None:
    """Process id of the background demo, None where there is none: an id that another program has taken since does not count."""
    try:
        pid = int(_pid_file(folder).read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, ValueError):
        return None
    return pid if b"riskfed.cli" in command and state != "Z" else None


def _pid_file(folder: Path) -> Path:
    return folder.with_suffix(".pid")
