"""Score applicants with the bank's own copy of the model: no network, no service, no xgboost."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa

from bank_nodes.config import NodeConfig
from bank_nodes.connectors import file_kind, read_batches
from bank_nodes.models import load_model
from bank_nodes.settings import DataConfig
from bank_nodes.table_file import table_file
from riskfed.contract import Findings
from riskfed.schema import Schema
from riskfed.scorecard.points import ScoreScale
from riskfed.scoring import ScoringModel, pd_of


@dataclass(frozen=True, slots=True)
class Scored:
    """What was done: applicants scored, by the model of which run, into which file."""

    rows: int
    run: str
    output: Path


def score_file(
    config: NodeConfig,
    input: Path,
    output: Path,
    model: str | None = None,
    *,
    id_column: str = "id",
    scale: ScoreScale | None = None,
) -> Scored:
    """Score a file of applicants, of any size: some rows are in memory at a time.

    Args:
        config: the bank's node file; gives the models' folder and the delimiter of CSV files.
        input: CSV or Parquet, by its suffix, with the columns of the model's schema; target and weight are not looked at.
        output: CSV or Parquet, by its suffix: one line for each of `input`, in its order, with ``pd`` (of trees float32, as XGBoost
            gives it), ``points`` (integer), and the id where there is one. Replaced as a whole, or not at all.
        model: the run whose model is used; None for the current one.
        id_column: copied to the output if `input` has it.
        scale: None for the scorecard's own; for trees, 600 points at 50:1 and 20 to double the odds.

    Raises:
        ConfigurationError: a file is absent, or its kind unknown; no such model.
        ContractError: applicants do not meet the model's schema; nothing is written.
        RegistryError: the stored model is damaged.
    """
    stored = load_model(config.vault.models, model)
    scoring = stored.scoring()
    points = scale or stored.scale
    source = DataConfig(path=input, delimiter=config.data.delimiter)
    target = DataConfig(path=output, delimiter=config.data.delimiter)
    findings, rows = Findings(stored.schema, labelled=False), 0
    with table_file(output, file_kind(target), target.delimiter) as scores:
        for batch in read_batches(source, stored.schema, labelled=False, also=[id_column]):
            if findings.look_at(batch):
                found = _scores(batch.frame, scoring, stored.schema, id_column, points)
                scores.write(pa.Table.from_pandas(found, preserve_index=False))
                rows += len(batch.frame)
        findings.check()
    return Scored(rows, stored.run, output)


def _scores(
    frame: pd.DataFrame, model: ScoringModel, schema: Schema, id_column: str, scale: ScoreScale
) -> pd.DataFrame:
    margins = model.margins(schema.encode(frame))
    scores = pd.DataFrame({"pd": pd_of(margins), "points": scale.points_of_log_odds(margins)})
    if id_column in frame.columns:
        scores.insert(0, id_column, frame[id_column].array)
    return scores
