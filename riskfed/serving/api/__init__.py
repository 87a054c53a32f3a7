"""The scoring service over HTTP."""
