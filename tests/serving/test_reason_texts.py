"""Codes and texts of adverse reasons: agreed with the schema, checked, in the reader's language, and replaceable by the bank."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskfed.datasets import taiwan_schema
from riskfed.errors import ConfigurationError, SchemaError
from riskfed.schema import Feature, Schema
from riskfed.serving.engine.reason_texts import ReasonOverlay, ReasonTexts, read_overlay

INCOME = Feature(
    name="income",
    description="a year",
    reason_code="INC",
    reasons={"en": "Income is low", "de": "Geringes Einkommen", "zh-hant": "收入偏低"},
)
SCHEMA = Schema(target="y", features=(INCOME, Feature(name="age", description="in years"), Feature(name="x")))
TEXTS = ReasonTexts(SCHEMA)


def test_a_feature_has_its_code_or_its_place() -> None:
    assert SCHEMA.reason_codes == ("INC", "R02", "R03")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"reason_code": "too long a code, and blanks"}, "reason_code"),
        ({"reason_code": "Ä1"}, "reason_code"),
        ({"reasons": {"english please": "Income"}}, "language tags"),
        ({"reasons": {"en": "  "}}, "one line"),
        ({"reasons": {"en": "two\nlines"}}, "one line"),
        ({"reasons": {"en": "x" * 501}}, "one line"),
        ({"reasons": {"en": "Income", "EN": "Income"}}, "twice"),
    ],
)
def test_codes_and_texts_are_checked(fields: dict[str, object], reason: str) -> None:
    with pytest.raises(SchemaError, match=reason):
        Schema(target="y", features=({"name": "income", **fields},))


@pytest.mark.parametrize("codes", [("A", "A"), ("R02", "")])
def test_a_code_means_one_feature(codes: tuple[str, str]) -> None:
    features = [{"name": f"f{n}", "reason_code": code} for n, code in enumerate(codes)]
    with pytest.raises(SchemaError, match="same reason code"):
        Schema(target="y", features=features)


def test_fingerprints_know_of_reasons_but_older_schemas_keep_theirs() -> None:
    plain = Schema(target="y", features=(Feature(name="income"),))
    assert plain.fingerprint == "f008a376f04c20b0b92f0171f8271e62bffe50b2d2a736d5710c6650d0231596"
    said = Schema(target="y", features=(Feature(name="income", reasons={"en": "Income is low"}),))
    assert said.fingerprint != plain.fingerprint
    assert Schema(**said.model_dump(mode="json")) == said
    assert len({INCOME, Feature(name="income"), INCOME.model_copy()}) == 2


@pytest.mark.parametrize(
    ("header", "language"),
    [
        (None, "en"),
        ("", "en"),
        ("de", "de"),
        ("DE-at", "de"),
        ("fr, de;q=0.3", "de"),
        ("en;q=0.5, de;q=0.9", "de"),
        ("fr", "en"),
        ("*", "en"),
        ("en;q=0, *", "de"),
        ("zh-TW,zh;q=0.9,en;q=0.8", "zh-Hant"),
        ("zh", "zh-Hant"),
        ("zh-Hant-TW", "zh-Hant"),
        ("zh-CN", "en"),
        ("de;q=nonsense, zh-hant;q=0.1", "zh-Hant"),
        (",;;q=,--", "en"),
        ("de," * 1000, "en"),
    ],
)
def test_the_best_language_is_chosen(header: str | None, language: str) -> None:
    assert TEXTS.choose(header) == language


@given(st.text(max_size=200))
def test_any_header_gives_a_language(header: str) -> None:
    assert TEXTS.choose(header) in TEXTS.languages


def test_texts_fall_back_to_english_and_then_to_the_description() -> None:
    assert TEXTS.languages == ("en", "de", "zh-Hant")
    assert [TEXTS.text("income", language) for language in TEXTS.languages] == [
        "Income is low",
        "Geringes Einkommen",
        "收入偏低",
    ]
    assert TEXTS.text("age", "de") == "in years"
    assert TEXTS.text("x", "de") == "x"
    assert ReasonTexts(Schema(target="y", features=(Feature(name="x"),))).languages == ("en",)


def test_a_bank_lays_its_own_texts_over_them(tmp_path: Path) -> None:
    file = tmp_path / "texts.toml"
    file.write_text('[fr]\nincome = "Revenu trop faible"\n["ZH-HANT"]\nage = "年齡"\n', encoding="utf-8")
    texts = ReasonTexts(SCHEMA, read_overlay(file))
    assert texts.languages == ("en", "de", "fr", "zh-Hant")
    assert texts.text("income", texts.choose("fr-CA")) == "Revenu trop faible"
    assert texts.text("age", "zh-Hant") == "年齡"
    assert texts.text("income", "zh-Hant") == "收入偏低"


def test_texts_for_unknown_features_are_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match="hobby"):
        ReasonTexts(SCHEMA, ReasonOverlay({"en": {"hobby": "Expensive"}}))


@pytest.mark.parametrize(
    "content", [b"[en", b'en = "text"', b"[en]\nincome = 3", b'[en]\nincome = ""', b'["x!"]\nincome = "a"', b"\xff"]
)
def test_an_overlay_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "texts.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigurationError, match="reason texts"):
        read_overlay(file)


def test_the_taiwan_schema_speaks_english_and_chinese() -> None:
    schema = taiwan_schema()
    assert ReasonTexts(schema).languages == ("en", "zh-Hant")
    assert all(set(feature.reasons) == {"en", "zh-Hant"} and feature.reason_code for feature in schema.features)
    assert len({text for feature in schema.features for text in feature.reasons.values()}) == 46
