"""Records as one frame, for tests that look at what a connector read."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bank_nodes.connectors import read_batches
from bank_nodes.settings import DataConfig
from riskfed.contract import Findings
from riskfed.schema import Schema

HEADER = "amount,dti,grade,region,default\n"


def load_frame(data: DataConfig, schema: Schema, *, labelled: bool = True, also: tuple[str, ...] = ()) -> pd.DataFrame:
    """All records in one frame, if they meet the contract."""
    findings, frames = Findings(schema, labelled=labelled), []
    for batch in read_batches(data, schema, labelled=labelled, also=also):
        findings.look_at(batch)
        frames.append(batch.frame)
    findings.check()
    return pd.concat(frames, ignore_index=True)


def csv(tmp_path: Path, text: str) -> DataConfig:
    path = tmp_path / "loans.csv"
    path.write_text(text)
    return DataConfig(path=path)
