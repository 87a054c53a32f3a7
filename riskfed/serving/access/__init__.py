"""Who may ask the scoring service what, and how often. Joined in `gate.py`."""
