"""The switchboard in one process: for notebooks, tests and benchmarks. The same programs, protection and frames as over Flower."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from riskfed.errors import RiskfedError
from riskfed.protocols.party import Party
from riskfed.protocols.switchboard import Switchboard


@dataclass(slots=True)
class LocalSwitchboard:
    """Runs all parties of a run to the end.

    Attributes:
        switchboard: the hub.
        parties: bank -> its party, for the whole roster.
        order: in which banks are served; the result does not depend on it.
    """

    switchboard: Switchboard
    parties: Mapping[str, Party]
    order: Sequence[str]

    def run(self) -> None:
        """Serve every step until all parties have finished.

        Raises:
            RiskfedError: what the first party (or the switchboard) to fail raised.
        """
        with ThreadPoolExecutor(max_workers=min(len(self.order), os.cpu_count() or 1)) as pool:
            try:
                batches = dict(zip(self.order, pool.map(self._begin, self.order), strict=True))
                while any(batches.values()):
                    answers = self.switchboard.round(batches)
                    served = pool.map(self._serve, self.order, [answers[bank] for bank in self.order])
                    batches = dict(zip(self.order, served, strict=True))
            except RiskfedError as error:
                self.switchboard.fail(str(error))
                raise

    def _begin(self, bank: str) -> bytes:
        return self.parties[bank].begin()

    def _serve(self, bank: str, answer: bytes) -> bytes:
        return self.parties[bank].receive(answer)
