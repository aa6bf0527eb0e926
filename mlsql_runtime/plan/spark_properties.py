"""Spark properties that people may set for a job."""

from __future__ import annotations

import re

from mlsql_runtime.errors import InputError

_SECRET = re.compile(r"secret|passw|token|(access|account|private|api)[._-]?key|\.sas\.|credential", re.IGNORECASE)
_ABOUT_SECRETS = re.compile(  # names, files and switches, which spark-submit itself needs
    r"pullSecrets$|\.secrets\.|\.secretKeyRef\.|tokenSecret\.(name|itemKey)$|File$|credentials?\.provider|credentials\..*enabled$",
    re.IGNORECASE,
)

_ELSEWHERE = {
    "spark.master": "where Spark runs is the connection's matter, or --master's",
    "spark.submit.pyFiles": "the runtime travels there; let scripts bring what they need in their folder",
    "spark.app.name": "the application is called like the job",
}


def is_secret(name: str) -> bool:
    """Whether a property of this name holds a secret, which no process list and no page may show."""
    return bool(_SECRET.search(name)) and not _ABOUT_SECRETS.search(name)


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
