"""Tracking: a run's events become an MLflow run, and its model an entry of MLflow's registry. The one place that knows MLflow."""
