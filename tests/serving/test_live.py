"""The models in use: taken up, kept, refused and rolled back; over a registry on loopback."""

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from riskfed.errors import AuditError, RegistryError
from riskfed.serving.engine.engine import ScoringEngine
from riskfed.serving.models.follower import Follower, RefusedModelError
from riskfed.serving.models.live import ModelChange, UnknownVersionError
from riskfed.serving.models.source import SourceUnreachableError
from tests.serving.models import SCHEMA, make_release
from tests.serving.registry_server import RegistryServer, champion, live_models, promote, running_registry, source


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    yield from running_registry()


def test_a_newer_champion_is_taken_up(server: RegistryServer) -> None:
    changes: list[ModelChange] = []
    live = live_models(server, on_change=changes.append)
    first = live.champion
    assert (live.status().state, live.status().problem) == ("ready", None)
    asked = len(server.requests)
    assert not live.refresh()
    assert (live.champion is first, len(server.requests)) == (True, asked + 1)
    promote(server, "2", live)
    assert (champion(live), live.status().champion) == ("2", live.champion.model)
    assert [(change.kind, change.reference.version, change.replaced) for change in changes] == [
        ("champion", "1", None),
        ("champion", "2", first.model),
    ]
    assert changes[1].sha256 == live.champion.sha256


def test_former_champions_can_be_asked_for_by_version(server: RegistryServer) -> None:
    live = live_models(server)
    for version in ("2", "3", "4"):
        promote(server, version, live)
    assert [(one.engine.model.version, one.role) for one in live.served()] == [
        ("4", "champion"),
        ("3", "retained"),
        ("2", "retained"),
    ]
    assert live.version(None).engine is live.version("4").engine is live.champion
    assert live.version("3").engine.model.version == "3"
    assert live.served()[1].files.facts["headline"] == "version 3"
    with pytest.raises(UnknownVersionError, match="served are: 4, 3, 2"):
        live.version("1")


def test_a_rollback_loads_nothing_and_renews_the_time(server: RegistryServer) -> None:
    live = live_models(server)
    engine, since = live.champion, live.status().since
    promote(server, "2", live)
    asked = len(server.requests)
    promote(server, "1", live)
    assert (live.champion.predictions is engine.predictions, len(server.requests)) == (True, asked + 1)
    assert [(one.engine.model.version, one.engine.model.alias) for one in live.served()] == [
        ("1", "champion"),
        ("2", None),
    ]
    assert live.status().since > since


def test_a_version_registered_anew_replaces_the_one_of_its_number(server: RegistryServer) -> None:
    live = live_models(server)
    promote(server, "2", live)
    server.register(make_release(14), "1")
    server.versions["credit", "1"]["source"] += "-again"
    server.files |= {
        path.replace("artifacts/", "artifacts-again/"): content
        for path, content in server.files.items()
        if "-1/" in path
    }
    promote(server, "1", live)
    assert [one.engine.model.version for one in live.served()] == ["1", "2"]
    assert live.champion.sha256 == live.champion.model.model_sha256


def test_a_broken_model_is_refused_once_and_the_old_one_stays(server: RegistryServer) -> None:
    changes: list[ModelChange] = []
    live = live_models(server, on_change=changes.append)
    server.spoil("2")
    with pytest.raises(RefusedModelError, match="sha256"):
        promote(server, "2", live)
    asked = len(server.requests)
    for _ in range(3):
        with pytest.raises(RefusedModelError):
            live.refresh()
    assert len(server.requests) == asked + 3
    status = live.status()
    assert (champion(live), status.state, status.refused) == ("1", "ready_with_problems", "credit version 2")
    assert [change.kind for change in changes] == ["champion", "refused"]
    assert "sha256" in changes[1].reason
    promote(server, "1", live)
    assert (live.status().state, live.status().refused, live.status().problem) == ("ready", None, None)


def test_a_refused_model_is_tried_again_when_its_tags_change_or_after_a_while(server: RegistryServer) -> None:
    now = [0.0]
    follower = Follower(source(server), ScoringEngine, clock=lambda: now[0])
    server.spoil("1")
    with pytest.raises(RefusedModelError):
        follower.look([])
    server.register(make_release(10), "1")
    with pytest.raises(RefusedModelError) as again:
        follower.look([])
    assert not again.value.is_news
    now[0] = 301
    assert follower.look([]).reference.version == "1"
    server.versions["credit", "1"]["tags"] = []
    with pytest.raises(RefusedModelError):
        follower.look([])
    server.register(make_release(10), "1")
    assert follower.look([]).reference.version == "1"


@pytest.mark.parametrize("content", [b"{}", b"[" * 100_000, b"\xff", b'{"learner": {"gradient_booster": []}}'])
def test_a_hostile_model_whose_sha256_is_right(server: RegistryServer, content: bytes) -> None:
    live = live_models(server)
    server.register(replace(make_release(11), model=content, model_sha256=""), "2")
    with pytest.raises(RefusedModelError):
        promote(server, "2", live)
    assert champion(live) == "1"


def test_a_defect_in_loading_is_told_by_its_type_alone(server: RegistryServer, monkeypatch: pytest.MonkeyPatch) -> None:
    live = live_models(server)

    def fails(files: object) -> None:
        raise IndexError("secret")

    monkeypatch.setattr(live._champions, "_build", fails)
    with pytest.raises(RefusedModelError, match="IndexError") as refused:
        promote(server, "2", live)
    assert "secret" not in str(refused.value)


def test_the_registry_is_killed_and_comes_back(server: RegistryServer) -> None:
    live = live_models(server)
    server.stop()
    with pytest.raises(SourceUnreachableError):
        live.refresh()
    assert (champion(live), live.status().state) == ("1", "ready_with_problems")
    assert "cannot be reached" in live.status().problem
    last = live.status().last_success
    server.start()
    promote(server, "2", live)
    assert (champion(live), live.status().state, live.status().last_success > last) == ("2", "ready", True)


def test_files_that_cannot_be_fetched_just_now_are_not_refused(server: RegistryServer) -> None:
    live = live_models(server)
    server.faults["model.json"] = (503, b"")
    with pytest.raises(SourceUnreachableError):
        promote(server, "2", live)
    assert live.status().refused is None
    server.faults.clear()
    live.refresh()
    assert champion(live) == "2"


def test_a_removed_alias_leaves_the_old_one(server: RegistryServer) -> None:
    live = live_models(server)
    server.aliases.clear()
    with pytest.raises(RegistryError, match="alias champion not found"):
        live.refresh()
    assert (champion(live), live.status().state) == ("1", "ready_with_problems")


def test_a_change_that_cannot_be_audited_is_not_made(server: RegistryServer) -> None:
    full = False

    def audit(change: ModelChange) -> None:
        if full:
            raise AuditError("the audit log's disk is full")

    live = live_models(server, on_change=audit)
    full = True
    with pytest.raises(AuditError):
        promote(server, "2", live)
    assert (champion(live), live.status().problem) == ("1", "the audit log's disk is full")
    full = False
    live.refresh()
    assert champion(live) == "2"


def test_reads_under_swaps_see_one_whole_model(server: RegistryServer) -> None:
    """The alias moves back and forth while threads score: no error, and every answer is that of the model that it names."""
    live = live_models(server, challenger=source(server, "challenger"))
    promote(server, "4", alias="challenger")
    applicant = live.champion.form.example()
    scores: list[tuple[str, float]] = []
    errors: list[Exception] = []
    over = threading.Event()

    def ask() -> None:
        try:
            while not over.is_set():
                engine = live.champion
                scores.append((engine.model.version, engine.score(applicant).pd))
                live.version(engine.model.version)
        except Exception as error:
            errors.append(error)

    asking = [threading.Thread(target=ask) for _ in range(2)]
    for thread in asking:
        thread.start()
    for turn in range(10):
        promote(server, "12"[turn % 2], live)
    over.set()
    for thread in asking:
        thread.join()
    assert not errors
    pds = {version: {pd for named, pd in scores if named == version} for version in "12"}
    assert all(len(found) == 1 for found in pds.values())
    assert pds["1"] != pds["2"]


def test_the_challenger_is_followed_and_never_touches_the_champion(server: RegistryServer) -> None:
    changes: list[ModelChange] = []
    live = live_models(server, challenger=source(server, "challenger"), on_change=changes.append)
    assert (live.challenger, live.status().challenger_problem, live.compared) == (None, None, None)
    promote(server, "2", live, "challenger")
    assert live.challenger.model.version == "2"
    assert live.compared == (live.champion, live.challenger)
    server.spoil("3")
    promote(server, "3", live, "challenger")
    assert (live.challenger, live.status().state) == (None, "ready")
    assert "sha256" in live.status().challenger_problem
    promote(server, "2", live, "challenger")
    promote(server, "2", live)
    assert (live.challenger, champion(live)) == (None, "2")
    assert "is the champion itself" in live.status().challenger_problem
    server.aliases.pop(("credit", "challenger"))
    live.refresh()
    assert (live.challenger, live.status().challenger_problem) == (None, None)
    kinds = [(change.kind, change.reference.version, change.reason[:9]) for change in changes]
    assert kinds[1:4] == [("challenger", "2", ""), ("refused", "3", "model cre"), ("challenger", "2", "withdrawn")]


def test_a_challenger_of_another_schema_is_refused(server: RegistryServer) -> None:
    other = SCHEMA.model_copy(update={"version": "4"})
    server.register(replace(make_release(11), schema=other), "5")
    promote(server, "5", alias="challenger")
    live = live_models(server, challenger=source(server, "challenger"))
    assert live.challenger is None
    assert "another schema" in live.status().challenger_problem
    promote(server, "2", live, "challenger")
    assert live.challenger is not None
    promote(server, "5", live)
    assert live.challenger is None
