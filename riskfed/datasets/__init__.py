"""Loan records to learn with: real ones, a consortium of banks made from them, and synthetic ones for scale."""

from riskfed.datasets.consortium import (
    iid_split,
    split_by_affinity,
    taiwan_affinities,
    taiwan_consortium,
    vertical_blocks,
)
from riskfed.datasets.synthetic import SyntheticBank, SyntheticLoans, bayes_auc
from riskfed.datasets.taiwan import TAIWAN_ATTRIBUTION, load_taiwan, taiwan_schema

__all__ = [
    "TAIWAN_ATTRIBUTION",
    "SyntheticBank",
    "SyntheticLoans",
    "bayes_auc",
    "iid_split",
    "load_taiwan",
    "split_by_affinity",
    "taiwan_affinities",
    "taiwan_consortium",
    "taiwan_schema",
    "vertical_blocks",
]
