"""A node that root starts: each part runs as its own user, and a model comes out."""

from __future__ import annotations

import grp
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import bank_nodes
from bank_nodes.users import Account
from tests.bank_nodes.banks import lines_of
from tests.bank_nodes.test_node import until
from tests.bank_nodes.test_users import two_users

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can switch to another user")


def two_of_one_group() -> tuple[str, str, str] | None:
    """Two users of this machine, neither of them root, and a group that both are in."""
    first: dict[int, str] = {}
    for entry in sorted(pwd.getpwall(), key=lambda entry: entry.pw_name != "nobody"):
        if entry.pw_uid and entry.pw_gid and first.setdefault(entry.pw_gid, entry.pw_name) != entry.pw_name:
            return entry.pw_name, first[entry.pw_gid], grp.getgrgid(entry.pw_gid).gr_name
    return None


def programs(folder: Path) -> Path | None:
    """A Python that every user can start, and this environment's commands for it."""
    python = shutil.which("python3", path="/usr/bin:/usr/local/bin")
    version = "import sys; print(*sys.version_info[:2], sys.prefix == sys.base_prefix)"
    if python is None or subprocess.check_output([python, "-c", version], text=True).split() != [
        *map(str, sys.version_info[:2]),
        "True",
    ]:
        return None
    folder.mkdir()
    (folder / "python3").symlink_to(python)
    for script in entry_points(group="console_scripts"):
        if script.name.startswith(("flower-", "flwr")):
            path = folder / script.name
            path.write_text(
                f"#!{folder}/python3\nimport sys\nfrom {script.module} import {script.attr}\nsys.exit({script.attr}())\n"
            )
            path.chmod(0o755)
    return folder


@needs_root
@pytest.mark.slow
def test_a_node_started_as_root_runs_each_part_as_its_user(place: Path) -> None:
    users, tools = two_of_one_group(), programs(place / "bin")
    if users is None or tools is None:
        pytest.skip("needs two users of one group, and a system Python of the same version")
    own, other, group = users
    config = two_users(place / "node", vault=own, courier=other, group=group)
    home, vault = place / "node" / "ash", Account.of(own, "test")
    courier = Account.of(other, "test")
    theirs = {config.flower.private_key, config.flower.root_certificates}  # type: ignore[union-attr]
    cache = place / "cache"
    cache.mkdir()
    for path in (home, *home.iterdir(), cache):
        account = courier if path in theirs else vault
        os.chown(path, account.uid, account.gid)
    packages = os.pathsep.join(
        [str(Path(bank_nodes.__file__).parents[1]), *filter(lambda p: "site-packages" in p, sys.path)]
    )
    environment = {**os.environ, "PYTHONPATH": packages, "NUMBA_CACHE_DIR": str(cache), "PYTHONDONTWRITEBYTECODE": "1"}
    environment["RISKFED_NODE__POLICY__MIN_ROWS"] = "60"
    told = place / "node.log"
    command = [
        str(tools / "python3"),
        "-c",
        "from riskfed.cli import app; app()",
        "node",
        "run",
        "-c",
        str(home / "bank.toml"),
    ]
    with told.open("wb") as stream:
        # With this umask, root's own start leaves a cache of numba that the vault's user can write to.
        node = subprocess.Popen(command, stderr=stream, env=environment, cwd="/", umask=0)
    try:
        assert until(lambda: "courier started" in told.read_text(), 120), told.read_text()
        pids = {line["event"].split()[0]: line["pid"] for line in lines_of(told) if line["event"].endswith(" started")}
        for name, account in (("vault", vault), ("courier", courier)):
            status = Path(f"/proc/{pids[name]}/status").read_text()
            assert re.findall(r"^[UG]id:\t(.*)$", status, re.M) == [
                "\t".join([str(n)] * 4) for n in (account.uid, account.gid)
            ]

        def as_courier(*arguments: str) -> int:
            done = subprocess.run(
                arguments,
                user=courier.uid,
                group=courier.gid,
                extra_groups=courier.groups,
                capture_output=True,
                check=False,
                cwd="/",
            )
            return done.returncode

        connect = f"import socket; socket.socket(socket.AF_UNIX).connect({str(config.vault.socket)!r})"
        assert as_courier(str(tools / "python3"), "-c", connect) == 0
        for path in (config.keys.identity, config.data.path, config.vault.log, f"/proc/{pids['vault']}/environ"):
            assert as_courier("cat", str(path)) != 0, path
        assert as_courier("cat", str(config.flower.private_key)) == 0  # type: ignore[union-attr]
        node.send_signal(signal.SIGTERM)
        assert node.wait(60) == 0, told.read_text()
        assert not any(Path(f"/proc/{pid}").exists() for pid in pids.values())
    finally:
        if node.poll() is None:
            node.terminate()
            node.wait(30)
