"""Which models the service scores with: where they come from, how they are taken up, kept and compared."""
