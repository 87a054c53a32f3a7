"""The model in use. A newer one takes its place between two requests, once it has proven that it can score."""

from __future__ import annotations

import asyncio
import logging

from riskfed.errors import RiskfedError
from riskfed.scorecard.points import ScoreScale
from riskfed.serving.engine import ScoringEngine
from riskfed.serving.registry_client import ModelSource

_log = logging.getLogger("riskfed.serving")


class LiveModel:
    """Holds the engine that requests use and follows its source.

    Attributes:
        engine: the engine in use; None before the first refresh. Read it once per request: it may be another one the next time.
    """

    def __init__(self, source: ModelSource, scale: ScoreScale | None = None) -> None:
        self.engine: ScoringEngine | None = None
        self._source = source
        self._scale = scale

    def refresh(self) -> bool:
        """Take up the current model if it is another one, loads and scores. Blocks.

        Returns:
            True if the model changed.

        Raises:
            RegistryError: the source cannot be reached, or its model is not sound. The model in use stays.
        """
        reference = self._source.resolve()
        if self.engine is not None and self.engine.model == reference:
            return False
        engine = ScoringEngine(self._source.download(reference), self._scale)
        engine.check()
        # One assignment: a request sees the old engine or the new one, whole.
        self.engine = engine
        return True

    async def follow(self, seconds: float) -> None:
        """Refresh every `seconds` until cancelled; requests go on meanwhile."""
        while True:
            await asyncio.sleep(seconds)
            try:
                if await asyncio.to_thread(self.refresh) and self.engine is not None:
                    _log.info("now scoring with %s", self.engine.model)
            except RiskfedError as error:
                _log.warning("the model in use stays: %s", error)
            except Exception as error:  # a defect in one refresh must not end the following
                _log.error("the model in use stays: %s", type(error).__name__)
