"""Copies of the last champion: whole or not there, for one place, name and alias, and never a damaged or an older one."""

import hashlib
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from riskfed.errors import ConfigurationError, RegistryError
from riskfed.serving.models.folder import ModelFolder
from riskfed.serving.models.local_copy import LocalCopy
from riskfed.serving.models.source import ModelFiles, ModelReference
from tests.serving.models import make_release

HERE, ELSEWHERE = "MLflow http://here model credit alias champion", "MLflow http://there model credit alias champion"


def files(version: str, trees: int = 10) -> ModelFiles:
    release = make_release(trees)
    sha256 = hashlib.sha256(release.model).hexdigest()
    reference = ModelReference("credit", version, "champion", f"m-{version}", sha256, release.schema.fingerprint)
    return ModelFiles(reference, release.model, release.schema, {"auc": "0.8", "headline": "é"})


def copies(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/0*"))


def kept(copy: LocalCopy, identity: str = HERE) -> ModelFiles | None:
    found = copy.last(identity)
    return None if found is None else found[0]


def test_the_last_one_comes_back_as_it_was(tmp_path: Path) -> None:
    copy = LocalCopy(tmp_path / "copies")
    assert copy.last(HERE) is None
    for version in ("1", "2", "1"):
        copy.keep(HERE, files(version, 10 + int(version)))
    assert kept(LocalCopy(tmp_path / "copies")) == files("1", 11)
    assert [path.name[9:] for path in copies(tmp_path)] == []
    assert [path.name[9:] for path in copies(tmp_path / "copies")] == ["1", "2", "1"]


def test_the_same_model_is_not_written_again_and_old_copies_go(tmp_path: Path) -> None:
    copy = LocalCopy(tmp_path, kept=2)
    for version in ("1", "2", "2", "3", "3"):
        copy.keep(HERE, files(version))
    assert [path.name for path in copies(tmp_path)] == ["00000002-2", "00000003-3"]
    assert kept(copy) == files("3")


def test_only_what_it_was_made_for_may_start_from_it(tmp_path: Path) -> None:
    copy = LocalCopy(tmp_path)
    copy.keep(HERE, files("1"))
    assert copy.last(ELSEWHERE) is None
    (tmp_path / copies(tmp_path)[0].parent.name).rename(tmp_path / hashlib.sha256(ELSEWHERE.encode()).hexdigest()[:16])
    with pytest.raises(RegistryError, match="damaged"):
        copy.last(ELSEWHERE)


def test_nobody_else_may_read_or_write(tmp_path: Path) -> None:
    LocalCopy(tmp_path / "copies").keep(HERE, files("../../1 é"))
    paths = [tmp_path / "copies", *(tmp_path / "copies").rglob("*")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o700, 0o600}
    assert copies(tmp_path / "copies")[0].name == "00000001-.._.._1__"
    (tmp_path / "copies").chmod(0o770)
    with pytest.raises(ConfigurationError, match="may write to it"):
        LocalCopy(tmp_path / "copies")
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="name another folder"):
        LocalCopy(tmp_path / "file")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["model.json", "schema.json", "reference.json", "SHA256SUMS"])
@pytest.mark.parametrize("damage", [cut, flip, Path.unlink])
def test_a_damaged_copy_is_refused_and_no_older_one_is_taken(
    tmp_path: Path, name: str, damage: Callable[[Path], None]
) -> None:
    copy = LocalCopy(tmp_path)
    copy.keep(HERE, files("1"))
    copy.keep(HERE, files("2", 11))
    damage(copies(tmp_path)[-1] / name)
    with pytest.raises(RegistryError, match="00000002-2 is damaged .* nor is an older one"):
        copy.last(HERE)
    copy.keep(HERE, files("2", 11))
    assert kept(copy) == files("2", 11)


def test_a_copy_is_a_model_folder_and_checks_with_sha256sum(tmp_path: Path) -> None:
    LocalCopy(tmp_path).keep(HERE, files("1"))
    source = ModelFolder(copies(tmp_path)[0])
    assert source.download(source.resolve()).model == files("1").model
    told = subprocess.check_output(["sha256sum", "-c", "SHA256SUMS"], cwd=copies(tmp_path)[0], text=True)
    assert told.count("OK") == 3


def test_what_cannot_be_written_leaves_the_last_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = LocalCopy(tmp_path)
    copy.keep(HERE, files("1"))

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            copy.keep(HERE, files("2", 11))
    assert kept(copy) == files("1")
    copy.keep(HERE, files("2", 11))
    assert kept(copy) == files("2", 11)
    assert not list(tmp_path.glob("*/.draft-*"))


def test_services_may_share_a_folder(tmp_path: Path) -> None:
    def write(first: int) -> None:
        copy = LocalCopy(tmp_path, kept=100)
        for version in range(first, first + 10):
            copy.keep(HERE, files(str(version)))

    writers = [threading.Thread(target=write, args=(first,)) for first in (100, 200)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    names = [path.name for path in copies(tmp_path)]
    assert [int(name[:8]) for name in names] == list(range(1, 21))
    assert len({name[9:] for name in names}) == 20


WRITES = """
import sys
from pathlib import Path
from riskfed.serving.models.folder import ModelFolder
from riskfed.serving.models.local_copy import LocalCopy
sources = [ModelFolder(folder) for folder in sys.argv[2:]]
copy, models = LocalCopy(Path(sys.argv[1])), [source.download(source.resolve()) for source in sources]
turn = 0
while True:
    copy.keep("test", models[turn % 2])
    turn += 1
    print(turn, flush=True)
"""


def test_killed_at_any_moment_the_last_copy_is_sound(tmp_path: Path) -> None:
    sources = []
    for trees in (10, 11):
        (tmp_path / str(trees)).mkdir()
        (tmp_path / str(trees) / "release.json").write_bytes(make_release(trees).to_bytes())
        sources.append(ModelFolder(tmp_path / str(trees)))
    models = [source.download(source.resolve()) for source in sources]
    folders = [str(tmp_path / name) for name in ("copies", "10", "11")]
    for kill in range(3):
        writing = subprocess.Popen([sys.executable, "-c", WRITES, *folders], stdout=subprocess.PIPE)
        assert writing.stdout is not None
        for _ in range(5 + 3 * kill):
            assert writing.stdout.readline()
        writing.send_signal(signal.SIGKILL)
        writing.wait()
        writing.stdout.close()
        assert kept(LocalCopy(tmp_path / "copies"), "test") in models
