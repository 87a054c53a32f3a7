"""A table like German credit: 1,000 loans, 7 numbers and 13 categories, most of which become one-hot columns.

The real one (Hofmann 1994, UCI 144) is used where the environment variable RISKFED_GERMAN_CREDIT names its Parquet file, with the label
in a column `default`; otherwise a table of the same shape is drawn.
"""

import os

import numpy as np
import pandas as pd

_LEVELS = {
    "checking_status": 4,
    "credit_history": 5,
    "purpose": 10,
    "savings": 5,
    "employment_since": 5,
    "personal_status_sex": 4,
    "other_debtors": 3,
    "property": 4,
    "other_installment_plans": 3,
    "housing": 3,
    "job": 4,
    "telephone": 2,
    "foreign_worker": 2,
}


def german_credit() -> pd.DataFrame:
    if path := os.environ.get("RISKFED_GERMAN_CREDIT"):
        return pd.read_parquet(path)
    rng = np.random.default_rng(1994)
    frame = pd.DataFrame(
        {
            "duration_months": rng.integers(1, 13, 1000) * 6,
            "credit_amount": np.exp(rng.normal(7.8, 0.8, 1000)).round(),
            "installment_rate": rng.integers(1, 5, 1000),
            "residence_since": rng.integers(1, 5, 1000),
            "age": rng.integers(19, 76, 1000),
            "existing_credits": rng.integers(1, 5, 1000),
            "people_liable": rng.integers(1, 3, 1000),
        }
    )
    signal = 0.03 * frame["duration_months"] - 0.02 * frame["age"]
    for name, n_levels in _LEVELS.items():
        codes = rng.integers(0, n_levels, 1000)
        signal += rng.normal(0, 0.5, n_levels)[codes]
        frame[name] = pd.Categorical.from_codes(codes, [f"<{i}" if i == 0 else f"level {i}" for i in range(n_levels)])
    frame["default"] = (rng.random(1000) < 1 / (1 + np.exp(-(signal - signal.quantile(0.7))))).astype(np.int8)
    return frame
