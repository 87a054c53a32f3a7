"""Flower's stock strategies on the banks' records: FedXgbBagging, FedXgbCyclic and FedAvg of flwr 1.41, as they are.

The strategies are Flower's own classes; they make and read real Messages. Only the network is left out: `InProcessGrid` hands each
message to the bank that it is for. The banks do what Flower's documentation has clients do: in the first round a bank boosts a model
of its own; later it boosts the global model once on its own records, and sends the new trees (bagging) or the whole model (cyclic).
A round is `configure_train`, the exchange, `aggregate_train`, as in `Strategy.start`, without its exchange for evaluation.
"""

from __future__ import annotations

import logging
import random
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xgboost
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg, FedXgbBagging, FedXgbCyclic, Strategy
from flwr.supercore.task_identity import TaskIdentity

from riskfed.jobs import HorizontalXgboost
from riskfed.protocols.records import Records
from riskfed.trees.reference import xgboost_parameters

# Its strategies report every round, and warn that there is no evaluation.
logging.getLogger("flwr").setLevel(logging.ERROR)

Client = Callable[[Message], RecordDict]
"""What one bank answers to a message."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One message that the server saw: `direction` is "received" (from the bank) or "sent" (to it)."""

    round: int
    bank: str
    direction: str
    content: RecordDict = field(repr=False)

    @property
    def data(self) -> bytes:
        """The content as Flower serialises it, all of its objects one after the other."""
        return b"".join(_objects(self.content))


@dataclass(frozen=True, slots=True)
class StockRun:
    """What a strategy left: the global model, and all messages in order."""

    arrays: ArrayRecord
    messages: Sequence[Sent] = field(repr=False)
    rounds: int

    @property
    def booster(self) -> xgboost.Booster:
        """The global model of an XGBoost strategy."""
        return load(self.arrays)

    @property
    def bytes(self) -> int:
        """Serialised contents of all messages, both directions."""
        return sum(len(part) for message in self.messages for part in _objects(message.content))


class InProcessGrid(Grid):
    """A Grid whose nodes are functions in this process; keeps every message."""

    def __init__(self, clients: Mapping[str, Client]) -> None:
        # A Message states run and node, which flwr sets in the process of a ServerApp.
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1
        self._banks = {node: (bank, client) for node, (bank, client) in enumerate(clients.items(), 2)}
        self._replies: dict[str, Message] = {}
        self.messages: list[Sent] = []
        self.round = 0

    def get_node_ids(self) -> list[int]:
        """Numbers of the banks, in the order in which they were given."""
        return list(self._banks)

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Have each message answered at once."""
        keys = []
        for message in messages:
            bank, client = self._banks[message.metadata.dst_node_id]
            self.messages.append(Sent(self.round, bank, "sent", message.content))
            reply = Message(client(message), reply_to=message)
            self.messages.append(Sent(self.round, bank, "received", reply.content))
            keys.append(f"{len(self.messages)}")
            self._replies[keys[-1]] = reply
        return keys

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Replies to these messages, once."""
        return [self._replies.pop(key) for key in message_ids]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """All replies."""
        return self.pull_messages(self.push_messages(messages))

    def set_run(self, run: Any) -> None:
        """No SuperLink keeps this run."""

    @property
    def run(self) -> Any:
        """No SuperLink keeps this run."""
        raise NotImplementedError("this grid belongs to no SuperLink")

    def create_message(self, *args: Any, **fields: Any) -> Message:
        """Deprecated in flwr; its strategies do not call it."""
        raise NotImplementedError("make a Message instead")


def run(strategy: Strategy, clients: Mapping[str, Client], start: ArrayRecord, rounds: int, seed: int = 0) -> StockRun:
    """Drive a strategy over the banks.

    Args:
        strategy: one of Flower's.
        clients: bank -> what it does.
        start: the first global model.
        rounds: exchanges.
        seed: of Python's `random`, from which Flower draws the order of the banks.
    """
    before = random.getstate()
    random.seed(seed)
    grid, arrays = InProcessGrid(clients), start
    for number in range(1, rounds + 1):
        grid.round = number
        replies = grid.send_and_receive(strategy.configure_train(number, arrays, ConfigRecord(), grid))
        merged, _ = strategy.aggregate_train(number, replies)
        if merged is None:
            raise RuntimeError(f"{type(strategy).__name__} made no model in round {number}")
        arrays = merged
    random.setstate(before)
    return StockRun(arrays, grid.messages, rounds)


def bagging(banks: Mapping[str, Records], columns: Sequence[str], job: HorizontalXgboost, rounds: int) -> StockRun:
    """FedXgbBagging: in every round each bank adds one tree, all of them to the same global model.

    Args:
        banks: bank -> its development rows.
        columns: names of the encoded columns.
        job: depth, learning rate and so on; its ``n_estimators`` is not looked at.
        rounds: exchanges; the model has as many trees times the number of banks.
    """
    clients = {bank: _booster(records, columns, job, whole=False) for bank, records in banks.items()}
    return run(FedXgbBagging(fraction_evaluate=0.0, min_evaluate_nodes=0), clients, _no_model(), rounds)


def cyclic(banks: Mapping[str, Records], columns: Sequence[str], job: HorizontalXgboost, rounds: int) -> StockRun:
    """FedXgbCyclic: in every round one bank, in turn, adds one tree. Arguments as of `bagging`."""
    clients = {bank: _booster(records, columns, job, whole=True) for bank, records in banks.items()}
    return run(FedXgbCyclic(), clients, _no_model(), rounds)


def averaged_logistic(
    banks: Mapping[str, tuple[np.ndarray, np.ndarray]], rounds: int, local_epochs: int
) -> tuple[StockRun, np.ndarray, float]:
    """FedAvg over scikit-learn's LogisticRegression with a warm start, as in Flower's scikit-learn example.

    Args:
        banks: bank -> (n, k) float64 features without missing values, and (n,) labels of both kinds.
        rounds: exchanges.
        local_epochs: the solver's iterations at each bank in each round.

    Returns:
        The run, the (k,) coefficients and the intercept.
    """
    width = next(iter(banks.values()))[0].shape[1]
    clients = {bank: _logistic(x, y, local_epochs) for bank, (x, y) in banks.items()}
    found = run(FedAvg(fraction_evaluate=0.0), clients, ArrayRecord([np.zeros((1, width)), np.zeros(1)]), rounds)
    coefficients, intercept = found.arrays.to_numpy_ndarrays()
    return found, coefficients[0], float(intercept[0])


def load(arrays: ArrayRecord) -> xgboost.Booster:
    """The model that an XGBoost strategy or client sent."""
    booster = xgboost.Booster()
    booster.load_model(bytearray(model_json(arrays)))
    return booster


def model_json(arrays: ArrayRecord) -> bytes:
    """XGBoost's JSON in a record of an XGBoost strategy or client."""
    return bytes(arrays["0"].numpy().tobytes())


def _booster(records: Records, columns: Sequence[str], job: HorizontalXgboost, *, whole: bool) -> Client:
    """A bank that adds one tree to what it gets, and sends it alone or with the whole model."""
    parameters = xgboost_parameters(job, tuple(columns)) | {"nthread": 1}
    rows = xgboost.DMatrix(records.matrix, records.labels, weight=records.weights, feature_names=list(columns))

    def answer(message: Message) -> RecordDict:
        content = message.content
        if content.config_records["config"]["server-round"] == 1:
            booster = xgboost.train(parameters, rows, 1)
        else:
            booster = xgboost.Booster(parameters)
            booster.load_model(bytearray(model_json(content.array_records["arrays"])))
            booster.update(rows, booster.num_boosted_rounds())
            if not whole:
                booster = booster[booster.num_boosted_rounds() - 1 :]
        model = np.frombuffer(booster.save_raw("json"), dtype=np.uint8)
        return _reply([model], len(records))

    return answer


def _logistic(features: np.ndarray, labels: np.ndarray, local_epochs: int) -> Client:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=local_epochs, warm_start=True)
    model.classes_ = np.array([0.0, 1.0])

    def answer(message: Message) -> RecordDict:
        model.coef_, model.intercept_ = message.content.array_records["arrays"].to_numpy_ndarrays()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # it is stopped after `local_epochs` on purpose
            model.fit(features, labels)
        return _reply([model.coef_, model.intercept_], len(labels))

    return answer


def _reply(arrays: list[np.ndarray], rows: int) -> RecordDict:
    return RecordDict({"arrays": ArrayRecord(arrays), "metrics": MetricRecord({"num-examples": rows})})


def _no_model() -> ArrayRecord:
    return ArrayRecord([np.empty(0, dtype=np.uint8)])


def _objects(item: Any) -> Iterable[bytes]:
    """What Flower puts on the wire for a record: the item itself and the objects that it refers to."""
    yield item.deflate()
    for child in (item.children or {}).values():
        yield from _objects(child)
