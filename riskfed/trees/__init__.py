"""Gradient-boosted trees from summed histograms, equal to XGBoost's `hist` to the last bit. Arrays in, arrays out.

`grower.Grower` is one party's side of growing. `cuts`, `tree`, `booster_json` and `predictor` need neither numba nor xgboost;
import the modules one by one.
"""
