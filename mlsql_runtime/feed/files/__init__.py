"""A table as files: written by Spark, copied once to each node, read by format."""
