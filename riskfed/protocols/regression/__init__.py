"""Logistic regression over rows that lie at several banks: the pooled likelihood, its maximum, and the choice of variables."""
