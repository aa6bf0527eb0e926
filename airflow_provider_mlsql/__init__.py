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
        "integrations": [
            {
                "integration-name": name,
                "external-doc-url": "https://github.com/byzer-org/byzer-lang",  # where MLSQL lives now
                "tags": ["machine-learning"],
            }
        ],
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
        "config": {
            "mlsql": {
                "description": "Settings of the pages about models in Airflow's UI. The API server reads them.",
                "options": {
                    "model_paths": _option(
                        "Model paths that the list of models shows beside those that DAGs have named, separated by commas. Users "
                        "who may read all DAGs see them.",
                        "s3://bucket/spam, /models/churn",
                    ),
                    "storage_conn_id": _option(
                        "The connection with which the pages read models in storage; or JSON that names a connection for each "
                        "beginning of URIs. Without it, the environment of the API server decides.",
                        '{"s3://models": "minio", "gs://": "google"}',
                    ),
                },
            }
        },
        "extra-links": [f"airflow_provider_mlsql.links.{link}" for link in ("ModelLink", "VersionLink", "SparkUILink")],
    }


def _option(description: str, example: str) -> dict[str, Any]:
    """Return the declaration of a setting that has no default."""
    return {"description": description, "version_added": "0.1.0", "type": "string", "example": example, "default": None}
