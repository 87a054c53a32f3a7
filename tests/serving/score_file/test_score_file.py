"""Files scored through the real service: the engine's scores in the file's order, by one version, whatever breaks on the way."""

from __future__ import annotations

import csv
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from riskfed.errors import ConfigurationError, ContractError, RemoteProtocolError
from riskfed.scoring import pd_of, read_model
from riskfed.serving.score_file.file import FileScored, Options, score_file
from riskfed.serving.score_file.target import Credentials, target
from riskfed.stack.processes import Processes
from tests.serving.models import SCHEMA, loans, make_release
from tests.serving.score_file.services import BUSY, ScoringService, Watch, broken_line, write

RELEASE = make_release()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScoringService]:
    with Processes() as processes:
        yield ScoringService(processes, tmp_path_factory.mktemp("service"), RELEASE)


def run(
    service: ScoringService,
    given: Path,
    output: Path,
    watch: Watch | None = None,
    port: int | None = None,
    **options: object,
) -> FileScored:
    endpoint = target(f"http://127.0.0.1:{port or service.port}", Credentials(service.key), timeout=10)
    return score_file(given, output, endpoint, Options(**options), watch or Watch())  # type: ignore[arg-type]


def read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype={"model_version": str}) if path.suffix == ".csv" else pd.read_parquet(path)


def expected(frame: pd.DataFrame) -> np.ndarray:
    model = read_model(RELEASE.model, SCHEMA)
    return pd_of(model.margins(SCHEMA.encode(frame)))


@pytest.mark.parametrize(("source", "wanted"), [("csv", "parquet"), ("parquet", "csv")])
def test_scores_are_the_models(service: ScoringService, tmp_path: Path, source: str, wanted: str) -> None:
    frame = loans(1500, 5).assign(id=[f"A{row:05d}" for row in range(1500)])
    watch = Watch()
    output = tmp_path / f"scores.{wanted}"
    done = run(
        service, write(frame, tmp_path / f"new.{source}"), output, watch, points_lost=True, language="en", batch=400
    )
    scores = read(output)
    assert (done.rows, done.refused, watch.rows) == (1500, 0, 1500)
    assert scores["id"].tolist() == frame["id"].tolist()
    assert scores["row"].tolist() == list(range(1, 1501))
    assert np.array_equal(scores["pd"].astype(np.float32), expected(frame).astype(np.float32))
    assert set(scores["model_version"]) == {done.model.version}
    assert scores["reason_1"].notna().mean() > 0.5
    assert (scores["points_lost_1"].fillna(9e9) >= scores["points_lost_2"].fillna(0)).all()
    assert (scores["reason_1"].notna() == scores["reason_text_1"].notna()).all()
    audited = {line["request_id"]: line for line in service.audited()}
    for _, score in scores.iterrows():
        line = audited[score["request_id"]]
        assert (line["score"], line["version"]) == (score["score"], done.model.version)
        assert line["reasons"] == [code for code in score.filter(regex=r"^reason_\d$") if isinstance(code, str)]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([f"new.{source}", output.name])


def test_refused_rows_stand_in_a_file_of_their_own_without_values(service: ScoringService, tmp_path: Path) -> None:
    frame = loans(300, 6).assign(id=range(300)).astype({"income": object, "free": object})
    frame.loc[7, "income"] = "Featherstonehaugh"
    frame.loc[[8, 250], "free"] = "x" * 70_000
    frame.loc[9, "late payments"] = "Cholmondeley"
    frame.loc[10, ["income", "balance/limit"]] = [-12345, 67890]
    output = tmp_path / "scores.csv"
    done = run(service, write(frame, tmp_path / "new.csv"), output, batch=100)
    text = (tmp_path / "scores.refused.csv").read_text()
    rows = [(int(line["row"]), line["id"], line["pointer"], line["code"]) for line in csv.DictReader(text.splitlines())]
    assert rows == [
        (8, "7", "#/applicant/income", "wrong_type"),
        (9, "8", "#", "413"),
        (10, "9", "#/applicant/late%20payments", "unknown_level"),
        (11, "10", "#/applicant/income", "out_of_range"),
        (11, "10", "#/applicant/balance~1limit", "out_of_range"),
        (251, "250", "#", "413"),
    ]
    assert not re.search("Feather|Cholm|12345|67890|xxx", text)
    assert (done.rows, done.refused) == (300, 5)
    assert read(output)["id"].tolist() == [row for row in range(300) if row not in {7, 8, 9, 10, 250}]
    run(service, write(loans(5, 6), tmp_path / "new.csv"), output)
    assert not (tmp_path / "scores.refused.csv").exists(), "an old list of refusals does not stay beside new scores"


def test_a_file_of_no_rows(service: ScoringService, tmp_path: Path) -> None:
    done = run(service, write(loans(3, 1)[:0], tmp_path / "new.csv"), tmp_path / "scores.parquet")
    assert done.rows == 0
    assert read(tmp_path / "scores.parquet").columns.tolist()[:3] == ["row", "pd", "score"]


def test_a_file_without_what_every_applicant_needs_is_not_sent(service: ScoringService, tmp_path: Path) -> None:
    before = len(service.audited())
    given = write(loans(10, 1).drop(columns="income"), tmp_path / "new.csv")
    with pytest.raises(ContractError, match="missing column: income"):
        run(service, given, tmp_path / "scores.csv")
    assert len(service.audited()) == before
    assert [path.name for path in tmp_path.iterdir()] == ["new.csv"]


def test_a_busy_service_and_a_line_that_breaks_are_waited_out(service: ScoringService, tmp_path: Path) -> None:
    frame = loans(1200, 8)
    given, watch = write(frame, tmp_path / "new.parquet"), Watch()
    # Two connections ask for the model; then busy, broken twice in the middle of an answer, and sound.
    with broken_line(service.port, [1 << 30, 1 << 30, BUSY, 40_000, 0, 90_000]) as port:
        done = run(service, given, tmp_path / "scores.parquet", watch, port)
    assert np.array_equal(read(done.output)["pd"].astype(np.float32), expected(frame).astype(np.float32))
    assert len(watch.waits) == 4
    assert watch.rows == 1200


def test_patience_ends_and_what_was_scored_is_kept(service: ScoringService, tmp_path: Path) -> None:
    given, output = write(loans(900, 9), tmp_path / "new.csv"), tmp_path / "scores.csv"
    with (
        broken_line(service.port, [1 << 30, 1 << 30, 1 << 30, *[BUSY.replace(b"After: 0", b"After: 9")] * 5]) as port,
        pytest.raises(RemoteProtocolError, match="did not go on within 1 s.*same command goes on"),
    ):
        run(service, given, output, port=port, batch=300, patience=1)
    assert not output.exists()
    watch = Watch()
    done = run(service, given, output, watch, batch=300)
    assert "going on after row 300" in watch.notices
    assert (done.rows, watch.rows) == (900, 600)
    assert np.array_equal(read(output)["pd"].astype(np.float32), expected(loans(900, 9)).astype(np.float32))


def test_an_interrupted_command_goes_on_unless_the_file_has_changed(service: ScoringService, tmp_path: Path) -> None:
    given, output = write(loans(900, 10), tmp_path / "new.csv"), tmp_path / "scores.csv"
    for changed in (False, True):
        with pytest.raises(KeyboardInterrupt):
            run(service, given, output, Watch(550, _interrupt), batch=200)
        (folder,) = tmp_path.glob(".scores.csv.parts")
        assert folder.stat().st_mode & 0o777 == 0o700, "it holds scores"
        if changed:
            write(loans(901, 11), given)
        watch = Watch()
        done = run(service, given, output, watch, batch=300)
        assert watch.rows == (901 if changed else 500)
        assert read(output)["row"].tolist() == list(range(1, done.rows + 1))
        assert set(read(output)["request_id"]) == {f"{done.run}:{row}" for row in range(1, done.rows + 1)}
    assert np.array_equal(read(output)["pd"].astype(np.float32), expected(loans(901, 11)).astype(np.float32))


@pytest.mark.slow
def test_20_000_rows_while_the_service_is_killed_and_started_again(tmp_path: Path) -> None:
    frame = loans(20_000, 12)
    given, output = write(frame, tmp_path / "new.parquet"), tmp_path / "scores.parquet"
    with Processes() as processes:
        service = ScoringService(processes, tmp_path / "service", RELEASE)

        def fault() -> None:
            service.kill()
            threading.Timer(1.0, service.start).start()

        watch = Watch(7_000, fault)
        run(service, given, output, watch, batch=20_000)
        audited = {line["request_id"] for line in service.audited()}
    assert watch.waits
    scores = read(output)
    assert len(scores) == 20_000
    assert np.array_equal(scores["pd"].astype(np.float32), expected(frame).astype(np.float32))
    assert set(scores["request_id"]) <= audited


@pytest.mark.slow
def test_the_version_of_the_first_row_scores_all_rows(tmp_path: Path) -> None:
    given = write(loans(1000, 13), tmp_path / "new.parquet")
    with Processes() as processes:
        service = ScoringService(processes, tmp_path / "service", RELEASE)
        watch = Watch(300, lambda: service.change_champion(make_release(40)))
        done = run(service, given, tmp_path / "scores.csv", watch, batch=200)
        later = run(service, given, tmp_path / "later.csv")
        assert later.model.version != done.model.version
        pinned = run(service, given, tmp_path / "pinned.csv", model_version=done.model.version)
        with pytest.raises(KeyboardInterrupt):
            run(service, given, tmp_path / "begun.csv", Watch(300, _interrupt), batch=200)
        service.change_champion(make_release(60))
        service.change_champion(make_release(80))
        with pytest.raises(ConfigurationError, match=r"200 rows are scored by version .* no more.*--anew"):
            run(service, given, tmp_path / "begun.csv")
        assert run(service, given, tmp_path / "begun.csv", anew=True).rows == 1000
    scores = read(done.output)
    assert np.array_equal(scores["pd"].astype(np.float32), expected(loans(1000, 13)).astype(np.float32))
    assert read(pinned.output)["pd"].equals(scores["pd"])
    assert not read(later.output)["pd"].equals(scores["pd"])


def _interrupt() -> None:
    raise KeyboardInterrupt
