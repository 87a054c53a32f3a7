"""Banks whose records and keys can be recognised wherever they turn up, and an attacker of another user."""

from __future__ import annotations

import base64
import functools
import grp
import json
import os
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from riskfed.plan import Plan
from tests.bank_nodes.banks import BANKS, VaultProcess, loans, make_consortium
from tests.hostile import malicious_courier

NOBODY = 65534
AMOUNT = 12345.625
"""In each bank's records once for each row, with the row's number behind it."""
NAME = "ZEBRA-4711"
PROGRAM = Path(malicious_courier.__file__)
REPOSITORY = PROGRAM.parents[2]


def marked_loans(seed: int) -> pd.DataFrame:
    """Loans whose amounts and ids can be recognised."""
    frame = loans(seed)
    return frame.assign(amount=AMOUNT + frame.index * 0.5, id=[f"{NAME}-{seed}-{i}" for i in frame.index])


def lay_out(folder: Path) -> dict[str, Path]:
    """Files of three banks in `folder`, which any user may enter; bank -> its node file. The attacked one lets a group connect."""
    folder.chmod(0o755)
    configs = make_consortium(folder, {bank: marked_loans(seed) for seed, bank in enumerate(BANKS)})
    for config in configs.values():
        config.parent.chmod(0o755)  # the worst that a bank could do: nothing but each file's own mode protects it
        (config.parent / "loans.parquet").chmod(0o600)
    config = configs[BANKS[0]]
    group = grp.getgrgid(_courier_group()).gr_name
    config.write_text(config.read_text().replace("[vault]\n", f'[vault]\nsocket_group = "{group}"\n'))
    return configs


def _courier_group() -> int:
    return NOBODY if os.geteuid() == 0 else os.getegid()


@functools.cache
def other_users_python() -> str | None:
    """A Python that another user can run; None where there is none, or where this process may start nothing as another user."""
    if os.geteuid() != 0:
        return None
    for python in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        try:
            subprocess.run([python, "-c", "import json"], user=NOBODY, group=NOBODY, extra_groups=[], check=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return python
    return None


@dataclass(frozen=True)
class Report:
    """What an attack came to: the attacker's user, what it won by attack, and every byte that it was sent."""

    user: int
    won: dict[str, list[str]]
    received: bytes

    @property
    def booty(self) -> dict[str, list[str]]:
        """Attacks that won something."""
        return {name: won for name, won in self.won.items() if won}


def order_for(vault: VaultProcess, plan: Plan, attacks: Sequence[str]) -> str:
    """What the malicious program is told."""
    home = vault.folder
    files = [home / name for name in ("bank.toml", "identity.pem", "loans.parquet", "vault.log", "consortium.toml")]
    files += sorted(path for path in home.rglob("*") if path.is_file() or path.is_dir())
    private = [path for path in files if path.name not in PUBLIC]
    target = {
        "socket": str(vault.socket_path),
        "pid": vault.process.pid,
        "files": [str(path) for path in dict.fromkeys(private)],
        "code": [str(REPOSITORY), *sys.path],
        "plan": plan.model_dump(mode="json"),
    }
    return json.dumps({"target": target, "attacks": list(attacks)})


PUBLIC = {"bank.toml", "consortium.toml", "schema.json", "stderr.txt", "v.sock", "models", "current"}
"""Files that other users may read: none holds a record or a private key."""


def run_attacks(vault: VaultProcess, plan: Plan, attacks: Sequence[str]) -> Report:
    """Run the malicious program against a vault, as another user where that can be."""
    python, other = other_users_python(), {}
    if python is not None:
        other = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    done = subprocess.run(
        [python or sys.executable, "-I", str(PROGRAM)] if python is None else [python, "-I", "-c", PROGRAM.read_text()],
        input=order_for(vault, plan, attacks).encode(),
        capture_output=True,
        timeout=120,
        check=False,
        cwd="/",
        **other,
    )
    assert done.returncode == 0, done.stderr.decode()
    return read_report(json.loads(done.stdout))


def read_report(said: dict[str, Any]) -> Report:
    return Report(said["user"], said["won"], base64.b64decode(said["received"]))


def secrets_of(home: Path) -> Iterator[bytes]:
    """What must never leave a bank, in the encodings that a leak could have: its private key and its records."""
    pem = (home / "identity.pem").read_bytes()
    key = load_pem_private_key(pem, None).private_bytes_raw()  # type: ignore[union-attr]
    yield from (pem.splitlines()[1], key, key.hex().encode(), base64.b64encode(key))
    yield NAME.encode()
    for row in range(len(pd.read_parquet(home / "loans.parquet"))):
        amount = AMOUNT + row * 0.5
        yield from (
            str(amount).encode(),
            struct.pack("<d", amount),
            struct.pack("<f", amount),
            struct.pack(">d", amount),
        )


def found_in(data: bytes, home: Path) -> list[bytes]:
    """Secrets of the bank that `data` holds."""
    return [secret for secret in secrets_of(home) if secret in data]
