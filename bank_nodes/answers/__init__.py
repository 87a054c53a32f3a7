"""A feature holder's answers while applicants are scored: its split decisions of one customer at a time, to pinned clients only."""
