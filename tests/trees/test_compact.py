"""The compact form of a Booster: margins to the last bit, from one small file, read with suspicion."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tracemalloc
import zlib

import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st

from riskfed.datasets import load_taiwan, taiwan_schema
from riskfed.errors import RegistryError
from riskfed.jobs import HorizontalXgboost
from riskfed.schema import Feature, Schema
from riskfed.scoring import TreeModel
from riskfed.trees import compact
from riskfed.trees.booster_json import booster_json, parse_booster
from riskfed.trees.compact import CompactBooster
from riskfed.trees.tree import NO_CHILD, NO_PARENT, Tree

JOB = HorizontalXgboost()
SCORING = ("left_children", "right_children", "parents", "split_indices", "split_conditions", "default_left")
DIGEST = compact.DIGEST_BYTES
FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=32) | st.sampled_from(
    [0.0, -0.0, 1e-45, -1e-40, 3.4e38, -3.4e38]
)
SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, -1e-45, 3.4e38, -3.4e38]


def schema_of(columns: int) -> Schema:
    return Schema(target="default", features=tuple(Feature(name=f"x{i}") for i in range(columns)))


@st.composite
def trees(draw: st.DrawFn, columns: int) -> Tree:
    """A tree that grew leaf by leaf, so that its nodes may stand in any order that has children behind their parents."""
    left, right, parents, n_splits = [NO_CHILD], [NO_CHILD], [NO_PARENT], draw(st.integers(0, 12))
    for _ in range(n_splits):
        leaf = draw(st.sampled_from([node for node, child in enumerate(left) if child == NO_CHILD]))
        left[leaf], right[leaf] = len(left), len(left) + 1
        if draw(st.booleans()):
            left[leaf], right[leaf] = right[leaf], left[leaf]
        left, right, parents = left + [NO_CHILD] * 2, right + [NO_CHILD] * 2, parents + [leaf] * 2
    n = len(left)
    inner = np.array(left) != NO_CHILD
    values = np.array(draw(st.lists(FLOATS, min_size=n, max_size=n)), dtype=np.float32)
    indices = np.array(draw(st.lists(st.integers(0, columns - 1), min_size=n, max_size=n)), dtype=np.int32) * inner
    default = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)), dtype=np.uint8) * inner
    links = (np.array(link, dtype=np.int32) for link in (left, right, parents))
    zeros = np.zeros(n, dtype=np.float32)
    return Tree(*links, indices, values, default.astype(np.uint8), values, zeros, zeros)


@st.composite
def boosters(draw: st.DrawFn) -> tuple[bytes, Schema]:
    """A full model's JSON and its schema."""
    columns = draw(st.sampled_from([1, 2, 5, 300]))
    grown = draw(st.lists(trees(columns), max_size=5))
    prior = draw(st.floats(0.001, 0.999))
    schema = schema_of(columns)
    return booster_json(grown, schema.columns, JOB, prior), schema


def bits(values: np.ndarray) -> list[int]:
    return np.ascontiguousarray(values, dtype=np.float32).view(np.uint32).tolist()


@settings(max_examples=60, deadline=None)
@given(boosters(), st.integers(0, 2**32 - 1))
def test_margins_and_pds_are_the_full_models(booster, seed):
    model, schema = booster
    parsed = parse_booster(model)
    full = TreeModel(parsed.trees, parsed.base_score, schema)
    read = CompactBooster.from_bytes(CompactBooster.of(model, schema).to_bytes())
    thresholds = [tree.split_conditions for tree in parsed.trees]
    values = np.concatenate([np.array(SPECIAL, dtype=np.float32), *thresholds])
    with np.errstate(over="ignore"):
        values = np.concatenate([values, np.nextafter(values, np.float32(-np.inf))])
    for rows in (3, 200):  # a few go node by node, many go by columns
        matrix = np.random.default_rng(seed).choice(values, (rows, len(schema.columns)))
        with np.errstate(over="ignore", invalid="ignore"):
            assert bits(read.margins(matrix)) == bits(full.margins(matrix))
            assert bits(read.pd(matrix)) == bits(full.pd(matrix))
            again = TreeModel(read.trees, read.base_score, read.schema)
            assert bits(again.margins(matrix)) == bits(full.margins(matrix))
    assert (read.schema, read.model_sha256) == (schema, hashlib.sha256(model).hexdigest())


@settings(max_examples=30, deadline=None)
@given(boosters())
def test_what_is_read_is_written_again(booster):
    made = CompactBooster.of(*booster)
    data = made.to_bytes()
    read = CompactBooster.from_bytes(data)
    assert (read.to_bytes(), read.sha256) == (data, made.sha256)
    assert data[-DIGEST:].hex() == made.sha256


@pytest.fixture(scope="module")
def taiwan() -> tuple[xgboost.Booster, Schema, np.ndarray]:
    schema, frame = taiwan_schema(), load_taiwan()
    matrix = schema.encode(frame)
    rows = xgboost.DMatrix(matrix, schema.labels(frame), feature_names=list(schema.columns))
    settings_ = {"objective": "binary:logistic", "max_depth": 4, "eta": 0.1, "nthread": 1, "max_bin": 64}
    return xgboost.train(settings_, rows, 20), schema, matrix


def test_taiwan_by_the_compact_model_is_xgboosts(taiwan):
    booster, schema, matrix = taiwan
    model = bytes(booster.save_raw("json"))
    data = CompactBooster.of(model, schema).to_bytes()
    read = CompactBooster.from_bytes(data)
    rows = xgboost.DMatrix(matrix, feature_names=list(schema.columns))
    assert bits(read.margins(matrix)) == bits(booster.predict(rows, output_margin=True))
    assert bits(read.pd(matrix)) == bits(booster.predict(rows))
    assert len(data) < len(booster.save_raw("ubj")) / 8
    for mine, theirs in zip(read.trees, parse_booster(model).trees, strict=True):
        for name in SCORING:
            kept, full = getattr(mine, name), getattr(theirs, name)
            assert kept.dtype == full.dtype
            np.testing.assert_array_equal(kept, full)


def test_reasons_are_refused_rather_than_wrong(taiwan):
    booster, schema, matrix = taiwan
    read = CompactBooster.of(bytes(booster.save_raw("json")), schema)
    model = TreeModel(read.trees, read.base_score, schema)
    with pytest.raises(RegistryError, match="without covers"):
        model.reason_contributions(matrix[:1])


SOUND = CompactBooster.of(
    bytes(
        xgboost.train(
            {"objective": "binary:logistic", "max_depth": 3, "nthread": 1},
            xgboost.DMatrix(np.arange(400).reshape(100, 4) % 17, np.arange(100) % 3 == 0),
            6,
        ).save_raw("json")
    ).replace(b'"feature_names":[]', b'"feature_names":["x0","x1","x2","x3"]'),
    schema_of(4),
).to_bytes()
HEADER = compact.HEADER
FIELDS = ("magic", "version", "model", "fingerprint", "base_score", "schema", "columns", "trees", "splits", "questions")


def taken_apart(data: bytes = SOUND) -> tuple[dict, bytes]:
    """Header's fields, and the body before compression."""
    return dict(zip(FIELDS, HEADER.unpack_from(data), strict=True)), zlib.decompress(data[HEADER.size : -DIGEST])


def sealed(fields: dict, body: bytes) -> bytes:
    """A file with a right sha256."""
    header = HEADER.pack(*fields.values())
    return header + zlib.compress(body) + hashlib.sha256(header + body).digest()


def changed(*, at: int | None = None, to: bytes = b"", **fields: object) -> bytes:
    """A sound file with other fields in its header, or other bytes at a place of its body, and a right sha256."""
    header, body = taken_apart()
    if at is not None:
        at %= len(body)
        body = body[:at] + to + body[at + len(to) :]
    return sealed(header | fields, body)


def test_a_file_that_is_put_together_again_is_taken():
    assert CompactBooster.from_bytes(changed()).sha256 == CompactBooster.from_bytes(SOUND).sha256


def test_every_cut_and_every_changed_byte_is_noticed():
    for end in range(len(SOUND)):
        with pytest.raises(RegistryError):
            CompactBooster.from_bytes(SOUND[:end])
    for place in range(len(SOUND)):
        data = bytearray(SOUND)
        data[place] ^= 0x10
        try:
            read = CompactBooster.from_bytes(bytes(data))
        except RegistryError:
            continue
        # zlib's own header has bits that say nothing of what was compressed.
        assert read.to_bytes() == SOUND


def section(number: int, content: bytes) -> bytes:
    """A sound file with the start of a section of its body replaced, and a right sha256."""
    sizes = compact._Sizes(*list(taken_apart()[0].values())[5:])
    return changed(at=sum(sizes.sections[:number]), to=content)


SPLITS, TREES = taken_apart()[0]["splits"], taken_apart()[0]["trees"]
LEAVES_FIRST = np.packbits(np.arange(2 * SPLITS + TREES) >= SPLITS + TREES).tobytes()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not a compact model"),
        (b'{"learner": {}}', "not a compact model"),
        (changed(version=2), "version 2; this riskfed reads version 1"),
        (SOUND[:-DIGEST] + b"\0" + SOUND[-DIGEST:], "another size"),
        (changed(base_score=1.0), "base score"),
        (changed(base_score=float("nan")), "base score"),
        (changed(trees=TREES + 1), "another size"),
        (changed(splits=SPLITS + 1), "another size"),
        (changed(questions=0), "another size"),
        (changed(columns=5), "another size"),
        (changed(columns=9_000), "at most"),
        (changed(splits=2**32 - 1), "at most"),
        (changed(trees=2**32 - 1), "at most"),
        (changed(questions=SPLITS + 1), "more questions than splits"),
        (changed(fingerprint=bytes(32)), "not the one that it names"),
        (section(0, b"["), "schema is none"),
        (section(1, b"\0"), "those of no trees"),
        (section(1, LEAVES_FIRST), "those of no trees"),
        (section(3, b"\xff" * 4), "number of questions"),
        (section(3, b"\xff" * 9), "bits where there should be none"),
        (section(4, b"\1"), "number of questions"),
        (changed(at=-4 * (SPLITS + TREES), to=b"\xff" * 4 * (SPLITS + TREES)), "not finite"),
        (changed(questions=SPLITS), "another size|number of questions"),
    ],
    ids=range(23),
)
def test_what_is_no_sound_file_is_refused(data, reason):
    with pytest.raises(RegistryError, match=reason):
        CompactBooster.from_bytes(data)


def test_a_bomb_is_refused_before_it_goes_off():
    """A thousandfold of what the file has, in a stream that says less and in one that says so."""
    header, _ = taken_apart()
    bomb = zlib.compress(bytes(64 << 20), 9)
    honest = HEADER.pack(*(header | {"schema": 64 << 20}).values())
    lying = HEADER.pack(*header.values())
    tracemalloc.start()
    for start, reason in ((honest, "at most"), (lying, "another size")):
        with pytest.raises(RegistryError, match=reason):
            CompactBooster.from_bytes(start + bomb + bytes(DIGEST))
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


def test_a_schema_with_more_features_than_columns_is_refused_unread():
    """Its own checks would take minutes."""
    header, body = taken_apart()
    features = ",".join(f'{{"name":"x{i}"}}' for i in range(200_000))
    long = f'{{"target":"default","features":[{features}]}}'.encode()
    with pytest.raises(RegistryError, match="more features than columns"):
        CompactBooster.from_bytes(sealed(header | {"schema": len(long)}, long + body[header["schema"] :]))


def test_models_that_have_no_compact_form(taiwan, monkeypatch):
    model = bytes(taiwan[0].save_raw("json"))
    with pytest.raises(RegistryError, match="columns are not the 4 of its schema"):
        CompactBooster.of(model, schema_of(4))
    with pytest.raises(RegistryError, match="not the JSON of an xgboost Booster"):
        CompactBooster.of(b'{"format": "riskfed scorecard 1"}', schema_of(4))
    monkeypatch.setattr(compact, "MOST_COLUMNS", 3)
    with pytest.raises(RegistryError, match="4 columns; at most .* score with the full model"):
        CompactBooster.of(booster_json([], schema_of(4).columns, JOB, 0.5), schema_of(4)).to_bytes()


def test_reading_and_scoring_need_little():
    code = (
        "import sys; from riskfed.trees.compact import CompactBooster; import numpy as np; "
        "CompactBooster.from_bytes(sys.stdin.buffer.read()).pd(np.zeros((1, 4), np.float32)); "
        "print({'numba', 'xgboost', 'pandas', 'pyarrow', 'scipy', 'flwr', 'riskfed.jobs', 'cryptography'} & set(sys.modules))"
    )
    told = subprocess.run([sys.executable, "-c", code], input=SOUND, capture_output=True, check=True, timeout=120)
    assert told.stdout.strip() == b"set()"
