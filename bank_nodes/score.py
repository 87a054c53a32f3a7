"""Score applicants with the bank's own copy of the model: no network, no service, no xgboost."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from bank_nodes.config import NodeConfig
from bank_nodes.connectors import check_features, file_kind, load_frame
from bank_nodes.models import StoredModel, load_model
from bank_nodes.settings import DataConfig
from riskfed.errors import ConfigurationError, RegistryError
from riskfed.schema import Schema
from riskfed.scorecard.points import ScoreScale
from riskfed.trees.booster_json import parse_booster
from riskfed.trees.logit import sigmoid
from riskfed.trees.predictor import Predictor

_ROWS_AT_ONCE = 65_536


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
    """Score a file of applicants.

    Args:
        config: the bank's node file; gives the models' folder and the delimiter of CSV files.
        input: CSV or Parquet, by its suffix, with the columns of the model's schema; target and weight are not looked at.
        output: CSV or Parquet, by its suffix: one line for each of `input`, in its order, with ``pd`` (float32, as XGBoost would
            give it), ``points`` (integer), and the id where there is one. Replaced as a whole, or not at all.
        model: the run whose model is used; None for the current one.
        id_column: copied to the output if `input` has it.
        scale: None for 600 points at 50:1, 20 to double the odds.

    Raises:
        ConfigurationError: a file is absent, or its kind unknown; no such model.
        ContractError: applicants do not meet the model's schema; nothing is written.
        RegistryError: the stored model is damaged.
    """
    stored = load_model(config.vault.models, model)
    predictor = _predictor(stored)
    source = DataConfig(path=input, delimiter=config.data.delimiter)
    target = DataConfig(path=output, delimiter=config.data.delimiter)
    file_kind(target)
    frame = load_frame(source, stored.schema, labelled=False, also=[id_column])
    check_features(frame, stored.schema)
    margins, pds = _predict(predictor, frame, stored.schema)
    scores = pd.DataFrame({"pd": pds, "points": (scale or ScoreScale()).points_of_log_odds(margins)})
    if id_column in frame.columns:
        scores.insert(0, id_column, frame[id_column].to_numpy())
    _write(scores, target)
    return Scored(len(scores), stored.run, output)


def _predictor(stored: StoredModel) -> Predictor:
    parsed = parse_booster(stored.booster)
    if tuple(parsed.feature_names) != stored.schema.columns:
        raise RegistryError(
            f"the columns of model {stored.run} are not those of its schema; restore the model from a backup"
        )
    return Predictor(parsed.trees, parsed.base_score)


def _predict(predictor: Predictor, frame: pd.DataFrame, schema: Schema) -> tuple[np.ndarray, np.ndarray]:
    """(n,) float32 margins and PDs; encoded piece by piece, so that a large file needs little more memory than its columns."""
    margins = np.empty(len(frame), dtype=np.float32)
    for start in range(0, len(frame), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        margins[rows] = predictor.margins(schema.encode(frame.iloc[rows]))
    return margins, sigmoid(margins)


def _write(scores: pd.DataFrame, target: DataConfig) -> None:
    draft = target.path.with_name(f".{target.path.name}.draft")
    try:
        if file_kind(target) == "csv":
            scores.to_csv(draft, index=False, sep=target.delimiter)
        else:
            scores.to_parquet(draft, index=False)
        draft.replace(target.path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise ConfigurationError(f"cannot write {target.path}: {error.strerror}") from None
