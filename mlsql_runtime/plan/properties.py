"""Spark properties that people may set for a job."""

from __future__ import annotations

from mlsql_runtime.errors import InputError

_ELSEWHERE = {
    "spark.master": "where Spark runs is the connection's matter, or --master's",
    "spark.submit.pyFiles": "the runtime travels there; let scripts bring what they need in their folder",
    "spark.app.name": "the application is called like the job",
}


def check_property(name: str, value: str) -> None:
    """Refuse what would be passed over or would break the job.

    :raises InputError: naming the property.
    """
    if not name.startswith("spark."):
        raise InputError(f"{name!r} is no property of Spark; their names begin with spark.", property=name)
    if name in _ELSEWHERE:
        raise InputError(f"{name} cannot be set for a job: {_ELSEWHERE[name]}", property=name)
    if name == "spark.submit.deployMode" and value != "client":
        instead = "unless the Spark connection in Airflow has deploy-mode cluster"
        raise InputError(f"{name} is {value!r}; leave it out: jobs run in client mode, {instead}", property=name)
