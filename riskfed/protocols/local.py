"""The switchboard in one process: for notebooks, tests and benchmarks. The same programs, protection and frames as over Flower."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

        Parties take turns in one thread: at the sizes of a notebook, several threads only wait for each other's interpreter lock.

        Raises:
            RiskfedError: what the first party (or the switchboard) to fail raised.
        """
        try:
            batches = {bank: self.parties[bank].begin() for bank in self.order}
            while any(batches.values()):
                answers = self.switchboard.round(batches)
                batches = {bank: self.parties[bank].receive(answers[bank]) for bank in self.order}
        except RiskfedError as error:
            self.switchboard.fail(str(error))
            raise
