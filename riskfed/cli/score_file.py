"""``riskfed score-file``: a file of applicants, scored by the scoring service."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from riskfed.errors import ConfigurationError

if TYPE_CHECKING:
    from riskfed.serving.score_file.exchange import Endpoint
    from riskfed.serving.score_file.file import FileScored, Options

_KEY = "RISKFED_API_KEY"
_REFUSED = 3
_INTERRUPTED = 130


def score_file(
    applicants: Annotated[Path, typer.Argument(help="CSV or Parquet file, or a folder of Parquet files.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="CSV or Parquet file that gets the scores.")],
    url: Annotated[str, typer.Option(help="Address of the scoring service.")],
    key_file: Annotated[
        Path | None, typer.Option(help=f"File with the API key; otherwise {_KEY} or {_KEY}_FILE.")
    ] = None,
    id_column: Annotated[str, typer.Option(help="Taken over into the scores where the file has it.")] = "id",
    customer_id: Annotated[
        str | None, typer.Option(help="Column by which a joint model's partners know the applicants; sent, not kept.")
    ] = None,
    model_version: Annotated[str | None, typer.Option(help="Version that scores; the champion otherwise.")] = None,
    language: Annotated[str | None, typer.Option(help="Write the reasons' texts too, in this language.")] = None,
    points_lost: Annotated[bool, typer.Option("--points-lost", help="Write what each reason costs, too.")] = False,
    batch: Annotated[int, typer.Option(min=1, max=100_000, help="Rows of one request.")] = 5000,
    delimiter: Annotated[str, typer.Option(help="Between the fields of CSV files.")] = ",",
    ca_file: Annotated[Path | None, typer.Option(help="Authority of the service's certificate.")] = None,
    certificate: Annotated[Path | None, typer.Option(help="This side's certificate, for mutual TLS.")] = None,
    certificate_key: Annotated[Path | None, typer.Option(help="Its private key.")] = None,
    plain_http: Annotated[bool, typer.Option("--plain-http", help="Send applicants without TLS.")] = False,
    patience: Annotated[float, typer.Option(min=0, help="Seconds without progress until it gives up.")] = 300.0,
    anew: Annotated[bool, typer.Option("--anew", help="Forget what an interrupted command has scored.")] = False,
) -> None:
    """Score a file of applicants through the scoring service, all by one version of the model.

    Started again after an interruption, the same command goes on where it stopped. Exit code 0: all rows are scored; 3: some were
    refused and stand in a second file; 1 and 2: nothing is written; 130: interrupted.
    """
    try:
        from riskfed.serving.score_file.file import Options
        from riskfed.serving.score_file.target import Credentials, target
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"{error.name} is not installed: install riskfed[serving,files]") from None
    split = _one(delimiter)
    options = Options(
        id_column,
        model_version,
        language,
        points_lost,
        batch,
        patience,
        anew=anew,
        delimiter=split,
        customer_id=customer_id,
    )
    credentials = Credentials(_api_key(key_file), ca_file, certificate, certificate_key)
    _show(_watched(applicants, output, options, target(url, credentials, plain_http=plain_http)))


def _show(done: FileScored) -> None:
    """Say what was done; exit code 3 where rows were refused."""
    model = done.model
    typer.echo(
        f"{done.rows - done.refused:,} of {done.rows:,} applicants scored by {model.name} version {model.version} "
        f"(sha256 {model.sha256[:12]}), request ids {done.run}:1 to {done.run}:{done.rows}: {done.output}"
    )
    if done.refused:
        typer.echo(f"{done.refused:,} refused: {done.refusals} says why", err=True)
        raise typer.Exit(_REFUSED)


def _api_key(path: Path | None) -> str | None:
    """The key from `path`, or from the environment; None where there is none. It never stands on the command line, which others see."""
    named = path or (Path(os.environ[f"{_KEY}_FILE"]) if f"{_KEY}_FILE" in os.environ else None)
    if named is None:
        return os.environ.get(_KEY)
    try:
        return named.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the API key's file {named} cannot be read ({type(error).__name__})") from None


def _one(delimiter: str) -> str:
    if len(delimiter) != 1:
        raise ConfigurationError("--delimiter is one character")
    return delimiter


def _watched(applicants: Path, output: Path, options: Options, endpoint: Endpoint) -> FileScored:
    """Score with a bar on a terminal; without one, notices alone. Ctrl-C keeps what is scored."""
    from riskfed.cli.score_progress import ScoreProgress
    from riskfed.serving.score_file.file import score_file as score

    with ScoreProgress() as watch:
        try:
            return score(applicants, output, endpoint, options, watch)
        except KeyboardInterrupt:
            watch.notice("interrupted; the same command goes on with the batch in which it stopped")
            raise typer.Exit(_INTERRUPTED) from None
