"""Airflow provider for MLSQL's PythonAlg: train, wait, register and predict on Spark."""

from __future__ import annotations

from typing import Any

from airflow_provider_mlsql import connection_types
from mlsql_runtime import __version__

__all__ = ["__version__", "get_provider_info"]


def get_provider_info() -> dict[str, Any]:
    """Return the description of the provider for Airflow's providers manager."""
    name = "MLSQL"
    return {
        "package-name": "airflow-provider-mlsql",
        "name": name,
        "description": "Train your own Python algorithms on Spark data, register them as SQL functions and predict with them.",
        "versions": [__version__],
        "integrations": [{"integration-name": name, "external-doc-url": "https://spark.apache.org/", "tags": ["software"]}],
        "operators": [
            {
                "integration-name": name,
                "python-modules": [
                    "airflow_provider_mlsql.operators.train",
                    "airflow_provider_mlsql.operators.register",
                    "airflow_provider_mlsql.operators.predict",
                    "airflow_provider_mlsql.operators.script",
                ],
            }
        ],
        "sensors": [{"integration-name": name, "python-modules": ["airflow_provider_mlsql.sensors.model"]}],
        "triggers": [
            {
                "integration-name": name,
                "python-modules": ["airflow_provider_mlsql.triggers.model", "airflow_provider_mlsql.triggers.application"],
            }
        ],
        "hooks": [
            {
                "integration-name": name,
                "python-modules": ["airflow_provider_mlsql.hooks.mlsql", "airflow_provider_mlsql.hooks.kafka"],
            }
        ],
        "connection-types": [connection_types.kafka()],
        "extra-links": [f"airflow_provider_mlsql.links.{link}" for link in ("ModelLink", "VersionLink", "SparkUILink")],
    }
