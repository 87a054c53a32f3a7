"""The operator's list of registered nodes: a TOML file with one table, ``[roster]``, as a run file has it."""

from __future__ import annotations

import tomllib
from pathlib import Path

from riskfed.errors import ConfigurationError
from riskfed.files import write_whole
from riskfed.toml_text import toml_key


def roster_line(bank: str, node: int) -> str:
    """``bank = "node id"``. The id is text, because it may need all of 64 bits, and TOML promises 63."""
    return f'{toml_key(bank)} = "{node}"'


def enter_node(path: Path, bank: str, node: int) -> int | None:
    """Put a bank's node into the file, which is made if absent.

    Returns:
        The node that the bank had there before, if any; Flower still admits it until it is unregistered.

    Raises:
        ConfigurationError: the file cannot be read or written, or holds anything else: comments and settings would be lost.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        roster = tables.pop("roster", {})
        if tables or not isinstance(roster, dict):
            raise ConfigurationError(
                f"{path} holds more than a table [roster]; enter this line by hand: {roster_line(bank, node)}"
            )
        before = {name: int(value) for name, value in roster.items()}
        nodes = {**before, bank: node}
        lines = [roster_line(name, nodes[name]) for name in sorted(nodes)]
        write_whole(path, "\n".join(["[roster]", *lines, ""]).encode())
        return before.get(bank)
    except OSError as error:
        raise ConfigurationError(f"cannot read or write {path}: {error.strerror}") from None
    except (ValueError, TypeError):
        raise ConfigurationError(f'{path} is not TOML with lines bank = "node id" in a table [roster]') from None
