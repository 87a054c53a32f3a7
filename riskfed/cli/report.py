"""``riskfed report``: the validation report of a run, as a document."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from riskfed.errors import ConfigurationError, RiskfedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from riskfed.evaluation.limits import Limits
    from riskfed.protocols.release import ModelRelease


def report(
    run: Annotated[str, typer.Argument(help="A run's id in MLflow, or the path of a release.json.")],
    tracking: Annotated[
        str | None, typer.Option("--tracking", envvar="MLFLOW_TRACKING_URI", help="MLflow's address, for a run's id.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; validation_report.html or .pdf otherwise.")
    ] = None,
    run_file: Annotated[
        Path | None,
        typer.Option("--run-file", help="The run's file: its limits, banks and job go into the report."),
    ] = None,
    pdf: Annotated[bool, typer.Option("--pdf", help="Print a PDF by Chromium instead.")] = False,
    chromium: Annotated[Path | None, typer.Option(help="Chromium's program, where it is not found by itself.")] = None,
) -> None:
    """Write the validation report of a run: verdict, ranking, calibration, the model, stability and treatment."""
    from riskfed.protocols.release_verdict import judge_release
    from riskfed.reports.validation_report import ReportInput, validation_report
    from riskfed.reports.validation_report.pdf import report_pdf

    release, facts = _release(run, tracking)
    limits = _limits(facts)
    if run_file is not None:
        stated, limits = _from_run_file(run_file)
        facts = {**facts, **stated}
    shown = {name: text for name, text in facts.items() if name != "acceptance"}
    html = validation_report(ReportInput(release, judge_release(release, limits), shown))
    target = output or Path("validation_report.pdf" if pdf else "validation_report.html")
    content = report_pdf(html, chromium) if pdf else html.encode()
    try:
        target.write_bytes(content)
    except OSError as error:
        raise ConfigurationError(f"{target} cannot be written ({error.strerror}); choose another --output") from None
    typer.echo(f"{target}: {len(content):,} bytes")


def _release(run: str, tracking: str | None) -> tuple[ModelRelease, Mapping[str, str]]:
    """The release and what is known of its run, from a file, or else from MLflow."""
    from riskfed.protocols.release import ModelRelease

    path = Path(run)
    if path.is_file():
        try:
            return ModelRelease.from_bytes(path.read_bytes()), {}
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be read ({error.strerror})") from None
        except RiskfedError:
            raise ConfigurationError(f"{path} is not a release; name the release.json that a run has written") from None
    if tracking is None:
        raise ConfigurationError(f"there is no file {run}; if it is a run's id in MLflow, name MLflow by --tracking")
    from riskfed.tracking.release_artifact import load

    return load(tracking, run)


def _limits(facts: Mapping[str, str]) -> Limits:
    """The limits that the run's record states; the common ones where it states none."""
    import json

    from riskfed.evaluation.limits import Limits

    try:
        return Limits(**json.loads(facts["acceptance"]))
    except KeyError:
        return Limits()
    except (ValueError, TypeError):
        raise ConfigurationError(
            "the run's record states limits that cannot be read; name its run file by --run-file"
        ) from None


def _from_run_file(path: Path) -> tuple[dict[str, str], Limits]:
    import json

    from riskfed.flower.run_file import RunFile

    stated = RunFile.load(path)
    parameters = stated.job.model_dump(mode="json")
    facts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in parameters.items()}
    bits = {} if stated.protection == "masking" else {"key_bits": str(stated.key_bits)}
    named = {
        "roster": ", ".join(sorted(stated.roster)),
        "banks": str(len(stated.roster)),
        "transport": stated.transport,
    }
    return {**facts, **named, **bits, "protection": stated.protection}, stated.acceptance
