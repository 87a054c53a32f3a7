"""Two users: what the courier's may not see, and how a supervisor that is root runs both."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bank_nodes.check import check_node
from bank_nodes.config import NodeConfig, load_config
from bank_nodes.node import become_courier, run_node
from bank_nodes.supervised import Supervised
from bank_nodes.users import Account, accounts, check_separation
from riskfed.errors import ConfigurationError
from tests.bank_nodes.test_node import node_file, until

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can switch to another user")
OTHER = Account.of("nobody", "test")


def two_users(
    folder: Path, *, vault: str | None = None, courier: str = "nobody", group: str | None = None
) -> NodeConfig:
    """A node file that names users; files as root would have laid them out."""
    folder.mkdir(exist_ok=True)
    path = node_file(folder)
    text = path.read_text() + f'user = "{courier}"\n'
    more = (f'user = "{vault}"\n' if vault else "") + (f'socket_group = "{group}"\n' if group else "")
    path.write_text(text.replace("[vault]\n", f"[vault]\n{more}"))
    config = load_config(path)
    assert config.flower is not None
    config.data.path.chmod(0o600)  # type: ignore[union-attr]
    path.parent.chmod(0o755)
    if os.geteuid() == 0:
        for own in (config.flower.private_key, config.flower.root_certificates):
            os.chown(own, OTHER.uid, OTHER.gid)
    return config


@pytest.mark.parametrize(
    ("mode", "owner", "readable"),
    [
        (0o600, "me", False),
        (0o640, "me", False),
        (0o604, "me", True),
        (0o644, "me", True),
        (0o040, "its group", True),
        (0o604, "its group", False),  # the group's bits count, not the others'
        (0o077, "itself", False),  # the owner's bits count, not the others'
        (0o400, "itself", True),
    ],
)
@needs_root
def test_who_may_read(place: Path, mode: int, owner: str, readable: bool) -> None:
    path = place / "file"
    path.write_text("x")
    os.chown(path, OTHER.uid if owner == "itself" else 0, OTHER.gid if owner == "its group" else 0)
    path.chmod(mode)
    assert OTHER.may_read(path) is readable
    # the kernel is of the same opinion
    tried = subprocess.run(
        ["cat", path], user=OTHER.uid, group=OTHER.gid, extra_groups=OTHER.groups, capture_output=True, check=False
    )
    assert (tried.returncode == 0) is readable
    (place / "closed").mkdir(mode=0o700)
    path.chmod(0o644)
    assert not OTHER.may_read(path.rename(place / "closed" / "file"))


@needs_root
def test_a_node_that_is_laid_out_well(place: Path) -> None:
    config = two_users(place, group="nogroup")
    assert check_separation(config) == "nobody can reach the vault's socket only"
    assert [finding.ok for finding in check_node(config) if finding.area == "users"] == [True]


def open_to_all(config: NodeConfig) -> None:
    (config.vault.log.parent / "approvals").chmod(0o777)


@needs_root
@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (lambda config: config.data.path.chmod(0o644), "could read .*loans.parquet"),
        (lambda config: config.keys.identity.chmod(0o604), "could read .*identity.pem"),
        (lambda config: config.vault.log.touch(0o644), "could read .*vault.log"),
        (lambda config: config.consortium.file.chmod(0o666), "could change .*consortium.toml"),
        (lambda config: config.consortium.file.parent.chmod(0o777), "could change .*consortium.toml"),
        (
            lambda config: (config.vault.log.parent / "approvals").mkdir() or open_to_all(config),
            "could change .*approvals",
        ),
        (lambda config: os.chown(config.flower.private_key, 0, 0), "cannot read .*node"),
    ],
)
def test_what_the_courier_could_do_is_found(place: Path, spoil: object, found: str) -> None:
    config = two_users(place, group="nogroup")
    spoil(config)  # type: ignore[operator]
    with pytest.raises(ConfigurationError, match=found):
        check_separation(config)
    (finding,) = [finding for finding in check_node(config) if finding.area == "users"]
    assert not finding.ok


@needs_root
def test_files_in_a_folder_of_records_and_the_way_to_the_socket(place: Path) -> None:
    config = two_users(place)
    with pytest.raises(ConfigurationError, match=r"is not in vault.socket_group \(None\)"):
        check_separation(config)
    folder = place / "ash" / "parts"
    folder.mkdir(mode=0o755)
    (folder / "part.parquet").touch(0o644)
    config = config.model_copy(update={"data": config.data.model_copy(update={"path": folder})})
    with pytest.raises(ConfigurationError, match="could read .*part.parquet"):
        check_separation(config)
    config = config.model_copy(update={"vault": config.vault.model_copy(update={"socket_group": "no such group"})})
    with pytest.raises(ConfigurationError, match="no such group here"):
        check_separation(config)


def test_users_that_cannot_be(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = two_users(place / "a", courier="no-such-user")
    with pytest.raises(ConfigurationError, match="flower.user is 'no-such-user', and there is no such user"):
        accounts(config)
    config = two_users(place / "b", vault="nobody", courier="nobody")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(ConfigurationError, match="the courier needs a user of its own"):
        accounts(config)
    with pytest.raises(ConfigurationError, match="started as root with no vault.user"):
        accounts(two_users(place / "c"))
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    with pytest.raises(ConfigurationError, match="only root can run a process as another user"):
        accounts(config)


def test_one_user_for_both_stays_possible(place: Path) -> None:
    config = load_config(node_file(place))
    assert accounts(config) == (None, None)
    assert "no user of its own" in check_separation(config)


@needs_root
def test_a_supervised_process_runs_as_its_user_with_no_group_of_roots(place: Path) -> None:
    note = place / "note"
    note.touch(0o666)
    note.chmod(0o666)
    code = (
        f"import os, signal, ctypes; told = ctypes.c_int(); ctypes.CDLL(None).prctl(2, ctypes.byref(told)); "
        f"open({str(note)!r}, 'w').write(f'{{os.getresuid()}} {{os.getresgid()}} {{sorted(os.getgroups())}} {{told.value}}.')"
    )
    process = Supervised(
        "child", lambda: ["/usr/bin/env", "python3", "-c", code], environment={"PATH": os.defpath}, account=OTHER
    )
    process.start()
    try:
        assert until(lambda: note.read_text().endswith(".")), "it has not run"
    finally:
        process.stop()
    uid, gid = OTHER.uid, OTHER.gid
    # The last: SIGTERM when the supervisor dies, which a later change of user would have cleared.
    assert note.read_text() == f"{(uid,) * 3} {(gid,) * 3} {sorted(OTHER.groups)} 15."


@needs_root
def test_root_starts_nothing_while_the_courier_could_read_records(place: Path) -> None:
    config = two_users(place, vault="daemon", group="nogroup")
    config.data.path.chmod(0o644)  # type: ignore[union-attr]
    with pytest.raises(ConfigurationError, match="could read"):
        run_node(place / "ash" / "bank.toml")


def test_a_courier_alone_says_when_it_may_not_connect(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed:
        def __enter__(self) -> Closed:
            return self

        def __exit__(self, *_: object) -> None:
            return None

        def connect(self, _: str) -> None:
            raise PermissionError

    path = node_file(place)
    monkeypatch.setattr("bank_nodes.node.socket.socket", lambda *_: Closed())
    monkeypatch.setattr("bank_nodes.node._free_port", lambda _: 9)
    with pytest.raises(ConfigurationError, match="must be in vault.socket_group"):
        become_courier(path)


def test_a_courier_alone_becomes_the_supernode_once_the_vault_listens(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, ran = iter([False, False, True]), []
    monkeypatch.setenv("RISKFED_NODE__KEYS__PASSPHRASE", "hunter2")
    monkeypatch.setattr("bank_nodes.node._listens", lambda _: next(asked))
    monkeypatch.setattr(os, "execve", lambda *arguments: ran.append(arguments))
    become_courier(node_file(place))
    ((program, command, environment),) = ran
    assert program == command[0] == str(Path(sys.executable).with_name("flower-supernode"))
    assert environment["FLWR_HOME"] == str(place / "ash" / "flower")
    assert "hunter2" not in str(environment)
