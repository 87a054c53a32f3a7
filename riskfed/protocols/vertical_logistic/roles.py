"""Who does what in a run."""

from __future__ import annotations

from dataclasses import dataclass

from riskfed.errors import JobError
from riskfed.jobs import VerticalLogistic
from riskfed.protocols.program import Exchange, Program
from riskfed.protocols.vertical.exchange import only
from riskfed.protocols.vertical.place import Place
from riskfed.protocols.vertical_logistic.messages import PUBLIC_KEY
from riskfed.protocols.vertical_logistic.residuals import Encryptors


@dataclass(frozen=True, slots=True)
class Roles:
    """The parties of a run.

    Attributes:
        label_holder, coordinator: one each.
        feature_holders: the others, in order.
    """

    label_holder: str
    coordinator: str
    feature_holders: tuple[str, ...]

    @classmethod
    def of(cls, roster: tuple[str, ...], job: VerticalLogistic) -> Roles:
        """Of a roster.

        Raises:
            JobError: it lacks a party that the job names.
        """
        named = (job.label_holder, job.coordinator)
        if missing := [name for name in named if name not in roster]:
            raise JobError(
                f"{', '.join(missing)} is not in the roster {', '.join(roster)}; the operator must plan anew"
            )
        return cls(*named, tuple(name for name in sorted(roster) if name not in named))

    @property
    def record_holders(self) -> tuple[str, ...]:
        """All but the coordinator."""
        return (self.label_holder, *self.feature_holders)

    def receive_keys(self, job: VerticalLogistic, place: Place) -> Program[Encryptors]:
        """What a party with records does first.

        Raises:
            RemoteProtocolError: the coordinator sent no keys, or others.
            ProtectionError: the key is shorter than the party's policy demands.
        """
        received = yield Exchange({}, PUBLIC_KEY)
        data, holders = only(received, self.coordinator), len(self.feature_holders)
        return Encryptors.of(data, job, holders, place.key_bits, place.rules.least_key_bits)
