"""The Flower strategy: combines the banks' encrypted updates, and can read none of them.

One round is one lock-step of the switchboard: `configure_train` makes a message for each bank, `aggregate_train` takes all their
replies, has the switchboard add and forward what is in them, and keeps the answers for the next `configure_train`. What a round is
about (keys, a canary, a histogram of level 3) only the banks know. This module holds no key and imports nothing that could use one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy

from riskfed.errors import BankLostError, ConfigurationError, ProtocolError, RemoteProtocolError, RiskfedError
from riskfed.flower.carriers import Carrier, MessageCarrier
from riskfed.flower.codec import decode, encode, release_arrays
from riskfed.flower.run_file import Limits
from riskfed.protocols.frames import Frame, Kind, decode_batch, encode_batch
from riskfed.protocols.switchboard import Switchboard

_log = logging.getLogger("riskfed.strategy")
_POLL_SECONDS = 0.5
_DIAL_SECONDS = 60.0
"""Most that a courier tries to reach the session, which listens before it is invited: if nobody answers, the run is over."""


class BlindAggregation(Strategy):
    """Lock-step rounds over the banks of a run's roster, until the result is released.

    Args:
        switchboard: serves the run; knows the plan.
        nodes: bank -> id of its registered Flower node, for the whole roster.
        limits: how long to wait.
        carrier: makes the transport from a grid; None means Flower messages.
        waits_for_lost: whether another attempt follows when a bank is lost.

    Attributes:
        unconfirmed: bank -> why it did not confirm that it has stored the released result.

    Raises:
        ConfigurationError: `nodes` names other banks than the roster.
    """

    def __init__(
        self,
        switchboard: Switchboard,
        nodes: Mapping[str, int],
        limits: Limits,
        carrier: Callable[[Grid], Carrier] | None = None,
        *,
        waits_for_lost: bool = False,
    ) -> None:
        plan = switchboard.plan
        if set(nodes) != set(plan.roster):
            raise ConfigurationError(f"nodes of {', '.join(sorted(nodes))}, expected those of {', '.join(plan.roster)}")
        self.unconfirmed: dict[str, str] = {}
        self._switchboard = switchboard
        self._nodes = dict(nodes)
        self._banks = {node: bank for bank, node in nodes.items()}
        self._limits = limits
        self._carrier = carrier or (lambda grid: MessageCarrier(grid, nodes, limits))
        self._waits_for_lost = waits_for_lost
        self._run = f"{plan.run}/{plan.attempt}"
        opening = encode_batch([Frame(Kind.PLAN, 0, plan.model_dump_json().encode())])
        self._answers = dict.fromkeys(plan.roster, opening)
        self._over = False

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """The messages that carry the answers of the round before; the plan in the first round, none once the run is over."""
        del arrays, config, grid
        return [] if self._over else self._messages(self._answers, server_round)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Combine the encrypted updates of one round.

        Returns:
            The released result (see `release_arrays`) in the round that releases it, else None; and the round's traffic.

        Raises:
            RiskfedError: see `Switchboard.round`.
        """
        batches = self._batches(replies)
        _log.debug("round %d: batches of %s", server_round, ", ".join(batches))
        if self._switchboard.finished:
            self._over = True
            self.unconfirmed = {bank: _why(batch) for bank, batch in batches.items() if batch}
            return None, None
        self._answers = self._switchboard.round(batches)
        traffic = MetricRecord(
            {
                "bytes_received": sum(len(batch) for batch in batches.values()),
                "bytes_sent": sum(len(answer) for answer in self._answers.values()),
            }
        )
        release = self._switchboard.release
        return release_arrays(release.to_bytes()) if release is not None else None, traffic

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Nothing to send: the banks' program evaluates the model itself, under the same protection."""
        del server_round, arrays, config, grid
        return []

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Nothing to add, see `configure_evaluate`."""
        del server_round, replies
        return None

    def summary(self) -> None:
        """Log what the run is."""
        plan = self._switchboard.plan
        _log.info("%s over %s, protection %s", plan.job.kind, ", ".join(plan.roster), plan.protection)

    def start(
        self,
        grid: Grid,
        initial_arrays: ArrayRecord | None = None,
        num_rounds: int = 0,
        timeout: float = 0,
        train_config: ConfigRecord | None = None,
        evaluate_config: ConfigRecord | None = None,
        evaluate_fn: Callable[[int, ArrayRecord], MetricRecord | None] | None = None,
    ) -> Result:
        """Run to the end, over the strategy's transport.

        The protocol says how many rounds there are and `limits` how long they may take, so all arguments but `grid` are ignored.
        They are there because the base class has them.

        Raises:
            BankLostError: a bank was lost; where the server waits for it, the banks' checkpoints hold what was done.
            RiskfedError: the run failed. All banks that are still there have been told why.
        """
        del num_rounds, timeout, evaluate_config, evaluate_fn
        self.summary()
        arrays, config, result = initial_arrays or ArrayRecord(), train_config or ConfigRecord(), Result()
        try:
            self._wait_for_nodes(grid)
        except RiskfedError as error:
            self._end(error, str(error))
            raise
        with self._carrier(grid) as carrier:
            try:
                self._drive(carrier, grid, arrays, config, result)
            except Exception as error:
                self._take_leave(carrier, error)
        return result

    def _drive(self, carrier: Carrier, grid: Grid, arrays: ArrayRecord, config: ConfigRecord, result: Result) -> None:
        server_round = 0
        while messages := list(self.configure_train(server_round, arrays, config, grid)):
            replies = carrier.exchange(messages)
            released, traffic = self.aggregate_train(server_round, replies)
            if released is not None:
                result.arrays = released
            if traffic is not None:
                result.train_metrics_clientapp[server_round] = traffic
            server_round += 1

    def _take_leave(self, carrier: Carrier, error: Exception) -> None:
        reason = (
            str(error)
            if isinstance(error, RiskfedError)
            else "internal error of the server; its operator must read its log"
        )
        if self._switchboard.finished:
            # The result is out and every bank has released it. What failed is a bank's last word.
            self.unconfirmed = dict.fromkeys(self._nodes, reason)
            return
        farewell = self._end(error, reason)
        carrier.farewell(self._messages(dict.fromkeys(self._nodes, farewell), -1))
        raise error

    def _end(self, error: Exception, reason: str) -> bytes:
        again = self._waits_for_lost and isinstance(error, BankLostError)
        return self._switchboard.interrupt(reason) if again else self._switchboard.fail(reason)

    def _wait_for_nodes(self, grid: Grid) -> None:
        deadline = time.monotonic() + self._limits.connect_timeout
        while absent := sorted(self._banks[node] for node in set(self._banks) - set(grid.get_node_ids())):
            if time.monotonic() > deadline:
                raise BankLostError(
                    f"the nodes of {', '.join(absent)} are not connected after {self._limits.connect_timeout:g} s; "
                    "their operators must start them (`riskfed node run`)"
                )
            time.sleep(_POLL_SECONDS)

    def _messages(self, batches: Mapping[str, bytes], server_round: int) -> list[Message]:
        limits = self._limits
        waits = {"round_timeout": limits.round_timeout, "connect_timeout": min(limits.connect_timeout, _DIAL_SECONDS)}
        return [
            Message(
                encode(batch, run=self._run, **waits),
                self._nodes[bank],
                "train.step",
                ttl=limits.round_timeout + limits.farewell_timeout,
                group_id=str(server_round),
            )
            for bank, batch in batches.items()
        ]

    def _batches(self, replies: Iterable[Message]) -> dict[str, bytes]:
        batches: dict[str, bytes] = {}
        for reply in replies:
            bank = self._banks.get(reply.metadata.src_node_id)
            if bank is None:
                raise RemoteProtocolError("a reply came from a node that is not in the roster")
            if bank in batches:
                raise RemoteProtocolError(f"bank {bank} replied twice in one round")
            batches[bank] = decode(reply.content)[0]
        return batches


def _why(batch: bytes) -> str:
    try:
        frame: Any = decode_batch(batch)[-1]
    except ProtocolError as error:
        return str(error)
    return (
        frame.body.decode(errors="replace")
        if frame.kind is Kind.FAILED
        else f"sent {frame.kind.name} after the release"
    )
