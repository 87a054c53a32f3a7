"""Score applicants with the bank's own copy of the model, or its compact form: no network, no service, no xgboost.

The copy is in the folder of models that the bank's node file names. The compact form (`riskfed.trees.compact`) is one file, which scores on
any machine: neither node file nor keys are there, and none of a node's packages but pandas and pyarrow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from bank_nodes.config import NodeConfig
from bank_nodes.connectors import file_kind, read_batches
from bank_nodes.models import load_model
from bank_nodes.settings import DataConfig
from bank_nodes.table_file import table_file
from riskfed.contract import Findings
from riskfed.errors import ConfigurationError
from riskfed.schema import Schema
from riskfed.scorecard.points import ScoreScale
from riskfed.scoring import pd_of
from riskfed.trees.compact import MOST_FILE_BYTES, CompactBooster


@dataclass(frozen=True, slots=True)
class Scored:
    """What was done.

    Attributes:
        rows: applicants scored.
        sha256: of the model's JSON, hexadecimal; of the full model where its compact form scored.
        run: that made the model; None where a compact model scored, which does not say.
        output: the file with the scores.
    """

    rows: int
    sha256: str
    run: str | None
    output: Path


@dataclass(frozen=True, slots=True)
class Columns:
    """How files of applicants and scores are written.

    Attributes:
        id_column: copied to the output if the input has it.
        delimiter: between the fields of CSV files.
    """

    id_column: str = "id"
    delimiter: str = ","


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
    margins, points = stored.scoring().margins, scale or stored.scale
    rows = _score(margins, stored.schema, points, input, output, Columns(id_column, config.source.delimiter))
    return Scored(rows, stored.sha256, stored.run, output)


def score_file_compact(
    model: Path, input: Path, output: Path, columns: Columns = Columns(), *, scale: ScoreScale | None = None
) -> Scored:
    """Score a file of applicants with a compact model; ``pd`` and ``points`` are those of the full one, to the last bit.

    Args:
        model: file that `bank_nodes.compact.write_compact` has written.
        input, output: as `score_file` has them.
        columns: of these files.
        scale: None for 600 points at 50:1 and 20 to double the odds.

    Raises:
        ConfigurationError: a file is absent, or its kind unknown.
        ContractError: applicants do not meet the model's schema; nothing is written.
        RegistryError: not a compact model, or a damaged one.
    """
    try:
        with model.open("rb") as file:
            data = file.read(MOST_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"cannot read the model {model}: {error.strerror}") from None
    compact = CompactBooster.from_bytes(data)
    rows = _score(compact.margins, compact.schema, scale or ScoreScale(), input, output, columns)
    return Scored(rows, compact.model_sha256, None, output)


def _score(
    margins: Callable[[np.ndarray], np.ndarray],
    schema: Schema,
    scale: ScoreScale,
    input: Path,
    output: Path,
    columns: Columns,
) -> int:
    """Score a file, batch by batch; returns its rows."""
    source, target = (DataConfig(path=path, delimiter=columns.delimiter) for path in (input, output))
    findings, rows = Findings(schema, labelled=False), 0
    with table_file(output, file_kind(target), columns.delimiter) as scores:
        for batch in read_batches(source, schema, labelled=False, also=[columns.id_column]):
            if findings.look_at(batch):
                found = _scores(batch.frame, margins(schema.encode(batch.frame)), scale, columns.id_column)
                scores.write(pa.Table.from_pandas(found, preserve_index=False))
                rows += len(batch.frame)
        findings.check()
    return rows


def _scores(frame: pd.DataFrame, margins: np.ndarray, scale: ScoreScale, id_column: str) -> pd.DataFrame:
    scores = pd.DataFrame({"pd": pd_of(margins), "points": scale.points_of_log_odds(margins)})
    if id_column in frame.columns:
        scores.insert(0, id_column, frame[id_column].array)
    return scores
