"""Protocols: what each bank does, as party programs, and the switchboard that serves them."""
