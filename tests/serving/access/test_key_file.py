"""The file of API keys: what it holds, what it never holds, and who may touch it."""

import base64
import datetime
import hashlib
import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from riskfed.cli import app
from riskfed.errors import ConfigurationError
from riskfed.serving.access.key_file import Cost, add_key, read_keys, revoke_key, rotate_key, split_key

WEEK = datetime.timedelta(days=7)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return tmp_path / "api-keys.json"


def test_scrypt_gives_the_known_answer_of_rfc_7914() -> None:
    # Section 12, third vector; the first 32 of its 64 bytes, because PBKDF2 makes its output in blocks of 32.
    known = "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"
    assert Cost(n=16384, r=8, p=1).hash("pleaseletmein", b"SodiumChloride").hex() == known


def test_a_key_names_itself_and_the_file_holds_only_its_hash(keys: Path) -> None:
    key = add_key(keys, "loan-desk", ["models", "score"], valid=WEEK)
    identity, secret = split_key(key) or ("", "")
    assert len(base64.urlsafe_b64decode(secret + "=")) == 32
    (stored,) = read_keys(keys)
    assert (stored.id, stored.client, stored.scopes) == (identity, "loan-desk", ("score", "models"))
    assert stored.expires == stored.created + WEEK
    assert (
        stored.hash
        == hashlib.scrypt(secret.encode(), salt=bytes.fromhex(stored.salt), n=2**14, r=8, p=1, dklen=32).hex()
    )
    assert secret not in keys.read_text()
    assert stored.hash not in repr(stored)
    assert stored.salt not in repr(stored)


def test_the_file_is_private_from_the_first_instant_and_stays_so(keys: Path) -> None:
    for client in ("one", "two"):
        add_key(keys, client, ["score"])
        assert keys.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644])
def test_a_file_that_others_may_read_or_write_is_refused(keys: Path, mode: int) -> None:
    add_key(keys, "loan-desk", ["score"])
    keys.chmod(mode)
    with pytest.raises(ConfigurationError, match=rf"mode {mode:04o}, expected 0600"):
        read_keys(keys)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        add_key(keys, "another", ["score"])


def test_rotation_keeps_the_scopes_and_ends_the_old_keys_after_the_overlap(keys: Path) -> None:
    add_key(keys, "loan-desk", ["metrics", "score"])
    soon = add_key(keys, "loan-desk", ["metrics", "score"], valid=datetime.timedelta(days=1))
    add_key(keys, "other", ["score"])
    new, ending = rotate_key(keys, "loan-desk", overlap=WEEK)
    by_id = {key.id: key for key in read_keys(keys)}
    fresh = by_id[split_key(new)[0]]  # type: ignore[index]
    assert (fresh.scopes, fresh.expires, len(by_id)) == (("score", "metrics"), None, 4)
    expiries = [key.expires - fresh.created for key in ending if key.expires is not None]
    assert datetime.timedelta(days=6) < expiries[0] <= WEEK
    # A key that ends sooner than the overlap is not given more time.
    assert by_id[split_key(soon)[0]].expires - fresh.created <= datetime.timedelta(days=1)  # type: ignore[index, operator]
    assert all(key.expires is None for key in by_id.values() if key.client == "other")


def test_a_revoked_key_cannot_be_rotated_and_keeps_the_time_of_its_end(keys: Path) -> None:
    identity, _ = split_key(add_key(keys, "loan-desk", ["score"])) or ("", "")
    first = revoke_key(keys, identity)
    assert revoke_key(keys, identity).revoked == first.revoked
    with pytest.raises(ConfigurationError, match="no valid key"):
        rotate_key(keys, "loan-desk", overlap=WEEK)


def test_commands_that_run_at_once_lose_no_key(keys: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda number: add_key(keys, f"client-{number}", ["score"]), range(8)))
    assert {key.id for key in read_keys(keys)} == {split_key(key)[0] for key in made}  # type: ignore[index]
    assert sorted(path.name for path in keys.parent.iterdir()) == [".api-keys.json.lock", "api-keys.json"]


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda key: key.update(scopes=["admin-3141"]), "keys.0.scopes"),
        (lambda key: key.update(hash="3141"), "keys.0.hash"),
        (lambda key: key.update(note="3141"), "keys.0.note"),
        (lambda key: key.update(scrypt={"n": 2**14 + 3141}), "keys.0.scrypt"),
        (lambda key: key.update(scrypt={"n": 2**30}), "keys.0.scrypt.n"),
        (lambda key: key.update(created="2026-01-01T00:00:00"), "keys.0.created"),
    ],
)
def test_a_malformed_file_is_refused_by_the_name_of_the_field(keys: Path, change, where: str) -> None:
    add_key(keys, "loan-desk", ["score"])
    content = json.loads(keys.read_text())
    change(content["keys"][0])
    keys.write_text(json.dumps(content))
    with pytest.raises(ConfigurationError, match=re.escape(where)) as refused:
        read_keys(keys)
    assert "3141" not in str(refused.value)


def test_two_keys_with_one_id_are_refused(keys: Path) -> None:
    add_key(keys, "loan-desk", ["score"])
    content = json.loads(keys.read_text())
    keys.write_text(json.dumps({"keys": content["keys"] * 2}))
    with pytest.raises(ConfigurationError, match="no file of API keys"):
        read_keys(keys)


@pytest.mark.parametrize("name", ["", "a b", "a\nb", "ä", "-a", "a" * 129, 'a"b', "a\n"])
def test_a_name_that_could_break_a_line_is_refused(keys: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="client name"):
        add_key(keys, name, ["score"])
    assert not keys.exists()


@given(st.text() | st.from_regex(r"rf_[a-z2-7]{8}_[A-Za-z0-9_-]{43}\n?", fullmatch=True))
def test_only_the_form_of_a_key_is_split(text: str) -> None:
    parts = split_key(text)
    assert parts is None or (f"rf_{parts[0]}_{parts[1]}" == text and len(text) == 55)


def test_the_commands(keys: Path) -> None:
    def run(*words: str, code: int = 0) -> str:
        done = CliRunner().invoke(app, ["api-key", *words, "--keys", str(keys)])
        assert done.exit_code == code, done.output
        return done.stdout

    first = run("add", "loan-desk", "--scope", "score", "--scope", "models", "--days", "90").strip()
    second = run("rotate", "loan-desk", "--overlap", "0.5").splitlines()[0]
    identity, secret = split_key(first) or ("", "")
    run("revoke", identity)
    listed = run("list")
    assert re.search(rf"{identity} +loan-desk +score models .* revoked", listed)
    assert re.search(rf"{split_key(second)[0]} +loan-desk +score models .* - +valid", listed)  # type: ignore[index]
    for stored in read_keys(keys):
        assert not {secret, stored.hash, stored.salt} & set(re.split(r"\s+", listed))
    run("revoke", "aaaaaaaa", code=2)
    run("add", "loan-desk", "--scope", "everything", code=2)
    run("rotate", "nobody", code=2)
