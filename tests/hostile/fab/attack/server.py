"""Sends the attack to every node, and writes down what comes back."""

import json
import time
from pathlib import Path

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Waits for three nodes, as the operator would."""
    config = context.run_config
    deadline = time.monotonic() + 240
    while len(list(grid.get_node_ids())) < 3 and time.monotonic() < deadline:
        time.sleep(0.5)
    nodes = list(grid.get_node_ids())
    order = ConfigRecord({"python": str(config["python"]), "user": int(config["user"])})
    pending = set(grid.push_messages([Message(RecordDict({"order": order}), n, "train.attack") for n in nodes]))
    reports = {}
    while pending and time.monotonic() < deadline:
        for reply in grid.pull_messages(list(pending)):
            pending.discard(reply.metadata.reply_to_message_id)
            failed = reply.has_error()
            said = {"error": reply.error.reason} if failed else json.loads(str(reply.content["report"]["json"]))
            reports[str(reply.metadata.src_node_id)] = said
        time.sleep(0.3)
    path = Path(str(config["report-file"]))
    path.with_suffix(".part").write_text(json.dumps({"nodes": nodes, "reports": reports}))
    path.with_suffix(".part").rename(path)
