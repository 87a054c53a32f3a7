"""The shipped Taiwan data: it is the published one, it meets its own schema, and it can be rebuilt."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from riskfed.datasets import TAIWAN_ATTRIBUTION, load_taiwan, taiwan, taiwan_schema
from riskfed.errors import ConfigurationError, SchemaError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def records() -> pd.DataFrame:
    return load_taiwan()


def test_has_the_published_shape_codes_and_default_rate(records):
    assert records.shape == (30_000, 25)
    assert {name: str(dtype) for name, dtype in records.dtypes.items()} == taiwan.TAIWAN_DTYPES
    assert records["id"].tolist() == list(range(1, 30_001))
    assert records["default"].sum() == 6_636
    assert records["sex"].value_counts().to_dict() == {2: 18_112, 1: 11_888}
    assert records["marriage"].value_counts().to_dict() == {2: 15_964, 1: 13_659, 3: 323, 0: 54}


def test_first_record_is_the_first_of_the_published_file(records):
    published = [1, 20000, 2, 2, 1, 24, 2, 2, -1, -1, -2, -2, 3913, 3102, 689, 0, 0, 0, 0, 689, 0, 0, 0, 0, 1]
    assert records.iloc[0].tolist() == published


def test_loading_checks_the_content(monkeypatch):
    monkeypatch.setattr(taiwan, "TAIWAN_CONTENT_SHA256", "0" * 64)
    with pytest.raises(ConfigurationError, match=r"other data than was published .* reinstall"):
        load_taiwan()


def test_a_file_that_is_not_parquet_is_named(monkeypatch):
    monkeypatch.setattr(taiwan, "TAIWAN_FILE", "NOTICE")
    with pytest.raises(ConfigurationError, match="NOTICE is not a readable Parquet file"):
        load_taiwan()


def test_without_pyarrow_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigurationError, match=r"riskfed\[simulate\]"):
        load_taiwan()


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f.assign(age=f["age"].where(f["id"] != 17, f["age"] + 1)),
        lambda f: f.rename(columns={"pay_0": "pay_1"}),
        lambda f: f[[*f.columns[1:], f.columns[0]]],
        lambda f: f.astype({"age": "int16"}),
        lambda f: f.iloc[::-1],
        lambda f: f.iloc[:-1],
    ],
    ids=["one cell", "name", "column order", "dtype", "row order", "rows"],
)
def test_digest_sees_every_kind_of_change(records, change):
    assert taiwan.content_sha256(change(records)) != taiwan.TAIWAN_CONTENT_SHA256


def test_digest_ignores_index_and_byte_order(records):
    swapped = records.copy()
    swapped["limit_bal"] = records["limit_bal"].to_numpy().astype(">i4")
    swapped.index = records.index[::-1]
    assert taiwan.content_sha256(swapped) == taiwan.TAIWAN_CONTENT_SHA256


def test_digest_refuses_what_it_is_not_defined_for(records):
    with pytest.raises(SchemaError, match="column age has dtype float64"):
        taiwan.content_sha256(records.astype({"age": "float64"}))


def test_schema_encodes_every_record_without_a_gap(records):
    schema = taiwan_schema()
    encoded = schema.encode(records)
    assert encoded.shape == (30_000, 23)
    assert encoded.dtype == np.float32
    assert not np.isnan(encoded).any()
    assert schema.labels(records).mean() == pytest.approx(0.2212)
    assert schema.columns == tuple(name for name in records.columns if name not in ("id", "default"))


def test_records_meet_the_ranges_of_the_schema(records):
    for feature in taiwan_schema().features:
        assert not feature.nullable
        assert feature.description
        if feature.encoding == "numeric":
            assert records[feature.name].between(feature.minimum, feature.maximum).all(), feature.name
        else:
            assert set(records[feature.name]) == set(feature.levels), feature.name


def test_education_falls_with_the_code_and_ends_with_the_undocumented():
    education = next(f for f in taiwan_schema().features if f.name == "education")
    assert education.encode(pd.Series([1, 2, 3, 4, 5, 6, 0], dtype="int8")).ravel().tolist() == [0, 1, 2, 3, 4, 5, 6]


def test_protected_attributes_can_be_left_out(records):
    schema = taiwan_schema(exclude=("sex", "marriage", "age"))
    assert schema.encode(records).shape == (30_000, 20)
    with pytest.raises(SchemaError, match="not features of the Taiwan data: id"):
        taiwan_schema(exclude=("id",))


def test_attribution_travels_with_the_data():
    notice = (ROOT / "riskfed" / "datasets" / "data" / "NOTICE").read_text()
    for text in (TAIWAN_ATTRIBUTION, notice):
        for needed in ("Yeh", "10.24432/C55S3H", "data set 350", "CC BY 4.0"):
            assert needed in text


def test_import_is_cheap():
    heavy = ("pyarrow.parquet", "xgboost", "sklearn", "flwr", "mlflow", "numba")
    code = f"import sys, riskfed.datasets; print([m for m in {heavy!r} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.fixture(scope="module")
def build_script():
    spec = importlib.util.spec_from_file_location("build_taiwan", ROOT / "tools" / "build_taiwan.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _as_in_the_wheel(records: pd.DataFrame) -> pd.DataFrame:
    """The recoding that the build script undoes."""
    csv = records.astype({name: float for name in (*taiwan.BILL_AMOUNTS, *taiwan.PAYMENT_AMOUNTS, "limit_bal")})
    csv = csv.assign(sex=records["sex"] - 1).rename(columns={"default": "default-payment-next-month"})
    csv = pd.get_dummies(csv, columns=["education", "marriage"], dtype=int)
    return csv.rename(columns=lambda name: name if name.startswith("default") else name.upper())


def test_build_script_restores_the_records_and_writes_the_same_content(records, build_script, tmp_path):
    restored = build_script.restore(_as_in_the_wheel(records))
    pd.testing.assert_frame_equal(restored, records)
    build_script.write(restored, tmp_path / "rebuilt.parquet")
    assert taiwan.content_sha256(pd.read_parquet(tmp_path / "rebuilt.parquet")) == taiwan.TAIWAN_CONTENT_SHA256


def test_build_script_refuses_another_wheel(build_script, tmp_path):
    (tmp_path / "other.whl").write_bytes(b"not the wheel")
    with pytest.raises(SystemExit, match=r"other\.whl has sha256 .* expected 5d6c4602"):
        build_script.read_csv(tmp_path / "other.whl")


def test_build_script_refuses_columns_that_are_not_onehot(records, build_script):
    csv = _as_in_the_wheel(records)
    csv.loc[5, "EDUCATION_0"] = 1 - csv.loc[5, "EDUCATION_0"]
    with pytest.raises(SystemExit, match="EDUCATION is not one-hot"):
        build_script.restore(csv)
