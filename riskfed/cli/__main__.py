"""``python -m riskfed.cli``."""

from riskfed.cli import app

app()
