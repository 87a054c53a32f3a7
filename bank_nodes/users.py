"""The two users of a bank's node: the vault's, who may read records and keys, and the courier's, who must not.

Whoever commands the operator's SuperLink can run code as the courier's user. Between that code and the records stands nothing but file
permissions, so they are looked at here.
"""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, Self

from bank_nodes.approvals import FOLDER
from bank_nodes.config import NodeConfig
from riskfed.errors import ConfigurationError

_READ, _WRITE, _PASS = 4, 2, 1
_MOST_FILES: Final = 1000
"""Of a folder of records, so many are looked at; one job wrote them, with one mode."""


@dataclass(frozen=True, slots=True)
class Account:
    """A user of this machine.

    Attributes:
        name: as in the user database.
        uid, gid: user, and its own group.
        groups: all groups, its own among them.
        home: its home folder.
    """

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str

    @classmethod
    def of(cls, name: str, key: str) -> Self:
        """Look a user up.

        Args:
            name: as in the user database.
            key: of the node file that names it, for the message.

        Raises:
            ConfigurationError: there is no such user.
        """
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            raise ConfigurationError(
                f"{key} is {name!r}, and there is no such user here; make it, or correct the node file"
            ) from None
        return cls(name, entry.pw_uid, entry.pw_gid, tuple(os.getgrouplist(name, entry.pw_gid)), entry.pw_dir)

    def may(self, path: Path, wanted: int) -> bool:
        """Whether the mode bits of `path` and of the folders above it let this user have `wanted` of it (bits 4 read, 2 write, 1 pass).

        An access control list that lets a user in shows in the group's bits, and is not looked at beyond that.
        """
        real = path.resolve()
        return all(self._bits(folder) & _PASS for folder in real.parents) and self._bits(real) & wanted == wanted

    def may_read(self, path: Path) -> bool:
        """Whether it could read the file."""
        return self.may(path, _READ)

    def may_change(self, path: Path) -> bool:
        """Whether it could write the file, or put another in its place."""
        return self.may(path, _WRITE) or self.may(path.resolve().parent, _WRITE | _PASS)

    def _bits(self, path: Path) -> int:
        if self.uid == 0:
            return _READ | _WRITE | _PASS
        found = path.stat()
        if found.st_uid == self.uid:
            return found.st_mode >> 6 & 7
        return (found.st_mode >> 3 if found.st_gid in self.groups else found.st_mode) & 7


def accounts(config: NodeConfig) -> tuple[Account | None, Account | None]:
    """Whom to run vault and courier as; None: the present user.

    Raises:
        ConfigurationError: a user does not exist, only root can switch to it, or root was told of one user only.
    """
    vault, courier = config.vault.user, None if config.flower is None else config.flower.user
    found = _switch(vault, "vault.user"), _switch(courier, "flower.user")
    if os.geteuid() == 0 and (vault is None) != (courier is None):
        missing = "vault.user" if vault is None else "flower.user"
        raise ConfigurationError(
            f"started as root with no {missing}: name both users, so that neither part runs as root"
        )
    if vault is not None and vault == courier:
        raise ConfigurationError(f"vault.user and flower.user are both {vault}; the courier needs a user of its own")
    return found


def check_separation(config: NodeConfig) -> str:
    """Whether the courier's user is kept from all that is the bank's, but not from the vault's socket.

    Returns:
        What was found, for people.

    Raises:
        ConfigurationError: the courier could read or change something, or not connect; names each.
    """
    if config.flower is None or config.flower.user is None:
        return "no user of its own for the courier (flower.user)"
    courier = Account.of(config.flower.user, "flower.user")
    wrong = [f"could read {path}" for path in _precious(config) if path.exists() and courier.may_read(path)]
    vault = config.vault
    # Whoever can write an approval approves.
    held = (config.consortium.file, config.keys.identity, vault.log, vault.models, vault.log.parent / FOLDER)
    wrong += [f"could change {path}" for path in held if path.exists() and courier.may_change(path)]
    own = (config.flower.private_key, config.flower.root_certificates)
    wrong += [f"cannot read {path}" for path in own if path.exists() and not courier.may_read(path)]
    if (group := config.vault.socket_group) is None or _group(group) not in courier.groups:
        wrong.append(f"is not in vault.socket_group ({group}) and cannot connect to the vault")
    if wrong:
        raise ConfigurationError(
            f"the courier's user {courier.name} {'; '.join(dict.fromkeys(wrong))}. Mend owners and modes: "
            "whoever commands the operator's SuperLink can run code as that user"
        )
    return f"{courier.name} can reach the vault's socket only"


def _precious(config: NodeConfig) -> Iterator[Path]:
    yield config.keys.identity
    yield config.vault.log
    data = None if config.data is None else config.data.path
    for place in filter(None, (data, config.vault.models, config.vault.checkpoints, config.vault.kept)):
        yield place
        if place.is_dir():
            yield from islice((path for path in place.rglob("*") if path.is_file()), _MOST_FILES)


def _switch(name: str | None, key: str) -> Account | None:
    if name is None:
        return None
    account = Account.of(name, key)
    if account.uid == os.geteuid():
        return None
    if os.geteuid() != 0:
        raise ConfigurationError(
            f"{key} is {name}, and only root can run a process as another user: start riskfed node run as root, or "
            "riskfed node vault and riskfed node courier each as its own user"
        )
    return account


def _group(name: str) -> int:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise ConfigurationError(f"vault.socket_group is {name!r}, and there is no such group here; make it") from None
