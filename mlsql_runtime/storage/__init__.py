"""Open paths and URIs through fsspec."""
