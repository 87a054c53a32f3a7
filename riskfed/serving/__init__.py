"""The scoring API: one applicant in, PD and points out. Needs neither MLflow nor xgboost nor Flower where it runs."""
