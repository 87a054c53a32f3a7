"""One source, followed: which sound model it means now, without loading one twice or trying a broken one at every poll."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from riskfed.errors import RegistryError, RiskfedError
from riskfed.serving.engine.interface import Engine
from riskfed.serving.models.source import ModelFiles, ModelReference, ModelSource, SourceUnreachableError

_RETRY_SECONDS = 300.0
"""After that, a refused model is tried again: its files may have been repaired in place, which no reference tells."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that was loaded and has scored."""

    files: ModelFiles
    engine: Engine

    @property
    def reference(self) -> ModelReference:
        """Which model."""
        return self.files.reference


class RefusedModelError(RegistryError):
    """The source's current model is not sound.

    Attributes:
        reference: which one.
        is_news: False where the same was said before, without trying again.
    """

    def __init__(self, message: str, reference: ModelReference, *, is_news: bool) -> None:
        super().__init__(message)
        self.reference = reference
        self.is_news = is_news


def load(files: ModelFiles, build: Callable[[ModelFiles], Engine]) -> LoadedModel:
    """Build the engine and let it score.

    Raises:
        RegistryError: it cannot. Whatever else a hostile or spoilt file makes the parsers raise becomes one, told by its type alone.
    """
    try:
        engine = build(files)
        engine.check()
    except RegistryError:
        raise
    except RiskfedError as error:
        raise RegistryError(f"model {files.reference}: {error}") from None
    except Exception as error:
        raise RegistryError(
            f"model {files.reference} cannot be loaded ({type(error).__name__}); register a sound one"
        ) from None
    return LoadedModel(files, engine)


class Follower:
    """Follows one source. Not for several threads at once.

    Args:
        source: that is followed.
        build: makes an engine.
        retry_seconds: until a refused model is tried again. It is tried at once where its reference changes: another version, other
            files, other tags of sha256 or fingerprint.
        clock: seconds that only rise.
    """

    def __init__(
        self,
        source: ModelSource,
        build: Callable[[ModelFiles], Engine],
        *,
        retry_seconds: float = _RETRY_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.source = source
        self._build = build
        self._retry_seconds = retry_seconds
        self._clock = clock
        self._refused: tuple[ModelReference, str, float] | None = None

    def look(self, known: Iterable[LoadedModel]) -> LoadedModel:
        """The current model: one of `known` where it is among them, else downloaded, loaded and checked.

        Raises:
            SourceUnreachableError, NoModelError: as `ModelSource.resolve`.
            RefusedModelError: it is not sound.
        """
        reference = self.source.resolve()
        loaded = next((model for model in known if model.reference == reference), None)
        if loaded is None:
            self._raise_if_refused_lately(reference)
            loaded = self._load(reference)
        self._refused = None
        return loaded

    def _raise_if_refused_lately(self, reference: ModelReference) -> None:
        if self._refused is not None and self._refused[0] == reference and self._clock() < self._refused[2]:
            raise RefusedModelError(self._refused[1], reference, is_news=False)

    def _load(self, reference: ModelReference) -> LoadedModel:
        try:
            return load(self._download(reference), self._build)
        except SourceUnreachableError:
            raise
        except RegistryError as error:
            is_news = self._refused is None or self._refused[:2] != (reference, str(error))
            self._refused = reference, str(error), self._clock() + self._retry_seconds
            raise RefusedModelError(str(error), reference, is_news=is_news) from None

    def _download(self, reference: ModelReference) -> ModelFiles:
        try:
            return self.source.download(reference)
        except RegistryError:
            raise
        except Exception as error:  # as in `load`
            raise RegistryError(
                f"model {reference} cannot be read ({type(error).__name__}); register a sound one"
            ) from None
