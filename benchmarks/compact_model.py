"""The served model's compact form: bytes beside xgboost's JSON and UBJ, time and memory until it scores.

    python -m benchmarks.compact_model [--repeats 5]

Plain xgboost on the Taiwan data, 64 bins. A start is a process of its own with one thread, timed inside: imports, then from opening the
file to the first PD. The JSON is read by riskfed (`riskfed.scoring`), the UBJ by xgboost. Times are of the processor, so that whatever else
runs does not count; the median of the starts. Peak memory is the whole process's, by Linux. Before anything is timed, PDs and margins of
all 30,000 accounts are compared, to the last bit.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import xgboost

from riskfed.datasets import load_taiwan, taiwan_schema
from riskfed.schema import Schema
from riskfed.trees.compact import CompactBooster

SIZES: Final = tuple((trees, depth) for depth in (4, 6) for trees in (50, 200, 1000))
DEMO: Final = (50, 4)
_TIMED_ROWS: Final = 10_000
_ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

_START: Final = """
import sys, time
began = time.process_time()
import numpy as np
{imports}
first = np.load("first.npy")
imported = time.process_time()
model = {load}
{pd}(first)
loaded = time.process_time()
peak = [int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")][0]
rows = np.load("rows.npy")
{pd}(rows)
scoring = time.process_time()
{pd}(rows)
print((imported - began) * 1e3, (loaded - imported) * 1e3, peak / 1024, len(rows) / (time.process_time() - scoring))
"""
_FORMS: Final = {
    "json": (
        "from riskfed.schema import Schema\nfrom riskfed.scoring import read_model",
        'read_model(open("model.json", "rb").read(), Schema.model_validate_json(open("schema.json", "rb").read()))',
        "model.pd",
    ),
    "ubj": (
        "import xgboost",
        'xgboost.Booster({"nthread": 1}, model_file="model.ubj")',
        "model.inplace_predict",
    ),
    "compact": (
        "from riskfed.trees.compact import CompactBooster",
        'CompactBooster.from_bytes(open("model.rfc", "rb").read())',
        "model.pd",
    ),
}


@dataclass(frozen=True, slots=True)
class Start:
    """Of one form: milliseconds of imports, and from opening the file to the first PD; MiB at the peak; rows a second afterwards."""

    import_ms: float
    load_ms: float
    peak_mib: float
    rows_per_s: float


def measure(repeats: int = 5, sizes: tuple[tuple[int, int], ...] = SIZES) -> dict[str, Any]:
    """Print the table.

    Returns:
        Bytes and load times of the demo's size of model (``json``, ``ubj``, ``compact``, ``load_ms_json``, ...), and ``models``, all.
    """
    lines = []
    print(
        f"{'trees':>5} {'depth':>5} {'form':8}{'bytes':>11}{'gzip':>11}{'load ms':>9}{'import ms':>11}{'MiB':>7}{'rows/s':>13}"
    )
    for trees, depth in sizes:
        with tempfile.TemporaryDirectory() as folder:
            line = _measured(Path(folder), trees, depth, repeats)
        lines.append(line)
        for form in _FORMS:
            start = line["starts"][form]
            print(
                f"{trees:5} {depth:5} {form:8}{line['bytes'][form]:11,}{line['gzip'][form]:11,}{start['load_ms']:9.1f}"
                f"{start['import_ms']:11.0f}{start['peak_mib']:7.0f}{start['rows_per_s']:13,.0f}",
                flush=True,
            )
    print(f"the compact form holds the schema too: {lines[0]['schema_bytes']:,} bytes of it, compressed")
    demo = next((line for line in lines if (line["trees"], line["depth"]) == DEMO), lines[0])
    return {
        **demo["bytes"],
        **{f"load_ms_{form}": start["load_ms"] for form, start in demo["starts"].items()},
        "models": lines,
    }


def _measured(folder: Path, trees: int, depth: int, repeats: int) -> dict[str, Any]:
    schema, booster, rows = _trained(trees, depth)
    full, ubj = bytes(booster.save_raw("json")), bytes(booster.save_raw("ubj"))
    compact = CompactBooster.of(full, schema)
    files = {"json": full, "ubj": ubj, "compact": compact.to_bytes()}
    _check_identity(CompactBooster.from_bytes(files["compact"]), booster, rows)
    for form, suffix in (("json", "json"), ("ubj", "ubj"), ("compact", "rfc")):
        (folder / f"model.{suffix}").write_bytes(files[form])
    (folder / "schema.json").write_text(schema.model_dump_json())
    np.save(folder / "rows.npy", rows[:_TIMED_ROWS])
    np.save(folder / "first.npy", rows[:1])
    starts = {form: asdict(_median(folder, form, repeats)) for form in _FORMS}
    own = json.dumps(schema.model_dump(mode="json", exclude_defaults=True), ensure_ascii=False, separators=(",", ":"))
    return {
        "trees": trees,
        "depth": depth,
        "bytes": {form: len(data) for form, data in files.items()},
        "gzip": {form: len(gzip.compress(data, 9)) for form, data in files.items()},
        "schema_bytes": len(zlib.compress(own.encode(), 9)),
        "starts": starts,
    }


def _trained(trees: int, depth: int) -> tuple[Schema, xgboost.Booster, np.ndarray]:
    schema, frame = taiwan_schema(), load_taiwan()
    rows = schema.encode(frame)
    matrix = xgboost.DMatrix(rows, schema.labels(frame), feature_names=list(schema.columns))
    settings = {"objective": "binary:logistic", "tree_method": "hist", "max_bin": 64, "eta": 0.1, "nthread": 1}
    return schema, xgboost.train(settings | {"max_depth": depth}, matrix, trees), rows


def _check_identity(compact: CompactBooster, booster: xgboost.Booster, rows: np.ndarray) -> None:
    """Refuse to time what does not score alike."""
    matrix = xgboost.DMatrix(rows, feature_names=list(compact.schema.columns))
    for ours, theirs in (
        (compact.margins(rows), booster.predict(matrix, output_margin=True)),
        (compact.pd(rows), booster.predict(matrix)),
    ):
        if ours.tobytes() != np.asarray(theirs, dtype=np.float32).tobytes():
            raise AssertionError("the compact form does not score as the full model does")


def _median(folder: Path, form: str, repeats: int) -> Start:
    imports, load, pd = _FORMS[form]
    code = _START.format(imports=imports, load=load, pd=pd)
    command, environment = [sys.executable, "-c", code], os.environ | _ONE_THREAD
    starts = []
    for _ in range(repeats):
        told = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
        starts.append([float(number) for number in told.stdout.split()])
    return Start(*(statistics.median(column) for column in zip(*starts, strict=True)))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="The compact form of a served model.")
    parser.add_argument("--repeats", type=int, default=5)
    figures = measure(parser.parse_args().repeats)
    print(json.dumps({name: value for name, value in figures.items() if name != "models"}))


if __name__ == "__main__":
    main()
