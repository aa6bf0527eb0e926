"""MLSQL's PythonAlg on PySpark: train users' scripts, keep their models, serve them as SQL functions. Never imports Airflow."""

__version__ = "0.1.0"
