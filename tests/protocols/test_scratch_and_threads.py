"""Training on mapped files and several threads: the same model and figures, and little memory."""

import subprocess
import sys

import numpy as np
import pytest

from riskfed.datasets import SyntheticLoans
from riskfed.jobs import HorizontalXgboost
from riskfed.protocols.horizontal_xgboost import train
from riskfed.protocols.program import run_alone
from riskfed.protocols.records import Records
from riskfed.storage import MEMORY, Scratch
from riskfed.trees import workers
from tests.helpers import add_up

LOANS = SyntheticLoans(n_banks=3, seed=1)
SCHEMA = LOANS.schema()
JOB = HorizontalXgboost(n_estimators=6, max_depth=4, validation_fraction=0.25, early_stopping_rounds=3, cut_rounds=8)


def records_of(bank, rows, storage=MEMORY):
    encoded = Records.from_frame(LOANS.bank(bank).shard(0, rows), SCHEMA)
    columns = storage.empty(encoded.columns.shape, np.float32)
    columns[:] = encoded.columns
    return Records(columns, encoded.labels, encoded.weights, storage=storage)


@pytest.mark.parametrize("job", [JOB, HorizontalXgboost(n_estimators=3, max_depth=5)])
def test_each_bank_chooses_storage_and_threads_by_itself(job, tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "SEGMENT_ROWS", 700)
    monkeypatch.setattr(workers, "LEAST_ROWS", 100)
    scratch = Scratch(tmp_path)
    plain = add_up([train(records_of(bank, 2000), SCHEMA, job) for bank in range(3)])
    mixed = add_up(
        [
            train(records_of(0, 2000, scratch), SCHEMA, job, threads=2),
            train(records_of(1, 2000), SCHEMA, job, threads=3),
            train(records_of(2, 2000, scratch), SCHEMA, job),
        ]
    )
    assert len({outcome.release.to_bytes() for outcome in plain + mixed}) == 1
    assert list(tmp_path.iterdir()) == []


_TRAIN = """
import sys
from pathlib import Path
import numpy as np
from riskfed.jobs import HorizontalXgboost
from riskfed.protocols.horizontal_xgboost import train
from riskfed.protocols.program import run_alone
from riskfed.protocols.records import Records
from riskfed.schema import Feature, Schema
from riskfed.storage import Scratch

def resident(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(name)) * 1024

def run(rows, features):
    storage, rng = Scratch(Path(sys.argv[1])), np.random.default_rng(0)
    table = storage.table(features + 2)
    for _ in range(rows // 10_000):
        block = rng.random((features + 2, 10_000), dtype=np.float32)
        block[-2] = block[0] + block[-2] > 1.5
        block[-1] = 1
        table.append(block)
    stored = table.finish()
    schema = Schema(target="y", features=tuple(Feature(name=f"x{i}") for i in range(features)))
    records = Records(stored[:-2], stored[-2], stored[-1], storage=storage)
    run_alone(train(records, schema, HorizontalXgboost(n_estimators=2, max_depth=4), threads=2))

run(10_000, 40)  # what compiled code and libraries take
before = resident("VmHWM")
run(600_000, 40)
print(resident("VmHWM") - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
def test_records_leave_memory_before_training_fills_it(tmp_path):
    """40 float32 columns are 160 bytes a row; codes (in both layouts), gradients and the rest are about 110."""
    done = subprocess.run([sys.executable, "-c", _TRAIN, str(tmp_path)], check=True, stdout=subprocess.PIPE, text=True)
    assert int(done.stdout) < 600_000 * 200


def test_a_bank_may_have_more_threads_than_work():
    alone = [run_alone(train(records_of(0, 500), SCHEMA, JOB, threads=threads)) for threads in (1, 8)]
    assert alone[0].release.to_bytes() == alone[1].release.to_bytes()
