"""The draw of one block of synthetic loan records and of their true probability of default.

A block is a dictionary of (BLOCK_ROWS,) arrays. Its size is fixed so that what is drawn does not depend on how many
rows are asked for, and small so that all intermediate arrays stay in the processor's cache. Everything is float32 or
smaller. The PD is a function of the finished record alone (missing values included): no model can rank better, and one
could rank as well.
"""

from __future__ import annotations

import numpy as np

from riskfed.datasets import portfolio as pf

BLOCK_ROWS = 16_384

Columns = dict[str, np.ndarray]

_UNEMPLOYMENT = pf.unemployment_table()
_VINTAGES = pf.vintage_table()
_TERMS = np.array([12, 24, 36, 48, 60, 72, 84], dtype=np.int8)
_BYTE = np.float32(1 / 256)


def draw_block(profile: pf.Profile, rng: np.random.Generator) -> Columns:
    """Draw the records of one block.

    Args:
        profile: the bank.
        rng: generator of this block alone.

    Returns:
        Every column of `portfolio.DTYPES`, (BLOCK_ROWS,) each, categories as int8 codes; dtypes may still be wider than
        there.
    """
    block: Columns = {}
    quality = _normal(rng) + np.float32(profile.quality)
    _draw_applicant(block, profile, quality, rng)
    _draw_bureau(block, profile, quality, rng)
    _draw_loan(block, profile, rng)
    _draw_affordability(block, quality, rng)
    block[pf.TRUE_PD] = _sigmoid(log_odds(block))
    block[pf.TARGET] = rng.random(BLOCK_ROWS, dtype=np.float32) < block[pf.TRUE_PD]
    return block


def _draw_applicant(block: Columns, profile: pf.Profile, quality: np.ndarray, rng: np.random.Generator) -> None:
    """Who applies, where and how."""
    u = _bytes(rng, 8)
    block["channel"] = channel = profile.channel[u[0]]
    block["region"] = region = profile.region[u[1]]
    quarter = u[2] & 31
    block[pf.VINTAGE] = _VINTAGES[quarter]
    block["unemployment_rate"] = _UNEMPLOYMENT[region.astype(np.int16) * pf.N_QUARTERS + quarter]
    online = channel == pf.ONLINE
    age = np.clip(_normal(rng) * 13 + (44 + np.float32(profile.age)) - 5 * _f(online), 18, 90).astype(np.int8)
    block["age"] = age
    employment = profile.employment[u[3]]
    employment[age > 66] = pf.RETIRED
    seen = u[4] < np.uint8(255 * profile.verifies)
    block["income_verified"] = seen & ((channel != pf.BROKER) | (u[4] < 128))
    # Those who cannot prove an income more often leave their occupation out.
    employment[(u[5] < 40) & ~block["income_verified"]] = -1
    block["employment_type"] = employment
    years = _f(age)
    hump = 0.35 - (years - 48) ** 2 * 0.0006
    log_income = _normal(rng) * 0.45 + hump + 0.12 * quality + np.float32(10.55 + 0.35 * profile.wealth)
    block["annual_income"] = _rounded(np.clip(np.exp(log_income), 6_000, 900_000), 100)
    tenancy = _normal(rng) + (years - 44) * 0.05 + (log_income - 10.7) * 0.8
    housing = _i8(tenancy < 0.9) + _i8(tenancy < -0.1)
    housing[(u[6] < 10) & (housing == pf.RENT)] = pf.OTHER_HOUSING
    block["home_ownership"] = housing
    job = np.minimum(np.floor(rng.standard_exponential(BLOCK_ROWS, dtype=np.float32) * 70), (years - 18) * 12)
    job[(employment >= pf.RETIRED) | (u[7] < 8)] = np.nan
    block["employment_months"] = job


def _draw_bureau(block: Columns, profile: pf.Profile, quality: np.ndarray, rng: np.random.Generator) -> None:
    """What the credit bureau and the bank's own books say."""
    u = _bytes(rng, 8)
    adult = (_f(block["age"]) - 18) * 12
    history = np.floor(adult * (0.1 + 0.9 * _f(u[0]) * _BYTE))
    block["credit_history_months"] = history
    customer = u[1] >= np.uint8(255 * profile.new_customers)
    block["relationship_months"] = np.floor(history * _f(u[2]) * _BYTE) * customer
    block["open_accounts"] = np.minimum(np.floor(_exponential(rng) * 4 + history * 0.01), 60)
    trouble = np.exp(-0.75 * quality - 1.1)
    late = np.minimum(np.floor(_exponential(rng) * trouble), 24)
    block["delinquencies_24m"] = late
    block["inquiries_6m"] = np.minimum(np.floor(_exponential(rng) * (0.45 + 0.9 * trouble)), 40)
    block["public_records"] = np.minimum(np.floor(_exponential(rng) * (trouble * 0.45)), 10)
    since = np.floor(_f(u[3]) * np.where(late > 0, np.float32(24 / 256), np.float32(240 / 256)))
    since[(late == 0) & ((quality > 0.3) | (u[4] < 128))] = np.nan
    block["months_since_delinquency"] = since
    utilisation = _sigmoid(_normal(rng) * 1.1 - 0.75 * quality - 0.3) * 1.15
    block["revolving_utilisation"] = _rounded(utilisation, 0.001)
    limit = block["annual_income"] * (0.1 + 0.4 * _f(u[5]) * _BYTE)
    block["revolving_balance"] = np.floor(limit * utilisation)
    score = 668 + 42 * quality + _normal(rng) * 30
    score += np.minimum(history, 240) * 0.1 - 9 * late - 55 * (utilisation - 0.45)
    score = np.rint(np.clip(score, 300, 850))
    thin = _f(u[6]) * _BYTE < np.float32(0.3 * profile.thin_files) * (history < 36) + np.float32(0.02)
    score[thin] = np.nan
    block["bureau_score"] = score


def _draw_loan(block: Columns, profile: pf.Profile, rng: np.random.Generator) -> None:
    """What is lent, for what, and at which price."""
    u = _bytes(rng, 8)
    block["purpose"] = purpose = profile.purpose[u[0]]
    term = _TERMS[profile.term[u[1]]]
    block["term_months"] = term
    income = block["annual_income"]
    spread = np.exp(_normal(rng) * 0.6 - 1.35) * (0.5 + _f(term) * 0.012)
    amount = _rounded(np.clip(income * spread, 1_000, 100_000), 100)
    block["loan_amount"] = amount
    secured = (purpose == pf.CAR) | ((purpose == pf.HOME_IMPROVEMENT) & (block["home_ownership"] <= pf.MORTGAGE))
    value = np.clip(_normal(rng) * 0.18 + 0.82, 0.1, 1.6)
    block["loan_to_value"] = np.where(secured, _rounded(value, 0.01), np.float32(np.nan))
    # Priced by the score (a missing one is priced like 640), term and collateral: the rate tells a model part of the
    # risk.
    priced = np.where(np.isnan(block["bureau_score"]), np.float32(640), block["bureau_score"])
    rate = 8.5 + (700 - priced) * 0.045 + _f(term) * 0.02 - 2.0 * _f(secured) + _normal(rng) * 1.2
    rate = _rounded(np.clip(rate + np.float32(profile.margin), 1.5, 36), 0.05)
    block["interest_rate"] = rate
    monthly = rate * np.float32(1 / 1200)
    block["installment"] = _rounded(amount * monthly / -np.expm1(-_f(term) * np.log1p(monthly)), 0.01)


def _draw_affordability(block: Columns, quality: np.ndarray, rng: np.random.Generator) -> None:
    """What the applicant owes and owns."""
    u = _bytes(rng, 8)
    income = block["annual_income"]
    rent = (0.08 + 0.1 * _f(u[0]) * _BYTE) * (block["home_ownership"] != pf.OWN)
    service = (block["installment"] + 0.03 * block["revolving_balance"]) * 12 / income
    ratio = _rounded(np.minimum(rent + service + _exponential(rng) * 0.07, 5), 0.001)
    ratio[u[1] < 6] = np.nan
    block["debt_to_income"] = ratio
    savings = np.floor(income * np.exp(_normal(rng) * 1.1 + 0.45 * quality - 2.2))
    withheld = np.where(savings < 0.08 * income, np.uint8(77), np.uint8(15))
    savings[u[2] < withheld] = np.nan
    block["savings_balance"] = np.minimum(savings, 5_000_000)


def log_odds(block: Columns) -> np.ndarray:
    """True log-odds of default of each record: (n,) float32.

    Args:
        block: the feature columns of `portfolio.DTYPES`, (n,) each, NaN or code -1 where missing.
    """
    total: np.ndarray = _main_effects(block) + _interactions(block) + np.float32(-3.4)
    return total


def _main_effects(block: Columns) -> np.ndarray:
    score = (block["bureau_score"] - 680) * (1 / 70)
    effect: np.ndarray = -0.5 * np.where(np.isnan(score), np.float32(-0.6), score)
    utilisation = block["revolving_utilisation"]
    effect += 0.3 * (utilisation - 0.45) + 3.5 * np.maximum(utilisation - 0.85, 0)
    effect += 0.1 * np.minimum(block["inquiries_6m"], 6) + 0.45 * np.minimum(block["public_records"], 2)
    ratio = block["debt_to_income"]
    effect += np.where(np.isnan(ratio), np.float32(0.15), 2.2 * np.maximum(ratio - 0.4, 0))
    saved = np.log1p(block["savings_balance"]) - np.log(block["annual_income"])
    effect += np.where(np.isnan(saved), np.float32(0.35), -0.16 * np.maximum(saved + 2.2, -3))
    effect += 0.0016 * (_f(block["age"]) - 45) ** 2 - 0.3
    effect -= 0.12 * np.log1p(_f(block["relationship_months"]) * (1 / 12))
    effect += np.where(np.isnan(block["months_since_delinquency"]), np.float32(-0.2), np.float32(0.1))
    return effect


_PURPOSE_BY_HOUSING = np.array(
    [  # own, mortgage, rent, other
        [-0.2, -0.2, 0.3, 0.3],
        [-0.5, -0.1, 0.7, 0.7],
        [0.2, -0.2, 0.1, 0.3],
        [0.4, 0.1, 0.2, 0.4],
        [-0.3, 0.3, -0.1, 0.2],
        [0.8, 0.2, 0.4, 0.8],
        [-0.4, 0.3, 0.2, 0.2],
        [0.0, 0.1, 0.1, 0.3],
    ],
    dtype=np.float32,
).ravel()
_EMPLOYMENT_EFFECT = np.array([0.0, 0.1, -0.2, 0.5, 0.4], dtype=np.float32)  # the last is -1: missing


def _interactions(block: Columns) -> np.ndarray:
    """What a linear model on the same columns cannot express."""
    effect: np.ndarray = _PURPOSE_BY_HOUSING[block["purpose"] * 4 + block["home_ownership"]]
    effect += _EMPLOYMENT_EFFECT[block["employment_type"]]
    late = np.minimum(block["delinquencies_24m"], 4)
    effect += late * np.where(block["revolving_utilisation"] > 0.6, np.float32(0.75), np.float32(0.1))
    stress = block["unemployment_rate"] - 6
    exposed = (block["employment_type"] == pf.SELF_EMPLOYED) | (block["purpose"] == pf.BUSINESS)
    effect += stress * np.where(exposed, np.float32(0.35), np.float32(0.0))
    effect += 0.8 * _f((block["channel"] == pf.BROKER) & ~block["income_verified"].astype(bool))
    burden = np.log(block["loan_amount"] / block["annual_income"]) + 1.2
    effect += burden * np.where(_f(block["term_months"]) >= 60, np.float32(0.9), np.float32(-0.4))
    uncovered = np.maximum(block["loan_to_value"] - 0.9, 0)
    effect += np.where(np.isnan(uncovered), np.float32(0.1), uncovered * np.maximum(stress + 2, 0) * 1.5)
    # A short file is a warning where the applicant is not young, and the rule where he or she is.
    effect += 0.9 * _f((block["credit_history_months"] < 60) & (_f(block["age"]) > 32))
    newcomer = np.nan_to_num(block["employment_months"], nan=120) < 12
    effect += _f(newcomer) * np.where(block["home_ownership"] == pf.RENT, np.float32(0.9), np.float32(0.0))
    return effect


def _normal(rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal(BLOCK_ROWS, dtype=np.float32)


def _exponential(rng: np.random.Generator) -> np.ndarray:
    return rng.standard_exponential(BLOCK_ROWS, dtype=np.float32)


def _bytes(rng: np.random.Generator, columns: int) -> np.ndarray:
    """(columns, BLOCK_ROWS) uint8, uniform."""
    return np.frombuffer(rng.bytes(columns * BLOCK_ROWS), dtype=np.uint8).reshape(columns, BLOCK_ROWS)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    odds_against: np.ndarray = np.exp(-x)
    return 1 / (1 + odds_against)


def _rounded(values: np.ndarray, step: float) -> np.ndarray:
    """To the next multiple of ``step``: real records have ties."""
    steps: np.ndarray = np.rint(values * np.float32(1 / step))
    return steps * np.float32(step)


def _f(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32)


def _i8(values: np.ndarray) -> np.ndarray:
    return values.astype(np.int8)
