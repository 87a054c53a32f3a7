"""Rounds over Flower's own messages: on a real SuperLink with stock SuperNodes, and on Flower's simulation. Both run the same two apps.

The ServerApp exchanges with all nodes, asking for replies more often than riskfed's own carrier does, so that the figures are Flower's;
it writes how long every round took. The ClientApp echoes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from bank_nodes.keystore import write_node_key
from riskfed.files import write_whole
from riskfed.flower.codec import decode, encode
from riskfed.stack.loopback import CONNECTION, LoopbackStack

_PROJECT = """\
[project]
name = "riskfed-bench-rounds"
version = "1.0.0"
description = "Rounds of a benchmark."
license = "Apache-2.0"
dependencies = []

[tool.flwr.app]
publisher = "riskfed"
fab-include = ["pyproject.toml"]

[tool.flwr.app.components]
serverapp = "benchmarks.flower_rounds:server"
clientapp = "benchmarks.flower_rounds:client"

[tool.flwr.app.config]
order = ""
"""
_RUN_SECONDS = 900.0
_POLL_SECONDS = 0.1
_ASK_SECONDS = 0.005

server = ServerApp()
client = ClientApp()


@server.main()
def exchange(grid: Grid, context: Context) -> None:
    """Do what the file ``order`` says: {"banks": n, "rounds": n, "sizes": {name: bytes}, "result": path}."""
    serve(grid, json.loads(Path(str(context.run_config["order"])).read_text()))


@client.train("step")
def echo(message: Message, context: Context) -> Message:
    """Answer with what was sent."""
    del context
    return Message(encode(decode(message.content)[0]), reply_to=message)


def serve(grid: Grid, order: Mapping[str, object]) -> None:
    """Rounds of every size, one of them not counted before each; writes {name: seconds}."""
    banks, rounds, sizes = int(str(order["banks"])), int(str(order["rounds"])), dict(order["sizes"])  # type: ignore[call-overload]
    while len(nodes := sorted(grid.get_node_ids())) < banks:
        time.sleep(_POLL_SECONDS)
    found = {name: [_round(grid, nodes, size) for _ in range(1 + rounds)][1:] for name, size in sizes.items()}
    write_whole(Path(str(order["result"])), json.dumps(found).encode())


def _round(grid: Grid, nodes: list[int], size: int) -> float:
    messages = [Message(encode(bytes(size)), node, "train.step", ttl=_RUN_SECONDS) for node in nodes]
    replies: list[Message] = []
    started = time.perf_counter()
    due = set(grid.push_messages(messages))
    while due:
        time.sleep(_ASK_SECONDS)
        replies += (came := list(grid.pull_messages(sorted(due))))
        due -= {reply.metadata.reply_to_message_id for reply in came}
    elapsed = time.perf_counter() - started
    assert [len(decode(reply.content)[0]) for reply in replies] == [size] * len(nodes)
    return elapsed


def on_loopback(banks: int, sizes: Mapping[str, int], rounds: int) -> dict[str, list[float]]:
    """Size -> seconds of every round on a real stack, with Flower's own intervals between looks for work."""
    with tempfile.TemporaryDirectory(prefix="rf") as name, LoopbackStack(Path(name), poll_interval=1.0) as stack:
        folder = Path(name)
        (folder / "app").mkdir()
        (folder / "app" / "pyproject.toml").write_text(_PROJECT)
        stack.start_superlink()
        keys = {f"bank{i}": write_node_key(folder / f"bank{i}") for i in range(banks)}
        stack.register(keys)
        for bank in keys:
            stack.start_supernode(bank, folder / bank)
        stack.wait_for_nodes()
        order = {"banks": banks, "rounds": rounds, "sizes": dict(sizes), "result": str(folder / "result.json")}
        (folder / "order.json").write_text(json.dumps(order))
        setting = f'order="{folder / "order.json"}"'
        run = int(stack.control().call("run", str(folder / "app"), CONNECTION, "-c", setting)["run-id"])
        return _result(stack, run, folder / "result.json")


def _result(stack: LoopbackStack, run: int, path: Path) -> dict[str, list[float]]:
    with stack.control().log(run, subprocess.DEVNULL, follow=True) as log:  # it ends with the run
        deadline = time.monotonic() + _RUN_SECONDS
        while log.running and not path.exists() and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
    if not path.exists():
        with stack.control().log(run, sys.stderr, follow=False) as log:
            log.wait()
        raise SystemExit("the run gave no result; its log is above")
    found: dict[str, list[float]] = json.loads(path.read_text())
    return found


def simulated(banks: int, sizes: Mapping[str, int], rounds: int) -> dict[str, list[float]]:
    """Size -> seconds of every round on Flower's simulation, which puts each node into an actor of Ray."""
    from flwr.simulation import run_simulation

    with tempfile.TemporaryDirectory(prefix="rf") as name:
        order = {"banks": banks, "rounds": rounds, "sizes": dict(sizes), "result": str(Path(name) / "result.json")}
        app = ServerApp()
        app.main()(lambda grid, _: serve(grid, order))
        quiet = {"include_dashboard": False, "log_to_driver": False}
        run_simulation(app, client, banks, backend_config={"client_resources": {"num_cpus": 1}, "init_args": quiet})
        found: dict[str, list[float]] = json.loads(Path(str(order["result"])).read_text())
        return found
