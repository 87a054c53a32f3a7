"""Count what a run moved, from its events."""

from __future__ import annotations

from dataclasses import dataclass, field

from riskfed.protocols import events


@dataclass(slots=True)
class Books:
    """Counts what a run moved.

    Attributes:
        rounds: lock-steps served.
        received, sent: bytes by bank, as the server sees it.
        trees: trees grown so far.
        attempts: attempts begun.
    """

    rounds: int = 0
    received: dict[str, int] = field(default_factory=dict)
    sent: dict[str, int] = field(default_factory=dict)
    trees: int = 0
    attempts: int = 0

    def __call__(self, event: events.Event) -> None:
        """Take an event."""
        match event:
            case events.RoundFinished(received=received, sent=sent):
                self.rounds += 1
                for total, part in ((self.received, received), (self.sent, sent)):
                    for bank, size in part.items():
                        total[bank] = total.get(bank, 0) + size
            case events.ProgressMade(step=step):
                self.trees = step
            case events.RunStarted():
                self.attempts += 1
