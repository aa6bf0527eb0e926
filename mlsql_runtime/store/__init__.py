"""The model store: immutable versions and function packages on any fsspec file system. Imports no pyspark."""
