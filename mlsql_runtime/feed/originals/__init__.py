"""Parquet files of a stored table, which scripts read where they are: no rows are copied."""
