"""From a file of applicants to a file of scores."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import pyarrow as pa

from bank_nodes.connectors import file_kind
from bank_nodes.settings import DataConfig
from riskfed.errors import ConfigurationError
from riskfed.serving.score_file.answers import Refused, Scored, ServedModel, VersionGoneError
from riskfed.serving.score_file.applicants import ApplicantsFile, Rows, stamp_of
from riskfed.serving.score_file.exchange import Endpoint
from riskfed.serving.score_file.parts import PROBLEMS, Parts
from riskfed.serving.score_file.service import Order, ScoringClient

_REASONS: Final = range(4)


class Watch(Protocol):
    """Is told how a file's scoring goes on."""

    def notice(self, text: str) -> None:
        """Something worth knowing."""

    def begin(self, model: ServedModel, rows: int | None, done: int) -> None:
        """Scoring starts: how many rows there are (None: not known; of CSV about), and how many of them have answers already."""

    def advance(self, rows: int) -> None:
        """So many more rows have answers."""

    def waiting(self, why: str, seconds: float) -> None:
        """The service is waited for."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a file is scored.

    Attributes:
        id_column: taken over into the scores where the file has it.
        model_version: the version that scores; None for the champion of the moment at which the file is begun.
        language: of the reasons' texts, which are written only where this is given.
        points_lost: whether each reason's lost points are written.
        batch: rows of one request.
        patience: seconds without progress after which it gives up.
        anew: whether to forget what an interrupted command has scored.
        delimiter: of CSV files.
        customer_id: column with the ids by which partners know the applicants. Where it is given, scores get a column ``fallback``, which
            says why a partner's part is missing.
    """

    id_column: str = "id"
    model_version: str | None = None
    language: str | None = None
    points_lost: bool = False
    batch: int = 5000
    patience: float = 300.0
    anew: bool = False
    delimiter: str = ","
    customer_id: str | None = None


@dataclass(frozen=True, slots=True)
class FileScored:
    """What was done: rows of the file, how many of them were refused, by which model, into which files, under which request ids."""

    rows: int
    refused: int
    model: ServedModel
    output: Path
    refusals: Path
    run: str


def score_file(applicants: Path, output: Path, endpoint: Endpoint, options: Options, watch: Watch) -> FileScored:
    """Score a file of applicants by one version of the service's model; at most `options.batch` rows are in memory as requests.

    Args:
        applicants: CSV or Parquet by its suffix, or a folder of Parquet files.
        output: CSV or Parquet by its suffix: row number, id, pd (float64), score (points), reason codes, model version and request id of
            every row that was scored, in the file's order. It takes its name once all is done. Refused rows stand in
            ``<output>.refused.csv``.
        endpoint: the scoring service.
        options: see there.
        watch: is told how it goes.

    Raises:
        ConfigurationError: a file, the address, the key or the version is not right.
        ContractError: the file lacks what the model needs.
        RemoteProtocolError: the service does not answer, or not as it should. What was scored is kept for the next try.
    """
    kind = file_kind(DataConfig(path=output))
    if options.id_column in _own_columns(options):
        raise ConfigurationError(
            f"the id column {options.id_column} has the name of a column of scores; rename it in the file"
        )
    client = ScoringClient(endpoint, options.patience, watch.waiting)
    with Parts(output) as parts:
        order, file = asyncio.run(_prepare(client, parts, applicants, options, watch))
        watch.begin(order.model, file.count(), parts.rows)
        asyncio.run(_score(client, parts, file, order, options, watch))
        refusals = output.with_name(f"{output.stem}.refused.csv")
        rows = parts.rows
        named = options.id_column if file.has_id else None
        nobody = _table(Rows(1, pa.array([], pa.string()) if named else None, ()), (), order, options)
        refused = parts.finish(kind, refusals, named, nobody, options.delimiter)
    return FileScored(rows, refused, order.model, output, refusals, order.run)


async def _prepare(
    client: ScoringClient, parts: Parts, path: Path, options: Options, watch: Watch
) -> tuple[Order, ApplicantsFile]:
    """Fix the version, look at the file, and begin, or go on with what an earlier command has begun."""
    facts = {
        "applicants": stamp_of(path),
        "columns": _own_columns(options),
        "id_column": options.id_column,
        "language": options.language,
        "delimiter": options.delimiter,
        "customer_id": options.customer_id,
    }
    begun = _begun(parts, facts, options, watch)
    try:
        model = await client.model(options.model_version if begun is None else begun["version"])
    except VersionGoneError as error:
        if begun is None or options.model_version is not None:
            raise
        raise ConfigurationError(
            f"{parts.rows} rows are scored by version {begun['version']}, and the service serves it no more: {error} Add --anew to score "
            "all by the champion"
        ) from None
    file = ApplicantsFile(path, model.inputs, options.id_column, options.delimiter, options.customer_id)
    if file.left_out:
        watch.notice(f"columns that the model does not know are left out: {', '.join(file.left_out)}")
    if file.missing:
        watch.notice(f"columns that the file does not have are sent as missing: {', '.join(file.missing)}")
    if begun is not None and begun["sha256"] == model.sha256:
        watch.notice(f"going on after row {parts.rows}")
        return Order(model, begun["run"], options.language), file
    run = secrets.token_hex(4)
    parts.begin({**facts, "version": model.version, "sha256": model.sha256, "run": run})
    return Order(model, run, options.language), file


def _begun(parts: Parts, facts: Mapping[str, Any], options: Options, watch: Watch) -> dict[str, Any] | None:
    """What an earlier command has begun, if this one is to go on with it."""
    begun = parts.order()
    if begun is None or options.anew:
        return None
    same_version = options.model_version in {None, begun.get("version")}
    if same_version and {name: begun.get(name) for name in facts} == facts:
        return begun
    watch.notice("file, version or options are not those of the command that was interrupted: beginning anew")
    return None


async def _score(
    client: ScoringClient, parts: Parts, file: ApplicantsFile, order: Order, options: Options, watch: Watch
) -> None:
    for rows in file.read(options.batch, skip=parts.rows):
        answers = await client.score(order, rows.first, rows.requests, watch.advance)
        parts.add(rows.first, _table(rows, answers, order, options))


def _table(rows: Rows, answers: Sequence[Scored | Refused], order: Order, options: Options) -> pa.Table:
    """Rows and their answers as columns; what a refused row lacks is null."""
    scored = [answer if isinstance(answer, Scored) else None for answer in answers]
    problems = [json.dumps(answer.problems) if isinstance(answer, Refused) else None for answer in answers]
    numbers = range(rows.first, rows.first + len(answers))
    columns: dict[str, pa.Array] = {"row": pa.array(numbers, pa.int64())}
    if rows.ids is not None:
        columns[options.id_column] = rows.ids
    columns["pd"] = pa.array([answer and answer.pd for answer in scored], pa.float64())
    columns["score"] = pa.array([answer and answer.points for answer in scored], pa.int32())
    for name, field, kind in _reason_columns(options):
        for at in _REASONS:
            values = [
                getattr(answer.reasons[at], field) if answer and at < len(answer.reasons) else None for answer in scored
            ]
            columns[f"{name}_{at + 1}"] = pa.array(values, kind)
    if options.customer_id is not None:
        columns["fallback"] = pa.array([answer and answer.fallback for answer in scored], pa.string())
    columns["model_version"] = pa.array([order.model.version] * len(answers), pa.string())
    columns["request_id"] = pa.array([f"{order.run}:{row}" for row in numbers], pa.string())
    return pa.table({**columns, PROBLEMS: pa.array(problems, pa.string())})


def _reason_columns(options: Options) -> list[tuple[str, str, Any]]:
    columns = [("reason", "code", pa.string())]
    if options.points_lost:
        columns.append(("points_lost", "points_lost", pa.float64()))
    if options.language is not None:
        columns.append(("reason_text", "text", pa.string()))
    return columns


def _own_columns(options: Options) -> list[str]:
    reasons = [f"{name}_{at + 1}" for name, _, _ in _reason_columns(options) for at in _REASONS]
    fallback = [] if options.customer_id is None else ["fallback"]
    return ["row", "pd", "score", *reasons, *fallback, "model_version", "request_id", PROBLEMS]
