"""Who takes part in ``scoring.py``, with what data, and the page that comes of it."""
