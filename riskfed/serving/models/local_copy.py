"""Copies of the champion on the service's own disk, so that a restart does not depend on the registry.

    folder/                      0700, the service's own
      <key of what is followed>/
        00000007-<version>/      0700; the highest number is the last champion
          model.json schema.json reference.json SHA256SUMS      0600; of a vertical model partners.json and fallback.json too

A copy is written whole under another name, synced and renamed; one that is there is never changed. It is used for the very place, name
and alias that it was made from, and for nothing else: a service that is pointed at another registry must not start with the old one's
model. Only the last one is ever started from. An older one was champion once, but somebody replaced it, perhaps because it decided
wrongly; to go back to it is a person's decision, in the registry. So a damaged last copy is refused, and the older ones are there for
people (each is a model folder that can be served by itself).

The checksums find damage. They do not stop someone who may write here: with the service's own rights, everything about it can be changed.
So a folder that others may write to, or that is another user's, is refused.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from riskfed.errors import ConfigurationError, RegistryError
from riskfed.files import PRIVATE, sync_folder, write_synced
from riskfed.serving.models.source import (
    FALLBACK,
    PARTNERS,
    ModelFiles,
    ModelReference,
    read_partners,
    read_schema,
)

_DIGITS = 8
_NUMBERED = re.compile(rf"\d{{{_DIGITS}}}-[A-Za-z0-9._-]{{1,64}}")
_DRAFT = ".draft-"
_SUMS = "SHA256SUMS"
_DAMAGE = (OSError, ValueError, LookupError, TypeError, RecursionError, RegistryError)


class LocalCopy:
    """The last champions, in a folder.

    Args:
        folder: made if absent.
        kept: how many copies of what is followed stay.

    Raises:
        ConfigurationError: the folder cannot be made, or is not this user's alone to write.
    """

    def __init__(self, folder: Path, *, kept: int = 3) -> None:
        self._folder = Path(folder)
        self._kept = max(kept, 1)
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            own = _is_own(self._folder)
        except OSError as error:
            raise ConfigurationError(
                f"{self._folder}: no models can be kept here ({error.strerror}); name another folder"
            ) from None
        if not own:
            raise ConfigurationError(
                f"{self._folder}: another user owns it or may write to it, and so could choose the model; chown it, chmod go-w"
            )

    def keep(self, identity: str, files: ModelFiles) -> None:
        """Make `files` the last copy of what `identity` follows; nothing is written where it is already.

        Raises:
            OSError: it cannot be written; what was the last copy still is.
        """
        place = self._place(identity)
        place.mkdir(mode=0o700, exist_ok=True)
        with _locked(place):
            copies = _numbered(place)
            if copies and _same(copies[-1], identity, files.reference):
                return
            for left in place.glob(f"{_DRAFT}*"):  # by a crash
                shutil.rmtree(left)
            draft = place / f"{_DRAFT}{secrets.token_hex(4)}"
            number = int(copies[-1].name[:_DIGITS]) + 1 if copies else 1
            _write(draft, _contents(identity, files))
            draft.rename(place / f"{number:0{_DIGITS}d}-{_label(files.reference.version)}")
            sync_folder(place)
            for old in _numbered(place)[: -self._kept]:
                shutil.rmtree(old)

    def last(self, identity: str) -> tuple[ModelFiles, datetime] | None:
        """The last copy of what `identity` follows, and when it was made; None where there is none.

        Raises:
            RegistryError: it is damaged, or was changed.
        """
        try:
            copies = _numbered(self._place(identity))
        except FileNotFoundError:
            return None
        if not copies:
            return None
        try:
            return _read(copies[-1], identity)
        except _DAMAGE as error:
            raise RegistryError(
                f"the local copy {copies[-1]} is damaged ({type(error).__name__}) and is not used, nor is an older one, which is not the "
                "last champion; start the service while the registry answers"
            ) from None

    def _place(self, identity: str) -> Path:
        return self._folder / hashlib.sha256(identity.encode()).hexdigest()[:16]


def _is_own(folder: Path) -> bool:
    found = folder.stat()
    return found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _numbered(place: Path) -> list[Path]:
    """Copies, the oldest first."""
    return sorted((entry for entry in place.iterdir() if _NUMBERED.fullmatch(entry.name)), key=lambda entry: entry.name)


def _label(version: str) -> str:
    """A version as part of a file's name."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", version)[:64] or "_"


def _contents(identity: str, files: ModelFiles) -> dict[str, bytes]:
    """File name -> content. The last one is in the format of sha256sum, so that a person can check a copy with it."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    record = {
        "identity": identity,
        "kept_at": now,
        "reference": asdict(files.reference),
        "facts": dict(files.facts),
    }
    schema = json.dumps(files.schema.model_dump(mode="json"), indent=1)
    contents = {
        "model.json": files.model,
        "schema.json": schema.encode(),
        "reference.json": json.dumps(record, indent=1).encode(),
    }
    if files.partners:
        partners = [partner.to_dict() for partner in files.partners]
        contents |= {PARTNERS: json.dumps(partners, indent=1).encode(), FALLBACK: files.fallback}
    return {**contents, _SUMS: _sums(contents)}


def _sums(contents: Mapping[str, bytes]) -> bytes:
    return "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in contents.items()).encode()


def _write(draft: Path, contents: Mapping[str, bytes]) -> None:
    draft.mkdir(mode=0o700)
    for name, content in contents.items():
        write_synced(draft / name, content, mode=PRIVATE)
    sync_folder(draft)


def _read(copy: Path, identity: str) -> tuple[ModelFiles, datetime]:
    names = ["model.json", "schema.json", "reference.json"]
    # Which files there are is what the sums say, so that one that is gone is missed.
    if PARTNERS.encode() in (copy / _SUMS).read_bytes():
        names += [PARTNERS, FALLBACK]
    contents = {name: (copy / name).read_bytes() for name in names}
    if (copy / _SUMS).read_bytes() != _sums(contents):
        raise ValueError(_SUMS)
    record = json.loads(contents["reference.json"])
    if record["identity"] != identity:
        raise ValueError("identity")
    reference = ModelReference(**record["reference"])
    schema = read_schema(contents["schema.json"], reference)
    partners = read_partners(contents[PARTNERS], reference) if PARTNERS in contents else ()
    fallback = contents.get(FALLBACK, b"")
    files = ModelFiles(reference, contents["model.json"], schema, record["facts"], partners, fallback)
    return files, datetime.fromisoformat(record["kept_at"])


def _same(copy: Path, identity: str, reference: ModelReference) -> bool:
    """Whether a copy is sound and of this model; what the registry tells readers of it may have changed."""
    try:
        return _read(copy, identity)[0].reference == reference
    except _DAMAGE:
        return False


@contextlib.contextmanager
def _locked(place: Path) -> Iterator[None]:
    """Alone among services that share the folder; the system frees the lock when one dies."""
    handle = os.open(place / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
