"""Manual approval: plans that wait for a person at the bank, and what that person decided.

    approvals/                  beside the vault's log, mode 0700, of the vault's user
      <digest>.plan.json        a plan that was asked for, written by the vault
      <digest>.decision.json    what was decided on it, written by ``riskfed node approve`` or ``reject``

The digest (sha256) is over everything that a plan says but its run and attempt, so it stands for one question: this job, with these
banks, under this protection. People name it by its first digits; what is decided always holds the whole digest of the very plan that was
shown, so a plan made to look alike in its first digits gains nothing.

Whoever can write the folder can approve: the vault refuses to read one that anyone but its own user, or root, may write. An approval for
one run is used up when the vault's log says so, not when a file is gone.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import stat
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from riskfed.errors import ConfigurationError, RiskfedError
from riskfed.files import write_whole
from riskfed.plan import Plan

FOLDER: Final = "approvals"
SHORT: Final = 12
"""Digits of a digest that are shown."""
_PLAN, _DECISION = ".plan.json", ".decision.json"
_MOST_WAITING: Final = 100
_LONGEST_PLAN: Final = 1 << 16
_LEAST_DIGITS: Final = 8


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person decided on a plan.

    Attributes:
        digest: of the plan (`plan_digest`).
        verdict: "approved" or "rejected".
        by: login name, as the operating system knows it.
        at: when, ISO 8601 in UTC.
        until: end of the approval, ISO 8601 in UTC; None: it is for one run.
        id: random, so that each approval is used once only.
    """

    digest: str
    verdict: Literal["approved", "rejected"]
    by: str
    at: str
    until: str | None = None
    id: str = field(default_factory=lambda: secrets.token_hex(8))


@dataclass(frozen=True, slots=True)
class Asked:
    """A plan that was asked for.

    Attributes:
        digest: of the plan.
        plan: as it came, with the run that it came with last.
        at: when it came last, ISO 8601 in UTC.
        decision: the last one on it; None while it waits for the first.
    """

    digest: str
    plan: Plan
    at: str
    decision: Decision | None

    @property
    def waits(self) -> bool:
        """Whether a person has to decide: nobody has, or the plan came again after its approval was used up or over."""
        # A vault keeps a plan only if it refuses it for want of an approval.
        decision = self.decision
        return decision is None or (decision.verdict == "approved" and self.at > decision.at)


def plan_digest(plan: Plan) -> str:
    """sha256 (hex) of all that a plan says but its run and attempt."""
    asked = plan.model_dump(mode="json", exclude={"run", "attempt"})
    canonical = json.dumps(asked, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(b"riskfed approval 1\0" + canonical.encode()).hexdigest()


class Approvals:
    """The folder of one bank.

    Args:
        folder: where the files are; need not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, plan: Plan) -> str:
        """Write down a plan that waits; the folder is made where absent.

        Returns:
            The plan's digest.

        Raises:
            ConfigurationError: the folder is unsafe or cannot be written, or holds too many plans already.
        """
        digest, text = plan_digest(plan), plan.model_dump_json()
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._check_folder()
            waiting = self._digests(_PLAN) - self._digests(_DECISION) - {digest}
            if len(waiting) >= _MOST_WAITING or len(text) > _LONGEST_PLAN:
                # The server must not be able to fill the bank's disk.
                raise ConfigurationError(
                    f"{self.folder} holds {len(waiting)} undecided plans, or the new one is too long to be kept; look through them "
                    "with riskfed node pending, and reject what is not wanted"
                )
            _write(self.folder / (digest + _PLAN), {"at": _iso(datetime.now(UTC)), "plan": json.loads(text)})
        except OSError as error:
            raise ConfigurationError(f"cannot keep a plan in {self.folder}: {error.strerror}") from None
        return digest

    def decision(self, digest: str) -> Decision | None:
        """The last decision on a plan; None where there is none.

        Raises:
            ConfigurationError: the folder is unsafe, or the decision cannot be read.
        """
        path = self.folder / (digest + _DECISION)
        try:
            self._check_folder()
            found = Decision(**json.loads(path.read_bytes()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError):
            raise ConfigurationError(f"{path} cannot be read, or is no decision; decide again") from None
        if found.digest != digest:
            raise ConfigurationError(f"{path} holds a decision on another plan; decide again")
        return found

    def asked(self) -> list[Asked]:
        """All plans that are kept, the latest first.

        Raises:
            ConfigurationError: a file is damaged, or the folder cannot be read.
        """
        return sorted(map(self._read, self._digests(_PLAN)), key=lambda asked: asked.at, reverse=True)

    def find(self, digits: str) -> Asked:
        """The plan whose digest begins with `digits`.

        Raises:
            ConfigurationError: there is none, there are several, or its file is damaged.
        """
        found = [
            digest for digest in self._digests(_PLAN) if digest.startswith(digits) and len(digits) >= _LEAST_DIGITS
        ]
        if len(found) != 1:
            raise ConfigurationError(
                f"{len(found)} plans have a digest that begins with {digits!r}; give at least {_LEAST_DIGITS} digits of one that "
                "riskfed node pending lists"
            )
        return self._read(found[0])

    def decide(
        self, asked: Asked, verdict: Literal["approved", "rejected"], by: str, until: datetime | None = None
    ) -> Decision:
        """Write down what a person decided on the plan that was shown to them. A rejected plan is kept with the decision.

        Raises:
            ConfigurationError: it cannot be written, or `until` has passed.
        """
        now = datetime.now(UTC)
        if until is not None and until <= now:
            raise ConfigurationError(f"the approval would end at {until.isoformat()}, which has passed")
        ends = None if until is None else _iso(until.astimezone(UTC))
        decision = Decision(asked.digest, verdict, by, _iso(now), ends)
        try:
            self._check_folder()
            path = self.folder / (asked.digest + _DECISION)
            _write(path, asdict(decision))
            if os.geteuid() == 0:
                # The vault must be able to read what root decided.
                owner = self.folder.stat()
                os.chown(path, owner.st_uid, owner.st_gid)
        except OSError as error:
            raise ConfigurationError(
                f"cannot write in {self.folder}: {error.strerror}; decide as the vault's user"
            ) from None
        return decision

    def _digests(self, suffix: str) -> set[str]:
        """Digests of the plans of which there is a file of this kind."""
        try:
            names = os.listdir(self.folder)
        except FileNotFoundError:
            return set()
        except OSError as error:
            raise ConfigurationError(f"cannot read {self.folder}: {error.strerror}; look as the vault's user") from None
        return {name.removesuffix(suffix) for name in names if name.endswith(suffix) and not name.startswith(".")}

    def _read(self, digest: str) -> Asked:
        path = self.folder / (digest + _PLAN)
        try:
            fields = json.loads(path.read_bytes())
            plan, at = Plan(**fields["plan"]), str(fields["at"])
        except OSError as error:
            raise ConfigurationError(f"cannot read {path}: {error.strerror}; look as the vault's user") from None
        except (ValueError, TypeError, KeyError, RiskfedError):
            raise ConfigurationError(f"{path} is no plan that a vault has kept; delete it") from None
        if plan_digest(plan) != digest:
            raise ConfigurationError(f"{path} holds another plan than its name says; delete it")
        return Asked(digest, plan, at, self.decision(digest))

    def _check_folder(self) -> None:
        found = self.folder.lstat()
        safe = stat.S_ISDIR(found.st_mode) and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        # Root may decide for the vault's user, hence the folder's owner, whoever looks.
        if not safe or os.geteuid() not in (found.st_uid, 0):
            raise ConfigurationError(
                f"{self.folder} must be a folder of the vault's user that nobody else may write (mode 0700): whoever can write it "
                "can approve runs; mend it"
            )


def _write(path: Path, fields: dict[str, object]) -> None:
    write_whole(path, json.dumps(fields, indent=1, sort_keys=True).encode() + b"\n")


def _iso(time: datetime) -> str:
    return time.isoformat(timespec="microseconds")
