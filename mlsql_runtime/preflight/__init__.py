"""Check, on every executor host, that a script can run there."""
