"""``riskfed node keygen, pin, rotate, revoke, banks``: the key ceremony of docs/keys.md. Nothing here talks to the network."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from bank_nodes.cards import Card
    from bank_nodes.ceremony import KeyFiles

Config = Annotated[Path, typer.Option("--config", "-c", help="The bank's node file.")]
_NODE_FILE = Path("bank.toml")


def keygen(
    number: Annotated[
        int, typer.Option(min=1, help="Of the card: above the last one's, after the keys were lost.")
    ] = 1,
    config: Config = _NODE_FILE,
) -> None:
    """Make this bank's two keys, where the node file says, and the card that the other banks and the operator need.

    RISKFED_NODE__KEYS__PASSPHRASE, or a file named by RISKFED_NODE__KEYS__PASSPHRASE_FILE, encrypts the signing key.
    """
    from bank_nodes.ceremony import keygen as make_keys

    files = _files(config)
    card = make_keys(files, _today(), number)
    typer.echo(f"signing key   {files.identity} (secret, mode 0600)")
    typer.echo(f"Flower key    {files.node} (secret, mode 0600)")
    _show_card(card, files)
    typer.echo("Send the card to the other banks and to the operator, by e-mail if you like. When they call, read the")
    typer.echo("fingerprint out to them; let them read out theirs.")


def pin(
    card: Annotated[Path, typer.Argument(help="The card that another bank has sent.")],
    fingerprint: Annotated[
        str | None, typer.Option(help="As the bank has read it out on the telephone; not as an e-mail says.")
    ] = None,
    config: Config = _NODE_FILE,
) -> None:
    """Take another bank's card into the consortium file, if its fingerprint or the key that is pinned vouches for it."""
    from bank_nodes.cards import read_card
    from bank_nodes.ceremony import pin as take

    files, read = _files(config), read_card(card)
    before = files.pinned()
    after = take(before, read, fingerprint, _today())
    if after == before:
        typer.echo(f"{read.bank} is pinned with these keys already; nothing to do")
        return
    after.save(files.consortium)
    how = {"telephone": "by telephone", "chain": "by the key before", "own": "as this bank's own"}
    typer.echo(f"{read.bank} is pinned {how[after.banks[read.bank].trust]}, card {read.sequence}, {read.fingerprint}")
    typer.echo("The node takes it up when it is started again.")


def rotate(config: Config = _NODE_FILE) -> None:
    """Make new keys for this bank, and a card that the old key vouches for. Old keys are kept beside the new ones."""
    from bank_nodes.ceremony import rotate as make_new

    files = _files(config)
    card, kept = make_new(files, _today())
    typer.echo(f"old keys      {', '.join(map(str, kept))} (delete them once every bank has pinned the new card)")
    _show_card(card, files)
    typer.echo(
        "Send the card to the other banks, who pin it without a call, and to the operator, who registers it. Until"
    )
    typer.echo(
        "all have, runs with this bank fail. Then start the node again. If the old key may have been stolen, the"
    )
    typer.echo("others must revoke it first, and compare the new fingerprint by telephone.")


def revoke(
    bank: Annotated[str, typer.Argument(help="The bank whose keys are not to be believed any more.")],
    reason: Annotated[str, typer.Option(help="Why; for people.")],
    config: Config = _NODE_FILE,
) -> None:
    """Revoke another bank's keys here. They can never be pinned again, nor vouch for others; runs with the bank are refused."""
    from bank_nodes.ceremony import revoke as mark

    files = _files(config)
    after = mark(files.pinned(), bank, files.bank, reason, _today())
    after.save(files.consortium)
    typer.echo(
        f"the keys of {bank} are revoked ({after.revoked[-1].fingerprint}). Tell the other banks: each must revoke for itself."
    )
    typer.echo("The node takes it up when it is started again; do that now.")


def banks(config: Config = _NODE_FILE) -> None:
    """List the banks that are pinned here, with fingerprint, number of the card and state; then the keys that were revoked."""
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    from bank_nodes.ceremony import overview

    whole = Column("fingerprint", no_wrap=True, min_width=39)
    table = Table("bank", whole, "card", "state", box=None, pad_edge=False)
    for name, fingerprint, sequence, state in overview(_files(config).pinned()):
        table.add_row(Text(name), fingerprint, str(sequence), Text(state, overflow="fold"))
    Console().print(table)


def _files(config: Path) -> KeyFiles:
    from bank_nodes.ceremony import KeyFiles
    from bank_nodes.config import load_config

    return KeyFiles.of(load_config(config))


def _show_card(card: Card, files: KeyFiles) -> None:
    typer.echo(f"card          {files.card} (public, number {card.sequence})")
    typer.echo(f"fingerprint   {card.fingerprint}")


def _today() -> datetime.date:
    return datetime.datetime.now(datetime.UTC).date()
