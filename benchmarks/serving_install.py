"""How large the scoring service is once it is installed, and what its process loads."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from benchmarks.serving_service import Service, start_service
from riskfed.protocols.release import ModelRelease
from riskfed.stack.processes import Processes

ROOT = Path(__file__).parents[1]
UNWANTED = frozenset({"mlflow", "xgboost", "flwr", "pandas", "pyarrow", "numba", "llvmlite", "sklearn", "scipy", "ray"})
"""Top-level modules that the service's process must not load."""

_IMPORT_LINE = re.compile(r"import time:\s+\d+ \|\s+\d+ \|\s+(\w+)")


@dataclass(frozen=True, slots=True)
class Installed:
    """A fresh environment with the scoring service alone.

    Attributes:
        python: its interpreter.
        megabytes: of its packages and commands, in 10^6 bytes of disk blocks; measured after the service ran, with the bytecode of
            what it loads. An installer that compiles everything, as pip does, adds that of what it never loads.
        packages: the ten largest of them, in megabytes.
        pd: what the service, run from it, answered.
    """

    python: Path
    megabytes: float
    packages: dict[str, float]
    pd: float


def install(folder: Path) -> Path:
    """Make an environment with riskfed[serving] and nothing else; returns its interpreter."""
    uv = Path(sys.executable).with_name("uv")
    python = folder / "environment" / "bin" / "python"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(folder / "environment")], check=True)
    pinned = ("--constraint", str(ROOT / "constraints.txt"))
    subprocess.run([uv, "pip", "install", "--quiet", "--python", str(python), *pinned, f"{ROOT}[serving]"], check=True)
    return python


def measure_install(release: ModelRelease, applicant: dict[str, object], folder: Path) -> Installed:
    """Install the service, serve a model's folder with it, score an applicant, and measure.

    Raises:
        ConfigurationError: the service does not start from what was installed.
    """
    python = install(folder)
    with Processes() as processes:
        service = _serve(processes, release, folder, (str(python.with_name("riskfed")),))
        pd = score(service, applicant)
    environment = python.parents[1]
    packages = environment / "lib"
    largest = {entry.name: size_mb(entry) for entry in next(packages.rglob("site-packages")).iterdir()}
    ten = dict(sorted(largest.items(), key=lambda item: -item[1])[:10])
    return Installed(python, size_mb(packages) + size_mb(environment / "bin"), ten, pd)


def loaded_modules(release: ModelRelease, applicant: dict[str, object], folder: Path) -> set[str]:
    """Top-level modules that a serving process of this environment, where all of riskfed is installed, loads until it has scored.

    The interpreter itself writes them down (PYTHONPROFILEIMPORTTIME).
    """
    with Processes() as processes:
        service = _serve(processes, release, folder, ("env", "PYTHONPROFILEIMPORTTIME=1", _riskfed()))
        score(service, applicant)
        metrics = urllib.request.Request(f"{service.server.address}/metrics", headers=service.headers)
        urllib.request.urlopen(metrics, timeout=10).close()
    return set(_IMPORT_LINE.findall((folder / "service.log").read_text()))


def _riskfed() -> str:
    return str(Path(sys.executable).with_name("riskfed"))


def _serve(processes: Processes, release: ModelRelease, folder: Path, command: tuple[str, ...]) -> Service:
    model = folder / "model"
    model.mkdir(parents=True)
    (model / "release.json").write_bytes(release.to_bytes())
    return start_service(processes, folder, model_folder=model, command=command)


def score(service: Service, applicant: dict[str, object]) -> float:
    """Score one applicant and return the PD."""
    content = json.dumps({"applicant": applicant}).encode()
    headers = {"Content-Type": "application/json", **service.headers}
    request = urllib.request.Request(f"{service.server.address}/v1/score", content, headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return float(json.load(answer)["pd"])


def size_mb(path: Path) -> float:
    """Disk blocks of a file, or of all files in a folder, in 10^6 bytes; links are not followed."""
    files = [path] if path.is_file() else [Path(at, name) for at, _, names in os.walk(path) for name in names]
    return sum(file.lstat().st_blocks * 512 for file in files) / 1e6
