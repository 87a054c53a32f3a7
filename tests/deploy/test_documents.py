"""What the pages tell people to type exists."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
import typer.main

from riskfed.cli import app
from tests.deploy.proxy import DEPLOY

PAGES = (DEPLOY.parent / "docs" / "keys.md", DEPLOY.parent / "docs" / "scoring.md", DEPLOY / "README.md")
LINE = re.compile(r"\briskfed ((?:[a-z]+ ?)+)([^\n`]*)")


def command(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that the words name, and the words that are left."""
    found: click.Command = typer.main.get_command(app)
    while words and isinstance(found, click.Group) and words[0] in found.commands:
        found, words = found.commands[words[0]], words[1:]
    return found, words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_options_exist(page: Path) -> None:
    typed = [match for match in LINE.finditer(page.read_text().replace("/opt/riskfed/bin/", "")) if match[1].strip()]
    checked = 0
    for match in typed:
        found, _ = command(match[1].split())
        if isinstance(found, click.Group):
            assert match[1].split()[0] not in {"node"}, f"no such command: riskfed {match[1]}"
            continue
        known = {option for parameter in found.params for option in parameter.opts}
        options = set(re.findall(r"(?<=\s)--[a-z-]+", " " + match[2].split("#")[0]))
        assert options <= known, match[0]
        checked += 1
    assert checked >= 3


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_linked_files_exist(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target
