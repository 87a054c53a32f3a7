"""The steps of the descent, the same on both sides.

Each step takes three exchanges. Both parties send and answer in each, so neither waits for the other:

    1  terms      d vectors of N + d numbers, encrypted under the sender's own key     (`riskfed.linear.encoders`: what the other needs)
    2  questions  weighted sums of the other's vectors, masked                         f sums for each dimension
    3  sums       the questions, opened by the key's holder: masked as they are
       each takes its masks off, and has its own gradient

Secret: the keys' private parts, terms, weights, masks and sums. Who learns what, of parties that follow the protocol: each its own
gradient, f times d numbers a step; a key holder nothing of the sums that it opens. It opens as many as the other party has inputs, no more.

Not covered: a party that picks other weights than these. One that weighs a single customer with 1 learns a number of that customer, and
the masks that hide its gradient hide that too (`riskfed.secure.encrypted_vectors`). Parties trust each other's program here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from riskfed.errors import RemoteProtocolError
from riskfed.jobs import FederatedTransfer
from riskfed.linear.encoders import Bounds, Whole
from riskfed.linear.rank_inputs import width_for
from riskfed.protocols.program import Exchange, Program
from riskfed.protocols.transfer.messages import join_messages, split_messages
from riskfed.protocols.vertical.exchange import only
from riskfed.protocols.vertical.place import Place
from riskfed.schema import Schema
from riskfed.secure.encrypted_vectors import VectorEncryptor, VectorKey, VectorLayout
from riskfed.secure.encrypted_vectors.messages import number_of_sums
from riskfed.secure.paillier_key import generate_paillier_key

KEYS: Final = "transfer, keys"
TERMS: Final = "transfer, terms"
QUESTIONS: Final = "transfer, questions"
SUMS: Final = "transfer, sums"
EXCHANGES: Final = 3
"""Of a step."""


class Side(Protocol):
    """What one party knows of the descent: `riskfed.linear.encoders.LabelSide` or `TargetSide`."""

    def terms(self) -> Whole:
        """(d, N + d) int64 for the other party."""
        ...

    def weights(self) -> Whole:
        """(d, N + d, f) int64 for the other party's terms."""
        ...

    def descend(self, sums: Sequence[Sequence[int]]) -> None:
        """One step, from the sums of the other's terms by `weights`."""
        ...


@dataclass(frozen=True, slots=True)
class EncryptedDescent:
    """One party's end of the steps.

    Attributes:
        partner: the other party.
        key: this party's; the other holds none of it.
        encryptor: of the partner's public key.
        partner_width: inputs of the partner's encoder: sums that it may ask for in each dimension.
    """

    partner: str
    key: VectorKey = field(repr=False)
    encryptor: VectorEncryptor
    partner_width: int

    @classmethod
    def open(cls, schema: Schema, job: FederatedTransfer, place: Place, customers: int) -> Program[EncryptedDescent]:
        """Make a key, and learn the partner's public one.

        Args:
            schema: the joint one.
            job: the parameters.
            place: this party's.
            customers: N, common ones that are learned from.

        Raises:
            JobError: sums of so many customers do not fit a plaintext.
            ProtectionError: the partner's key is too short.
            RemoteProtocolError: the partner's key is malformed.
        """
        (partner,) = place.partners
        layouts = _layouts(job, place.key_bits, customers)
        key = VectorKey(generate_paillier_key(place.key_bits), layouts[place.me])
        received = yield Exchange({partner: key.public}, KEYS)
        public, least = only(received, partner), place.rules.least_key_bits
        encryptor = VectorEncryptor(public, layouts[partner], least_key_bits=least)
        return cls(partner, key, encryptor, width_for(len(schema.part_of(partner).columns)))

    def step(self, side: Side) -> Program[None]:
        """One step of both encoders.

        Raises:
            RemoteProtocolError: the partner's message is malformed, or it asks for more sums than it has inputs.
            ProtectionError: an opened sum is none that the rows can have.
        """
        terms, weights = side.terms(), side.weights()
        encrypted = [self.key.encrypt(vector) for vector in terms]
        vectors = yield from self._swap(TERMS, encrypted)  # 1
        asked = [
            self.encryptor.read(vector, len(rows)).weighted_sums(rows)
            for vector, rows in zip(vectors, weights, strict=True)
        ]
        questions = yield from self._swap(QUESTIONS, [sums.question for sums in asked])  # 2
        opened = yield from self._swap(SUMS, [self._opened(question) for question in questions])  # 3
        side.descend([sums.reveal(answer) for sums, answer in zip(asked, opened, strict=True)])

    def _swap(self, label: str, messages: Sequence[bytes]) -> Program[list[bytes]]:
        """Send a message for each dimension, and get as many."""
        received = yield Exchange({self.partner: join_messages(messages)}, label)
        return split_messages(only(received, self.partner), len(messages), self.partner)

    def _opened(self, question: bytes) -> bytes:
        if (asked := number_of_sums(question)) != self.partner_width:
            raise RemoteProtocolError(
                f"{self.partner} asks for {asked} sums of a dimension; its encoder has {self.partner_width} inputs; its operator must act"
            )
        return self.key.open(question)


def _layouts(job: FederatedTransfer, key_bits: int, customers: int) -> dict[str, VectorLayout]:
    """Party -> where numbers lie under its key."""
    bounds = {
        job.label_holder: Bounds.of_label_holder(job, customers),
        job.target: Bounds.of_target(job, customers),
    }
    rows = customers + job.dimensions
    return {
        party: VectorLayout(key_bits, of_party.terms, of_party.weights, rows, job.rows_per_ciphertext)
        for party, of_party in bounds.items()
    }
