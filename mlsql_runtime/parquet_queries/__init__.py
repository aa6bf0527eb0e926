"""Queries over Parquet files that Spark's Python workers answer from the files themselves, without rows from the JVM."""
