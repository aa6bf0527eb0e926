"""Checks of the Spark properties that users set for a job."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mlsql_runtime.errors import InputError
from mlsql_runtime.plan.python_env import hide_passwords

_SECRET = re.compile(
    r"secret|passw|passphrase|(^|[._-])(pass|pwd)$|token|(access|account|private|api)[._-]?key|\.sas\.|credential"
    r"|\.openlineage\.transport\.(.*\.)?headers\.",  # such as Authorization
    re.IGNORECASE,
)
_ABOUT_SECRETS = re.compile(  # names, files and switches, which spark-submit itself needs
    r"pullSecrets$|\.secrets\.|\.secretKeyRef\.|tokenSecret\.(name|itemKey)$|File$|credentials?\.provider|credentials\..*enabled$",
    re.IGNORECASE,
)
_SECRET_VALUE = re.compile(  # in URLs and connection strings, and keys in PEM
    r"(passw\w*|pwd|secret\w*|token|sig|signature|(access|account|api|shared)_?key\w*)\s*=|-----BEGIN ", re.IGNORECASE
)

_SET_LATE = ("spark.sql.", "spark.hadoop.", "spark.executorEnv.", "spark.openlineage.")  # the driver can set these

_ELSEWHERE = {
    "spark.master": "the Spark connection, or --master, decides where Spark runs",
    "spark.submit.pyFiles": "it carries the runtime; put what scripts need into their folder",
    "spark.app.name": "the application has the name of the job",
}


def is_secret_property(name: str, value: str) -> bool:
    """Return whether a property holds a secret, which process lists and pages must not show: its name says so, or its value is
    something like a URL with a password.

    Values of other properties than ``_SET_LATE`` do not count, since spark-submit itself reads those.
    """
    is_secret_value = bool(_SECRET_VALUE.search(value)) or hide_passwords(value) != value
    return _is_secret_name(name) or (name.startswith(_SET_LATE) and is_secret_value)


def hide_secrets(options: Mapping[str, str]) -> dict[str, str]:
    """Return options to show: three stars for each value that is a secret by its name, or that looks like one."""
    return {
        name: "***" if _is_secret_name(name) or _SECRET_VALUE.search(value) else hide_passwords(value)
        for name, value in options.items()
    }


def check_property(name: str, value: str) -> None:
    """Check a property of a job.

    :raises InputError: for a property that Spark would ignore, or that would break the job.
    """
    if not name.startswith("spark."):
        raise InputError(f"{name!r} is not a Spark property; expected a name that begins with spark.", property=name)
    if name in _ELSEWHERE:
        raise InputError(f"{name} cannot be set for a job: {_ELSEWHERE[name]}", property=name)
    if name == "spark.submit.deployMode" and value != "client":
        instead = "unless the Spark connection in Airflow has deploy-mode cluster"
        raise InputError(f"{name} is {value!r}; leave it out: jobs run in client mode, {instead}", property=name)


def _is_secret_name(name: str) -> bool:
    return bool(_SECRET.search(name)) and not _ABOUT_SECRETS.search(name)
