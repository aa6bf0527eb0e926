"""MLSQL's PythonAlg on PySpark: train users' scripts, keep their models, serve them as SQL functions. Never imports Airflow."""

__version__ = "0.1.0"

HELPERS = ("mlsql", "mlsql_model", "python_fun")
"""What scripts import: packages beside this one, in a checkout, an installation, and the zip that Spark ships."""
