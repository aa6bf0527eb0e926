"""Hooks own connections and processes."""
