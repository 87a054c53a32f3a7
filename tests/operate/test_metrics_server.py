"""Metrics over HTTP: all files as they are now, and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bank_nodes.metrics_server import MetricsServer
from riskfed.stack.processes import free_port


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "a.prom").write_text("a 1\n")
    with MetricsServer(("127.0.0.1", 0), [tmp_path / "a.prom", tmp_path / "absent.prom", tmp_path / "b.prom"]) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{made.server_address[1]}"
        made.shutdown()


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return str(answer.read().decode())


def test_http_gives_all_files_as_they_are_now_and_nothing_else(server: str, tmp_path: Path) -> None:
    assert get(f"{server}/metrics") == "a 1\n"
    (tmp_path / "b.prom").write_text("b 2\n")
    assert get(f"{server}/metrics?x=1") == "a 1\nb 2\n"
    for path in ("/", "/metrics/../a.prom", "/a.prom"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            get(server + path)


def until(condition: Callable[[], bool], seconds: float = 30.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def test_the_server_is_a_process_that_stops_when_asked(tmp_path: Path) -> None:
    (tmp_path / "a.prom").write_text("a 1\n")
    port = free_port()

    def served() -> bool:
        try:
            return get(f"http://127.0.0.1:{port}/metrics") == "a 1\n"
        except OSError:
            return False

    command = [
        sys.executable,
        "-m",
        "bank_nodes.metrics_server",
        "--listen",
        f"127.0.0.1:{port}",
        str(tmp_path / "a.prom"),
    ]
    with subprocess.Popen(command, env=dict(os.environ)) as process:
        try:
            assert until(served)
            second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            assert second.returncode == 2
            assert "correct metrics.listen" in second.stderr
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
