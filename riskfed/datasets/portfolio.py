"""What a synthetic retail-lending portfolio looks like: its columns, its schema and how banks differ.

Everything here is public and invented; no real record was used. The draw of records is in `riskfed.datasets.synthetic`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from riskfed.schema import Feature, Schema

TARGET = "default"
TRUE_PD = "true_pd"
VINTAGE = "vintage"

N_QUARTERS = 32  # vintages: quarters from 2017 to 2024
FIRST_YEAR = 2017

PURPOSES = ("car", "home_improvement", "debt_consolidation", "medical", "education", "business", "holiday", "other")
CAR, HOME_IMPROVEMENT, MEDICAL, BUSINESS = 0, 1, 3, 5
CHANNELS = ("branch", "online", "broker", "partner")
ONLINE, BROKER = 1, 2
REGIONS = tuple(f"region_{number:02d}" for number in range(1, 13))
EMPLOYMENT = ("employed", "self_employed", "retired", "other")
SELF_EMPLOYED, RETIRED, OTHER_EMPLOYMENT = 1, 2, 3
HOUSING = ("own", "mortgage", "rent", "other")
OWN, MORTGAGE, RENT, OTHER_HOUSING = 0, 1, 2, 3

CATEGORIES: dict[str, tuple[str, ...]] = {
    "purpose": PURPOSES,
    "channel": CHANNELS,
    "region": REGIONS,
    "employment_type": EMPLOYMENT,
    "home_ownership": HOUSING,
}

# Name, dtype, public range, may be missing, description. float32 wherever a value may be missing: NaN says so.
_NUMERIC: tuple[tuple[str, str, float, float, bool, str], ...] = (
    ("loan_amount", "int32", 500, 100_000, False, "amount granted, in hundreds"),
    ("term_months", "int8", 12, 84, False, "term (months), a multiple of 12"),
    ("interest_rate", "float32", 0, 40, False, "nominal yearly rate (per cent), in steps of 0.05"),
    ("installment", "float32", 0, 20_000, False, "monthly payment of the annuity"),
    ("loan_to_value", "float32", 0, 2, True, "amount over value of the collateral; missing: unsecured"),
    ("annual_income", "int32", 1_000, 2_000_000, False, "gross income, in hundreds"),
    ("income_verified", "int8", 0, 1, False, "1 if the bank saw proof of income"),
    ("debt_to_income", "float32", 0, 5, True, "monthly debt service over monthly income, the new loan included"),
    ("savings_balance", "float32", 0, 5_000_000, True, "deposits; missing: not disclosed, more often where low"),
    ("employment_months", "float32", 0, 900, True, "time in the present job; missing: without a job, or not stated"),
    ("age", "int8", 18, 100, False, "age of the applicant (years)"),
    ("unemployment_rate", "float32", 0, 30, False, "of region and quarter, per cent, in steps of 0.1"),
    ("relationship_months", "int16", 0, 900, False, "time as the bank's customer; 0: new"),
    ("bureau_score", "float32", 300, 850, True, "whole points, higher is better; missing: thin file or no answer"),
    ("credit_history_months", "int16", 0, 900, False, "age of the oldest credit line"),
    ("open_accounts", "int8", 0, 60, False, "open credit lines"),
    ("revolving_utilisation", "float32", 0, 2, False, "share of revolving limits in use, in steps of 0.001"),
    ("revolving_balance", "float32", 0, 2_000_000, False, "balance on revolving lines"),
    ("delinquencies_24m", "int8", 0, 24, False, "payments 30 days late or more, last 24 months"),
    ("months_since_delinquency", "float32", 0, 240, True, "missing: never late"),
    ("inquiries_6m", "int8", 0, 40, False, "credit inquiries, last 6 months"),
    ("public_records", "int8", 0, 10, False, "bankruptcies, liens and judgments"),
)

DTYPES: dict[str, str] = {
    **{name: dtype for name, dtype, *_ in _NUMERIC},
    **dict.fromkeys(CATEGORIES, "int8"),  # codes; -1 is missing
    VINTAGE: "int32",
    TRUE_PD: "float32",
    TARGET: "int8",
}


def portfolio_schema() -> Schema:
    """Schema of the synthetic loans: 22 numeric and 5 one-hot features, target ``default``.

    ``vintage`` (yyyymm of the first month of the quarter) and ``true_pd`` are columns of the records but not features.
    """
    numeric = [
        Feature(name=name, minimum=low, maximum=high, nullable=nullable, description=description)
        for name, _, low, high, nullable, description in _NUMERIC
    ]
    onehot = [
        Feature(name=name, encoding="onehot", levels=levels, nullable=name == "employment_type")
        for name, levels in CATEGORIES.items()
    ]
    return Schema(name="synthetic_loans", version="1", target=TARGET, features=(*numeric, *onehot))


@dataclass(frozen=True)
class Profile:
    """How one bank's customers and products differ from the others'. Tables map a random byte to a level's code.

    Attributes:
        quality, wealth, age: shifts of the means of credit quality and log income (standard deviations) and of age
            (years).
        new_customers: share of customers without an earlier relationship.
        thin_files: factor on the share of applicants without a bureau score.
        verifies: share of incomes that the bank verifies in its branches.
        margin: the bank's mark-up on the interest rate (percentage points).
        purpose, channel, region, term, employment: (256,) int8 tables.
    """

    quality: float
    wealth: float
    age: float
    new_customers: float
    thin_files: float
    verifies: float
    margin: float
    purpose: np.ndarray
    channel: np.ndarray
    region: np.ndarray
    term: np.ndarray
    employment: np.ndarray


def draw_profile(rng: np.random.Generator) -> Profile:
    """Draw a bank: (256,) tables from Dirichlet mixes around the market's, shifts from uniform distributions."""
    return Profile(
        quality=float(rng.uniform(-0.2, 0.3)),
        wealth=float(rng.uniform(-0.5, 0.5)),
        age=float(rng.uniform(-6, 6)),
        new_customers=float(rng.uniform(0.25, 0.7)),
        thin_files=float(rng.uniform(0.6, 1.6)),
        verifies=float(rng.uniform(0.6, 0.95)),
        margin=float(rng.uniform(-1, 1)),
        purpose=_table(rng, (0.22, 0.16, 0.26, 0.08, 0.07, 0.08, 0.06, 0.07)),
        channel=_table(rng, (0.35, 0.35, 0.18, 0.12)),
        region=_table(rng, (0.16, 0.14, 0.12, 0.1, 0.09, 0.08, 0.07, 0.06, 0.06, 0.05, 0.04, 0.03), concentration=8),
        term=_table(rng, (0.08, 0.17, 0.26, 0.18, 0.2, 0.07, 0.04)),
        employment=_table(rng, (0.78, 0.15, 0.0, 0.07), concentration=80),
    )


def _table(rng: np.random.Generator, market: tuple[float, ...], concentration: float = 25) -> np.ndarray:
    """(256,) int8: the level of each of 256 equally likely bytes, for a mix drawn around ``market``."""
    mix = rng.dirichlet(np.maximum(np.array(market) * concentration, 1e-9))
    edges = np.round(np.cumsum(mix) * 256).astype(np.int64)
    return np.searchsorted(edges, np.arange(256), side="right").clip(max=len(market) - 1).astype(np.int8)


def unemployment_table() -> np.ndarray:
    """(12 * 32,) float32: unemployment rate (per cent) at ``region * 32 + quarter``, one cycle and a recession."""
    quarter = np.arange(N_QUARTERS)
    cycle = 5.5 + 1.2 * np.sin(2 * np.pi * quarter / N_QUARTERS) + 3.5 * np.exp(-0.5 * ((quarter - 14) / 2) ** 2)
    offset = np.linspace(-1.5, 2.5, len(REGIONS))
    return np.round(offset[:, None] + cycle[None, :], 1).astype(np.float32).ravel()


def vintage_table() -> np.ndarray:
    """(32,) int32: yyyymm of the first month of each quarter."""
    quarter = np.arange(N_QUARTERS)
    return ((FIRST_YEAR + quarter // 4) * 100 + quarter % 4 * 3 + 1).astype(np.int32)
