"""Scorecards: the scale on which a probability of default is shown to people."""
