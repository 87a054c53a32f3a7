"""Contribution: which bank brought what to the model of all. `riskfed.protocols.contribution.measure` is the program."""
