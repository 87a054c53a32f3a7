"""Make the compact form of a model that this bank has stored, for scoring on a small machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bank_nodes.config import NodeConfig
from bank_nodes.models import load_model
from riskfed.errors import ConfigurationError
from riskfed.files import write_whole
from riskfed.scoring import TreeModel
from riskfed.trees.compact import CompactBooster


@dataclass(frozen=True, slots=True)
class Written:
    """A compact model on the disk.

    Attributes:
        run: that made the full model.
        model_sha256: of the full model's JSON, hexadecimal.
        sha256: of the compact form before compression, hexadecimal: the same wherever it is made.
        model_bytes, bytes: sizes of the full model's JSON and of the file, which has the schema too.
        output: the file.
    """

    run: str
    model_sha256: str
    sha256: str
    model_bytes: int
    bytes: int
    output: Path


def write_compact(config: NodeConfig, output: Path, model: str | None = None) -> Written:
    """Write a stored model of trees in its compact form, which scores without node file and service.

    Args:
        config: the bank's node file; gives the models' folder.
        output: the file, replaced as a whole or not at all.
        model: the run whose model is meant; None for the current one.

    Raises:
        ConfigurationError: no such model, or one without trees: a scorecard is small as it is; the file cannot be written.
        RegistryError: the model needs what other parties know of an applicant, or is too large.
    """
    stored = load_model(config.vault.models, model)
    if not isinstance(stored.scoring(), TreeModel):
        raise ConfigurationError(
            f"the model of run {stored.run} has no trees, and is small as it is; score with riskfed node score --model {stored.run}"
        )
    compact = CompactBooster.of(stored.model, stored.schema)
    data = compact.to_bytes()
    try:
        write_whole(output, data)
    except OSError as error:
        raise ConfigurationError(f"cannot write {output}: {error.strerror}") from None
    return Written(stored.run, stored.sha256, compact.sha256, len(stored.model), len(data), output)
