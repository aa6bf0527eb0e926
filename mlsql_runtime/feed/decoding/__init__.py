"""Columns, vectors and JSON lines as Arrow arrays, NumPy arrays and Python rows."""
