"""Default of credit card clients in Taiwan: 30,000 real accounts of one issuer, with the default of the next month.

Source: I-Cheng Yeh (2009), "Default of Credit Card Clients", UCI Machine Learning Repository, data set 350,
doi:10.24432/C55S3H, licensed under CC BY 4.0. Described in Yeh and Lien (2009), "The comparisons of data mining
techniques for the predictive accuracy of probability of default of credit card clients", Expert Systems with
Applications 36(2), 2473-2480. Amounts are in New Taiwan dollars, months run from September (suffix 0 or 1) back to
April 2005 (suffix 6).
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from importlib import resources

import numpy as np
import pandas as pd

from riskfed.datasets.taiwan_reasons import ACCOUNT_REASONS, BILL_REASONS, PAYMENT_REASONS, STATUS_REASONS, ReasonText
from riskfed.errors import ConfigurationError, SchemaError
from riskfed.schema import Attribute, Feature, Schema

TAIWAN_ATTRIBUTION = (
    'Yeh, I-Cheng (2009). "Default of Credit Card Clients". UCI Machine Learning Repository, data set 350. '
    "https://doi.org/10.24432/C55S3H. Licensed under the Creative Commons Attribution 4.0 International licence "
    "(CC BY 4.0), https://creativecommons.org/licenses/by/4.0/. Changes: columns renamed, integers in smaller types."
)
TAIWAN_CONTENT_SHA256 = "37cdf8f76be4b1ed8b1a87f4e524c882760ef47c91124bf59c6d346442989ebb"
TAIWAN_FILE = "taiwan_default.parquet"

PAYMENT_STATUS = ("pay_0", "pay_2", "pay_3", "pay_4", "pay_5", "pay_6")
BILL_AMOUNTS = tuple(f"bill_amt{month}" for month in range(1, 7))
PAYMENT_AMOUNTS = tuple(f"pay_amt{month}" for month in range(1, 7))
TAIWAN_DTYPES: dict[str, str] = {
    "id": "int16",
    "limit_bal": "int32",
    **dict.fromkeys(("sex", "education", "marriage", "age", *PAYMENT_STATUS), "int8"),
    **dict.fromkeys((*BILL_AMOUNTS, *PAYMENT_AMOUNTS), "int32"),
    "default": "int8",
}

_DESCRIPTION = (
    "The client failed to pay in October 2005. Population: credit card accounts of one issuer in Taiwan, as they stood in "
    "April to September 2005."
)
# Public and far wider than any account: ranges are agreed, never read off the records.
_AMOUNT_LIMIT = 10_000_000.0


def load_taiwan() -> pd.DataFrame:
    """Load the data set that ships with riskfed.

    Returns:
        (30000, 25) frame in the order of ``id`` (1 to 30000), columns and dtypes as in `TAIWAN_DTYPES`; nothing is
        missing. ``default`` is 1 for the 6,636 accounts that defaulted in October 2005. The codes are the published
        ones: ``sex`` 1 male, 2 female; ``education`` 1 graduate school, 2 university, 3 high school, 4 others;
        ``marriage`` 1 married, 2 single, 3 others; ``pay_*`` months of delay, with -2 (no use), -1 (paid in full) and 0
        (minimum paid) below 1. The publisher does not say what education 0, 5, 6 and marriage 0 mean, nor -2 and 0 in
        ``pay_*``: these readings are the usual ones.

    Raises:
        ConfigurationError: pyarrow is not installed, or the installed copy is not the one that was published.
    """
    packed = resources.files("riskfed.datasets").joinpath("data", TAIWAN_FILE).read_bytes()
    try:
        frame = pd.read_parquet(io.BytesIO(packed), engine="pyarrow")
    except ImportError:
        raise ConfigurationError("load_taiwan needs pyarrow: install riskfed[simulate] or riskfed[node]") from None
    except (OSError, ValueError):  # pyarrow's ArrowInvalid is a ValueError
        raise ConfigurationError(
            f"the installed {TAIWAN_FILE} is not a readable Parquet file: reinstall riskfed"
        ) from None
    found = content_sha256(frame)
    if found != TAIWAN_CONTENT_SHA256:
        raise ConfigurationError(
            f"the installed {TAIWAN_FILE} holds other data than was published (content sha256 {found[:12]}..., "
            f"expected {TAIWAN_CONTENT_SHA256[:12]}...): reinstall riskfed"
        )
    return frame


def content_sha256(frame: pd.DataFrame) -> str:
    """Digest of a frame of integers, column by column.

    Covers the order, names and dtypes of the columns and every value, in little-endian bytes. It does not cover the
    index, and it does not depend on the file format, compression or writer, so a rebuilt file can be compared with the
    shipped one.

    Args:
        frame: (n, k) frame; every column has a NumPy integer dtype.

    Returns:
        sha256 as 64 hexadecimal digits.

    Raises:
        SchemaError: a column is not of an integer dtype.
    """
    digest = hashlib.sha256(f"rows={len(frame)}\n".encode())
    for name in frame.columns:
        values = frame[name].to_numpy()
        if values.dtype.kind not in "iu":
            raise SchemaError(f"column {name} has dtype {values.dtype}; the digest is defined for integers only")
        digest.update(f"{name}:{values.dtype.name}\n".encode())
        digest.update(np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


def taiwan_schema(exclude: Sequence[str] = ()) -> Schema:
    """The consortium schema of the Taiwan data: 23 features, one encoded column each, target ``default``, without
    ``id``.

    ``sex``, ``education`` and ``marriage`` are ordinal over the public codes, not one-hot. The 23 columns then are
    those of the published results on this data, and every column has its own histogram in each protected sum.
    Education's order is that of attainment, falling (graduate school, university, high school), then others, then the
    undocumented codes, so that one threshold parts the known from the rest; marriage likewise. A linear model should
    bin these columns (weight of evidence).

    ``sex``, ``marriage`` and ``age`` are protected attributes in many jurisdictions. They are features here because
    published results use them; leave them out with ``exclude`` where a lender may not use them. Figures are broken down by
    sex (as a protected attribute) and by age band either way.

    Args:
        exclude: features to leave out.

    Raises:
        SchemaError: ``exclude`` names something that is not a feature.
    """
    features = (*_account_features(), *_history_features())
    if unknown := sorted(set(exclude) - {feature.name for feature in features}):
        raise SchemaError(f"exclude names columns that are not features of the Taiwan data: {', '.join(unknown)}")
    kept = tuple(feature for feature in features if feature.name not in exclude)
    return Schema(
        name="taiwan_default",
        version="1",
        description=_DESCRIPTION,
        target="default",
        features=kept,
        attributes=_attributes(),
    )


def _attributes() -> tuple[Attribute, ...]:
    return (
        Attribute(
            name="sex",
            encoding="ordinal",
            levels=(1, 2),
            nullable=False,
            role="protected",
            reference=0,
            description="1 male, 2 female",
        ),
        Attribute(
            name="age", minimum=18, maximum=120, nullable=False, edges=(25, 35, 45, 60), description="age (years)"
        ),
    )


def _account_features() -> tuple[Feature, ...]:
    return (
        _amount(
            "limit_bal",
            "credit limit, including supplementary cards (NT$)",
            ACCOUNT_REASONS["limit_bal"],
            low=0.0,
        ),
        _codes("sex", (1, 2), "1 male, 2 female"),
        _codes(
            "education",
            (1, 2, 3, 4, 5, 6, 0),
            "1 graduate school, 2 university, 3 high school, 4 others; 5, 6 and 0 undocumented",
        ),
        _codes("marriage", (1, 2, 3, 0), "1 married, 2 single, 3 others; 0 undocumented", immutable=True),
        _numeric("age", "age (years)", ACCOUNT_REASONS["age"], low=18, high=120, immutable=True),
    )


def _history_features() -> tuple[Feature, ...]:
    months = ("September", "August", "July", "June", "May", "April")
    status = [
        _numeric(name, f"months of delay in {month} 2005; below 1: none", reason, low=-2, high=9)
        for name, month, reason in zip(PAYMENT_STATUS, months, STATUS_REASONS, strict=True)
    ]
    bills = [
        _amount(name, f"bill statement of {month} 2005 (NT$); negative: credit balance", reason, low=-_AMOUNT_LIMIT)
        for name, month, reason in zip(BILL_AMOUNTS, months, BILL_REASONS, strict=True)
    ]
    payments = [
        _amount(name, f"amount paid in {month} 2005 (NT$)", reason, low=0.0)
        for name, month, reason in zip(PAYMENT_AMOUNTS, months, PAYMENT_REASONS, strict=True)
    ]
    return (*status, *bills, *payments)


def _amount(name: str, description: str, reason: ReasonText, *, low: float) -> Feature:
    return _numeric(name, description, reason, low=low, high=_AMOUNT_LIMIT)


def _numeric(
    name: str, description: str, reason: ReasonText, *, low: float, high: float, immutable: bool = False
) -> Feature:
    return Feature(
        name=name,
        minimum=low,
        maximum=high,
        nullable=False,
        description=description,
        reason_code=reason.code,
        reasons=_texts(reason),
        immutable=immutable,
    )


def _codes(name: str, levels: tuple[int, ...], description: str, *, immutable: bool = False) -> Feature:
    reason = ACCOUNT_REASONS[name]
    return Feature(
        name=name,
        encoding="ordinal",
        levels=levels,
        nullable=False,
        description=description,
        reason_code=reason.code,
        reasons=_texts(reason),
        immutable=immutable,
    )


def _texts(reason: ReasonText) -> dict[str, str]:
    return {"en": reason.en, "zh-Hant": reason.zh_hant}
