"""The ways that ``scoring.py`` compares, their data, and the page of results."""
