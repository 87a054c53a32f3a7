"""The table that nobody has: all parties' columns of their common customers, split into development and held-out as the parties split them.

Only the demo can make it: it has laid out all parties' records and keys, and reads all parts of a model from their vaults' folders.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.table import Table

from bank_nodes.parts import load_part
from riskfed.customer_id import CustomerId
from riskfed.datasets.vertical import joined
from riskfed.demo.comparison import Figures
from riskfed.errors import RunFailedError
from riskfed.jobs import Job
from riskfed.linear_model import ScorePart
from riskfed.protocols.release import ModelRelease
from riskfed.protocols.vertical.holdout import is_held_out
from riskfed.schema import Schema
from riskfed.vertical_model import FeaturePart

P = TypeVar("P", FeaturePart, ScorePart)


class CommonCustomers:
    """The joined table.

    Args:
        parties: party -> its records.
        schema: the joint one.
        job: says who is held out.

    Attributes:
        order: parties in the order of their columns: the label holder first.
        frame: the customers' records, of all columns.
        ids: (n,) normalised.
        labels: (n,) float32.
        held_out: (n,) bool.
    """

    def __init__(self, parties: Mapping[str, pd.DataFrame], schema: Schema, job: Job) -> None:
        holder = schema.label_holder
        self.order = (holder, *(party for party in schema.holders if party != holder))
        self.schema = schema
        self.frame = joined(parties, schema)
        self._customer_id = schema.customer_id or CustomerId()
        self.ids = self._ids_of(self.frame)
        self.labels = schema.labels(self.frame)
        self.held_out = is_held_out(self.ids, job.validation_fraction, job.validation_seed)

    def __len__(self) -> int:
        return len(self.frame)

    def matrix(self, *parties: str) -> NDArray[np.float32]:
        """(n, c) encoded columns of some parties, one party behind the other."""
        return np.hstack([self.schema.part_of(party).encode(self.frame) for party in parties])

    def written_as(self, records: pd.DataFrame) -> pd.DataFrame:
        """A party's own records, as it writes them, in the table's order: (n, any)."""
        places = pd.Index(self._ids_of(records)).get_indexer(pd.Index(self.ids))
        ordered: pd.DataFrame = records.iloc[places].reset_index(drop=True)
        return ordered

    def knows(self, records: pd.DataFrame) -> NDArray[np.bool_]:
        """(m,) bool, which of a party's own records are of customers whom all parties have."""
        return np.isin(self._ids_of(records), self.ids)

    def _ids_of(self, records: pd.DataFrame) -> NDArray[np.bytes_]:
        return self._customer_id.normalised(records[self._customer_id.column])


def parts_of(release: ModelRelease, folder: Path, kind: type[P]) -> dict[str, P]:
    """Feature holder -> its part, out of the vaults' folders below `folder`, found by the sha256 that the release names.

    Raises:
        RunFailedError: one is of another kind.
    """
    found = {
        partner.party: load_part(folder / partner.party / "models", partner.sha256) for partner in release.partners
    }
    parts: dict[str, P] = {party: part for party, part in found.items() if isinstance(part, kind)}
    if len(parts) != len(found):
        raise RunFailedError("a feature holder's vault keeps another kind of part than the run has made")
    return parts


def figures_table(held_out: int, joint: Mapping[str, Figures], alone: Mapping[str, Figures]) -> Table:
    """AUC and KS of models, the first one the joint one.

    Args:
        held_out: customers that they were measured on.
        joint: name -> figures, of models over all columns.
        alone: of those over one party's.
    """
    table = Table(title=f"AUC and KS on {held_out:,} held-out customers of both parties", title_justify="left")
    for heading in ("model", "AUC", "KS"):
        table.add_column(heading, justify="left" if heading == "model" else "right", no_wrap=True)
    names: Sequence[str] = [*joint, *alone]
    for place, name in enumerate(names):
        figures = joint[name] if name in joint else alone[name]
        last = place + 1 == len(joint)
        table.add_row(
            name, f"{figures.auc:.6f}", f"{figures.ks:.4f}", style=None if place else "bold green", end_section=last
        )
    return table
