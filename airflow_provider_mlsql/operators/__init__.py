"""Operators turn their arguments into a plan, run it, and answer with a small dict."""
