"""Compile the numerics before many processes would each compile them."""

from __future__ import annotations

from riskfed.datasets import iid_split, load_taiwan, taiwan_schema
from riskfed.jobs import HorizontalXgboost
from riskfed.simulation import simulate


def compile_kernels() -> None:
    """Grow a small federation in this process; compiled code goes to the cache that other processes read."""
    job = HorizontalXgboost(n_estimators=2, max_depth=3, max_bin=16, validation_fraction=0.2)
    simulate(iid_split(load_taiwan().iloc[:600], 3, seed=0), taiwan_schema(), job)
