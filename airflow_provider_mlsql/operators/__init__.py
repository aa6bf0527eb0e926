"""Operators turn their arguments into a plan, run it, and return a small dict."""
