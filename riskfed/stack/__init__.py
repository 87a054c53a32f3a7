"""A whole stack on one machine's loopback: for the demo, for tests, and for `riskfed up`."""
