"""Measuring a model on rows that lie at several banks: every figure of `riskfed.evaluation.record`, from protected sums."""
