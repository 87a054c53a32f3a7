"""A restart without a sound champion in the registry: the local copy of the last one, or no start."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from riskfed.errors import RegistryError
from riskfed.serving.models.live import LiveModels, ModelChange, UnknownVersionError
from riskfed.serving.models.local_copy import LocalCopy
from tests.serving.registry_server import RegistryServer, champion, live_models, promote, running_registry, source


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    yield from running_registry()


def test_without_registry_and_copy_there_is_no_start(server: RegistryServer, tmp_path: Path) -> None:
    server.stop()
    live = LiveModels(source(server), copy=LocalCopy(tmp_path))
    with pytest.raises(RegistryError, match="cannot be reached"):
        live.start()
    assert (live.champion, live.status().state, live.served()) == (None, "not_ready", ())
    with pytest.raises(UnknownVersionError, match="none"):
        live.version(None)


def unreachable(server: RegistryServer) -> None:
    server.stop()


def broken(server: RegistryServer) -> None:
    server.spoil("2")
    promote(server, "2")


def removed(server: RegistryServer) -> None:
    server.aliases.clear()


@pytest.mark.parametrize("fault", [unreachable, broken, removed])
def test_a_restart_goes_on_with_the_last_champion(
    server: RegistryServer, tmp_path: Path, fault: Callable[[RegistryServer], None]
) -> None:
    before = live_models(server, copy=LocalCopy(tmp_path))
    promote(server, "3", before)
    promote(server, "1", before)
    fault(server)
    changes: list[ModelChange] = []
    live = live_models(server, copy=LocalCopy(tmp_path), on_change=changes.append)
    status = live.status()
    assert (live.champion.model, live.champion.sha256) == (before.champion.model, before.champion.sha256)
    assert (status.state, status.warm_start, status.last_success) == ("ready_with_problems", True, None)
    assert "local copy of credit version 1" in status.problem
    assert changes[-1].reason == "warm start"
    if fault is unreachable:
        server.start()
    asked = len(server.requests)
    promote(server, "1", live)
    assert (live.status().state, live.status().warm_start, len(server.requests)) == ("ready", False, asked + 1)
    promote(server, "4", live)
    assert [one.engine.model.version for one in live.served()] == ["4", "1"]


def test_a_damaged_copy_is_no_warm_start(server: RegistryServer, tmp_path: Path) -> None:
    live = live_models(server, copy=LocalCopy(tmp_path))
    promote(server, "2", live)
    last = sorted(tmp_path.glob("*/0*/model.json"))[-1]
    last.write_bytes(last.read_bytes()[:-1])
    server.stop()
    with pytest.raises(RegistryError, match=r"cannot be reached .*damaged .* nor is an older one"):
        live_models(server, copy=LocalCopy(tmp_path))


def test_a_copy_that_cannot_be_written_is_said_and_tried_again(
    server: RegistryServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = LocalCopy(tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(copy, "keep", full)
        live = live_models(server, copy=copy)
        assert (champion(live), live.status().state) == ("1", "ready_with_problems")
        assert "No space" in live.status().problem
    live.refresh()
    assert live.status().state == "ready"
    assert copy.last(source(server).identity) is not None
