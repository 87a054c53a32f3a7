"""The models in use. A newer one takes its place between two requests, once it has proven that it can score.

Whatever goes wrong with a source, its model or its answer, the champion in use stays, and `LiveModels.status` says so: an applicant is
better scored by yesterday's model than not at all. This holds for a restart too: a service that cannot take up its champion starts with the
local copy of the last one, which it would be using, had it not been restarted.

One thread at a time refreshes, any number reads: all that a reader needs is one frozen object, replaced by one assignment.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from riskfed.errors import RegistryError, RiskfedError
from riskfed.serving.engine.engine import ScoringEngine
from riskfed.serving.engine.interface import Engine
from riskfed.serving.models.challenger import Challengers
from riskfed.serving.models.follower import Follower, LoadedModel, RefusedModelError, load
from riskfed.serving.models.local_copy import LocalCopy
from riskfed.serving.models.polling import poll
from riskfed.serving.models.source import ModelFiles, ModelReference, ModelSource
from riskfed.serving.models.status import ModelChange, ModelStatus, ServedVersion, UnknownVersionError

__all__ = ["LiveModels", "ModelChange", "ModelStatus", "ServedVersion", "UnknownVersionError"]

_log = logging.getLogger("riskfed.serving")


@dataclass(frozen=True, slots=True)
class _Standing:
    """All that a request may need, as one."""

    champion: ServedVersion | None = None
    retained: tuple[ServedVersion, ...] = ()
    challenger: Engine | None = None


def _ignore(change: ModelChange) -> None:
    del change


class LiveModels:
    """Holds the engines that requests use, and follows their sources.

    Args:
        champion: where the model comes from that answers.
        challenger: where the model comes from that scores in the shadow. What goes wrong with it touches nothing else.
        copy: keeps the last champion for a start without the registry.
        retained: how many former champions can still be asked for by version.
        build: makes the engine of a model's files; raises RegistryError where they are not sound.
        on_change: told of each change before it takes effect, in the thread that refreshes. Where it raises a RiskfedError, the change is
            not made: a model that no audit line names must not answer.
    """

    def __init__(
        self,
        champion: ModelSource,
        *,
        challenger: ModelSource | None = None,
        copy: LocalCopy | None = None,
        retained: int = 2,
        build: Callable[[ModelFiles], Engine] = ScoringEngine,
        on_change: Callable[[ModelChange], None] = _ignore,
    ) -> None:
        self._build = build
        self._champions = Follower(champion, build)
        self._challengers = None if challenger is None else Challengers(Follower(challenger, build))
        self._copy, self._most_retained, self._on_change = copy, retained, on_change
        self._refreshing = threading.Lock()
        self._standing = _Standing()
        self._told: ModelReference | None = None
        self._status = ModelStatus("not_ready", problem="no model was loaded yet")
        self._copy_problem: str | None = None

    @property
    def champion(self) -> Engine | None:
        """The engine in use; None before the first. Read it once per request: it may be another one the next time."""
        served = self._standing.champion
        return None if served is None else served.engine

    @property
    def challenger(self) -> Engine | None:
        """The engine in the shadow, of the champion's schema; None where there is none."""
        return self._standing.challenger

    @property
    def compared(self) -> tuple[Engine, Engine] | None:
        """Champion and challenger of one moment; None where there is no challenger."""
        standing = self._standing
        if standing.champion is None or standing.challenger is None:
            return None
        return standing.champion.engine, standing.challenger

    def version(self, version: str | None) -> ServedVersion:
        """A served version; None: the champion.

        Raises:
            UnknownVersionError: it is not served.
        """
        served = self.served()
        for one in served:
            if version is None or one.engine.model.version == version:
                return one
        raise UnknownVersionError(tuple(one.engine.model.version for one in served))

    def served(self) -> tuple[ServedVersion, ...]:
        """The champion, then former ones, the latest first."""
        standing = self._standing
        return () if standing.champion is None else (standing.champion, *standing.retained)

    def status(self) -> ModelStatus:
        """How things stand; cheap."""
        return self._status

    def start(self) -> None:
        """Take up the first model: the source's, or, where that fails, the local copy of the last champion. Blocks.

        Raises:
            RegistryError: there is neither.
        """
        try:
            self.refresh()
        except RegistryError as error:
            if self._standing.champion is None:
                self._start_warm(error)

    def refresh(self) -> bool:
        """Take up the current champion, and challenger, if it is another one, loads and scores. Blocks.

        Returns:
            True if the champion changed.

        Raises:
            RegistryError: the source cannot be reached, or its model is not sound. The model in use stays.
            AuditError: the change could not be told of. The model in use stays.
        """
        with self._refreshing:
            before = self.champion
            try:
                self._follow_champion()
            except RefusedModelError as error:
                self._note(str(error), refused=str(error.reference))
                self._follow_challenger()
                raise
            except RiskfedError as error:
                # The challenger's source is the same registry as a rule: it is not waited for twice.
                self._note(str(error))
                raise
            self._note(None)
            self._follow_challenger()
            return self.champion is not before

    async def follow(self, seconds: float) -> None:
        """Refresh about every `seconds` until cancelled, less often while the source cannot be reached; requests go on meanwhile."""
        await poll(self.refresh, seconds)

    def _follow_champion(self) -> None:
        served = self.served()
        try:
            found = self._champions.look([LoadedModel(one.files, one.engine) for one in served])
        except RefusedModelError as error:
            if error.is_news:
                self._tell_refused(error, self.champion)
            raise
        if not served or found.reference != served[0].files.reference:
            self._take_up(found)
        elif self._copy_problem is not None:
            self._keep_copy(found.files)

    def _take_up(self, model: LoadedModel, *, told: str = "") -> None:
        """Make a checked model the champion: audit line, then at once the swap, which cannot fail, then the local copy."""
        standing, now = self._standing, datetime.now(UTC)
        before = standing.champion
        self._on_change(
            ModelChange(
                "champion", model.reference, model.engine.sha256, None if before is None else before.engine.model, told
            )
        )
        former = standing.retained if before is None else (_retained(before), *standing.retained)
        # A version asked for by its number must be one model, so another one of that number goes.
        others = [one for one in former if one.engine.model.version != model.reference.version]
        challenger = standing.challenger
        if self._challengers is not None and self._challengers.beside(model.files)[0] is not challenger:
            challenger = None
        self._standing = _Standing(
            ServedVersion(model.engine.under(model.reference), "champion", now, model.files),
            tuple(others[: self._most_retained]),
            challenger,
        )
        _log.info("now scoring with %s", model.reference)
        self._keep_copy(model.files)

    def _start_warm(self, error: RegistryError) -> None:
        """Start with the local copy, since the source fails.

        Raises:
            RegistryError: there is none that can be used.
        """
        try:
            kept = None if self._copy is None else self._copy.last(self._champions.source.identity)
            if kept is None:
                raise error
            files, kept_at = kept
            self._take_up(load(files, self._build), told="warm start")
        except RegistryError as damaged:
            if damaged is error:
                raise
            raise RegistryError(f"{error}; and {damaged}") from None
        problem = f"{error}; scoring with the local copy of {files.reference}, made {kept_at:%Y-%m-%d %H:%M} UTC"
        self._note(problem, refused=self._status.refused, warm=True)
        _log.warning("warm start: %s", problem)

    def _keep_copy(self, files: ModelFiles) -> None:
        """Keep a copy; a service that cannot goes on, and says so, and tries again at the next poll."""
        if self._copy is None:
            return
        try:
            self._copy.keep(self._champions.source.identity, files)
            self._copy_problem = None
        except OSError as error:
            self._copy_problem = (
                f"no local copy of {files.reference} could be written ({error.strerror}), so a restart needs the registry; "
                "make room for it, or let the service write there"
            )

    def _follow_challenger(self) -> None:
        standing = self._standing
        if self._challengers is None or standing.champion is None:
            return
        refused = self._challengers.look()
        engine, problem = self._challengers.beside(standing.champion.files)
        try:
            if refused is not None:
                self._tell_refused(refused, standing.challenger)
            self._tell_challenger(engine)
            self._standing = replace(standing, challenger=engine)
        except RiskfedError as error:  # what could not be audited is not done
            self._standing, problem = replace(standing, challenger=None), str(error)
        self._status = replace(self._status, challenger=_model(self.challenger), challenger_problem=problem)

    def _tell_challenger(self, engine: Engine | None) -> None:
        """Tell that another challenger scores from now on, or none."""
        before, now = self._told, _model(engine)
        if now == before:
            return
        if engine is not None:
            self._on_change(ModelChange("challenger", engine.model, engine.sha256, before))
        elif before is not None:
            self._on_change(ModelChange("challenger", before, before.model_sha256, before, "withdrawn"))
        self._told = now

    def _tell_refused(self, error: RefusedModelError, stays: Engine | None) -> None:
        reference = error.reference
        self._on_change(ModelChange("refused", reference, reference.model_sha256, _model(stays), str(error)))
        _log.warning("refused: %s", error)

    def _note(self, problem: str | None, *, refused: str | None = None, warm: bool | None = None) -> None:
        """Renew the status; without a problem of the source's, it has just confirmed the champion."""
        served, last = self._standing.champion, self._status
        confirmed = problem is None
        told = "; ".join(text for text in (problem, self._copy_problem) if text) or None
        self._status = replace(
            last,
            state="not_ready" if served is None else "ready" if told is None else "ready_with_problems",
            champion=None if served is None else served.engine.model,
            since=None if served is None else served.since,
            warm_start=warm if warm is not None else last.warm_start and not confirmed,
            last_success=datetime.now(UTC) if confirmed else last.last_success,
            problem=told,
            refused=refused,
        )


def _model(engine: Engine | None) -> ModelReference | None:
    return None if engine is None else engine.model


def _retained(before: ServedVersion) -> ServedVersion:
    """A former champion: the alias no longer leads to it."""
    engine = before.engine.under(replace(before.engine.model, alias=None))
    return replace(before, role="retained", engine=engine)
