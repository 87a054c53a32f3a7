"""A bank's node: the vault that holds its records, and what starts, checks and records it. Nothing here opens a network port."""
