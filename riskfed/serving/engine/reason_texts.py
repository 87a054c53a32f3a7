"""What an applicant reads as a reason, in the language that they ask for.

Texts come from the schema (`Feature.reasons`), so that they are agreed and registered with the model. A bank that wants other words, or
another language, lays a file over them without registering the model anew:

    [en]
    pay_0 = "A payment was late last month"
    ["zh-Hant"]
    pay_0 = "最近一個月繳款逾期"
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from riskfed.errors import ConfigurationError
from riskfed.feature import check_reasons
from riskfed.schema import Schema

DEFAULT_LANGUAGE: Final = "en"

_LONGEST_HEADER: Final = 1_000
_HEADERS_REMEMBERED: Final = 256
# A browser asks for a region, texts are written in a script: likely subtags of Unicode CLDR.
_SCRIPTS: Final = {
    "zh-tw": "zh-hant",
    "zh-hk": "zh-hant",
    "zh-mo": "zh-hant",
    "zh-cn": "zh-hans",
    "zh-sg": "zh-hans",
}


@dataclass(frozen=True, slots=True)
class ReasonOverlay:
    """Texts that take precedence over the schema's: language tag -> feature -> text."""

    texts: Mapping[str, Mapping[str, str]]


def read_overlay(path: str | Path) -> ReasonOverlay:
    """Read an overlay, a TOML file as in the module's description.

    Raises:
        ConfigurationError: it cannot be read, or holds something else than texts by language and feature.
    """
    try:
        tables = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(
            f"reason texts {path} cannot be read ({type(error).__name__}); correct the file"
        ) from None
    for language, texts in tables.items():
        if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
            raise ConfigurationError(
                f"reason texts {path}: [{language}] must be a table of feature = text; correct the file"
            )
        for feature, text in texts.items():
            try:
                check_reasons(feature, {language: text})
            except ValueError as error:
                raise ConfigurationError(f"reason texts {path}: {error}") from None
    return ReasonOverlay(tables)


class ReasonTexts:
    """The texts of one model's reasons.

    Attributes:
        languages: tags of the languages that there are texts in, English first; ("en",) where there are none at all.
    """

    def __init__(self, schema: Schema, overlay: ReasonOverlay | None = None) -> None:
        """Join the schema's texts with those laid over them.

        Raises:
            ConfigurationError: the overlay names features that the schema does not have.
        """
        self._otherwise = {feature.name: feature.description or feature.name for feature in schema.features}
        self._texts: dict[str, dict[str, str]] = {}
        for feature in schema.features:
            for language, text in feature.reasons.items():
                self._texts.setdefault(_canonical(language), {})[feature.name] = text
        for language, texts in (overlay.texts if overlay else {}).items():
            if unknown := sorted(set(texts) - set(self._otherwise)):
                raise ConfigurationError(
                    f"the reason texts in {language} are for features that schema {schema.name} {schema.version} does not have: "
                    f"{', '.join(unknown)}; correct the file of reason texts"
                )
            self._texts.setdefault(_canonical(language), {}).update(texts)
        rest = sorted(set(self._texts) - {DEFAULT_LANGUAGE})
        english = DEFAULT_LANGUAGE in self._texts or not rest
        self.languages: tuple[str, ...] = ((DEFAULT_LANGUAGE,) if english else ()) + tuple(rest)
        # The header is the client's: what is remembered of it is bounded.
        self._chosen = lru_cache(_HEADERS_REMEMBERED)(self._best)

    def choose(self, accept_language: str | None) -> str:
        """The best of `languages` for an Accept-Language header (RFC 9110, section 12.5.4).

        Ranges are tried by falling quality, each first as it is, then without its last parts (RFC 4647, section 3.4: de-AT, then de), then
        as the beginning of a longer tag (zh for zh-Hant). Where nothing suits: English, else the first language.
        """
        if not accept_language or len(accept_language) > _LONGEST_HEADER:
            return self.languages[0]
        return self._chosen(accept_language)

    def text(self, feature: str, language: str) -> str:
        """A feature's text in one of `languages`; where it has none there: in English, else the feature's description or name."""
        for tag in (language, DEFAULT_LANGUAGE):
            if text := self._texts.get(tag, {}).get(feature):
                return text
        return self._otherwise[feature]

    def _best(self, header: str) -> str:
        ranges = _ranges(header)
        refused = {wanted for wanted, quality in ranges if quality <= 0}
        offered = {tag.lower(): tag for tag in self.languages if tag.lower() not in refused}
        for wanted, _ in sorted((entry for entry in ranges if entry[1] > 0), key=lambda entry: -entry[1]):
            found = next(iter(offered.values()), None) if wanted == "*" else _match(wanted, offered)
            if found is not None:
                return found
        return self.languages[0]


def _ranges(header: str) -> list[tuple[str, float]]:
    """(range in small letters, quality) of an Accept-Language header; what is malformed is left out."""
    ranges = []
    for part in header.lower().split(","):
        wanted, *parameters = (piece.strip() for piece in part.split(";"))
        quality = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        try:
            ranges.append((wanted, float(quality)))
        except ValueError:
            continue
    return [(wanted, quality) for wanted, quality in ranges if wanted and 0 <= quality <= 1]


def _match(wanted: str, offered: Mapping[str, str]) -> str | None:
    wanted = _SCRIPTS.get(wanted, wanted)
    subtags = wanted.split("-")
    for length in range(len(subtags), 0, -1):
        if found := offered.get("-".join(subtags[:length])):
            return found
    return next((tag for lower, tag in offered.items() if lower.startswith(f"{wanted}-")), None)


def _canonical(tag: str) -> str:
    """A tag in the usual letters (RFC 5646, section 2.1.1): zh-Hant, de-AT."""
    language, *rest = tag.lower().split("-")
    written = [part.upper() if len(part) == 2 else part.title() if len(part) == 4 else part for part in rest]
    return "-".join([language, *written])
