"""Which model may score in the champion's shadow."""

from __future__ import annotations

from riskfed.errors import RegistryError
from riskfed.serving.engine.interface import Engine
from riskfed.serving.engine.vertical import own_schema
from riskfed.serving.models.follower import Follower, LoadedModel, RefusedModelError
from riskfed.serving.models.source import ModelFiles, NoModelError


class Challengers:
    """Follows the challenger's source; nothing that happens there is raised.

    Attributes:
        problem: why the source's model is not there, or not followed; None also where the source has no challenger, which is usual.
    """

    def __init__(self, follower: Follower) -> None:
        self.problem: str | None = None
        self._follower = follower
        self._loaded: LoadedModel | None = None

    def look(self) -> RefusedModelError | None:
        """Look at the source. Blocks.

        Returns:
            a refusal that was not told before.
        """
        try:
            self._loaded = self._follower.look([self._loaded] if self._loaded is not None else [])
            self.problem = None
        except NoModelError:
            self._loaded, self.problem = None, None
        except RefusedModelError as error:
            self._loaded, self.problem = None, str(error)
            return error if error.is_news else None
        except RegistryError as error:  # unreachable: the one that is loaded goes on
            self.problem = str(error)
        return None

    def beside(self, champion: ModelFiles) -> tuple[Engine | None, str | None]:
        """The engine that may score the rows that are encoded for `champion`, or None and why."""
        if self._loaded is None:
            return None, self.problem
        files = self._loaded.files
        if (files.reference.source, files.sha256) == (champion.reference.source, champion.sha256):
            return None, f"challenger {files.reference} is the champion itself: there is nothing to compare"
        if files.partners:
            return None, (
                f"challenger {files.reference} needs partners, who are asked for the champion's scores only; a joint model is compared "
                "by its held-out figures"
            )
        if files.schema.fingerprint != own_schema(champion).fingerprint:
            return None, (
                f"challenger {files.reference} has another schema than champion {champion.reference}, so it cannot score the champion's "
                "applicants; train it on the champion's schema"
            )
        return self._loaded.engine, self.problem
