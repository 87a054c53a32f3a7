"""What a vault keeps beyond a run: each roster's own, for the vault's user alone, whole or not at all; and parts of vertical models."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

import riskfed.files
from bank_nodes.kept import Kept
from bank_nodes.models import load_model
from bank_nodes.parts import load_part, store_part
from riskfed.errors import ConfigurationError, LocalProtocolError, PlanError
from riskfed.vertical_model import FeaturePart, SplitRule
from tests.bank_nodes.vertical_banks import SCHEMA, vertical_plan

ROSTER = ("lender", "shop")


def test_each_roster_has_its_own(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "kept")
    assert kept.read(ROSTER, "alignment") is None
    kept.write(ROSTER, "alignment", b"one")
    kept.write(("elm", *ROSTER), "alignment", b"two")
    kept.write(ROSTER, "alignment", b"three")
    again = Kept(tmp_path / "kept")
    assert again.read(ROSTER, "alignment") == b"three"
    assert again.read(ROSTER[::-1], "alignment") == b"three"
    assert again.read(("elm", *ROSTER), "alignment") == b"two"
    assert again.read(ROSTER, "other") is None


def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        Kept(tmp_path / "kept").write(ROSTER, "alignment", b"ids")
    finally:
        os.umask(before)
    (file,) = (tmp_path / "kept").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("name", ["", "../x", "a/b", "A", "a" * 41, "a\n"])
def test_a_name_is_never_a_way_out_of_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(LocalProtocolError):
        Kept(tmp_path).write(ROSTER, name, b"")


def test_what_cannot_be_written_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Kept(tmp_path)
    kept.write(ROSTER, "alignment", b"one")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(riskfed.files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        kept.write(ROSTER, "alignment", b"two")
    monkeypatch.undo()
    assert kept.read(ROSTER, "alignment") == b"one"
    assert len(list(tmp_path.iterdir())) == 1


PART = FeaturePart(
    party="shop",
    part_id="run-shop",
    schema=SCHEMA.part_of("shop"),
    rules=(SplitRule("orders", 2.5, True), SplitRule("orders", 4.5, False)),
    salt="0f" * 16,
)


def test_a_part_is_found_by_its_sha256(tmp_path: Path) -> None:
    home = store_part(tmp_path, vertical_plan("run"), PART)
    store_part(
        tmp_path, vertical_plan("other"), FeaturePart("shop", "other-shop", PART.schema, PART.rules[:1], PART.salt)
    )
    assert load_part(tmp_path, PART.sha256) == PART
    assert stat.S_IMODE((home / "part.json").stat().st_mode) == 0o600
    assert [path.name for path in home.iterdir()] == ["part.json"]
    with pytest.raises(ConfigurationError, match="no part 000000000000"):
        load_part(tmp_path, "0" * 64)
    with pytest.raises(ConfigurationError, match="no current model"):
        load_model(tmp_path)


def test_a_damaged_part_is_not_taken_for_the_part(tmp_path: Path) -> None:
    home = store_part(tmp_path, vertical_plan("run"), PART)
    content = (home / "part.json").read_bytes()
    (home / "part.json").write_bytes(content.replace(b"2.5", b"2.0"))
    with pytest.raises(ConfigurationError, match="or a damaged one"):
        load_part(tmp_path, PART.sha256)


def test_another_attempt_takes_the_place_of_the_first(tmp_path: Path) -> None:
    store_part(tmp_path, vertical_plan("run"), PART)
    again = FeaturePart("shop", "again", PART.schema, PART.rules, PART.salt)
    store_part(tmp_path, vertical_plan("run", attempt=2), again)
    assert load_part(tmp_path, again.sha256) == again
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    with pytest.raises(PlanError):
        store_part(tmp_path, vertical_plan("current"), PART)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"cannot store the model .* mend its vault.models"):
        store_part(tmp_path / "file", vertical_plan("run"), PART)
