"""MLflow tracking: the options that statements share, and what only the job knows of the server."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from mlsql_runtime.errors import InputError

TRACKING_URI_DOC = (
    "An MLflow tracking server, such as ``http://host:5000``, without a password. Credentials are taken from "
    "``MLFLOW_TRACKING_…`` variables of the driver; operators have ``mlflow_conn_id`` for them."
)
_PASSWORD = re.compile(r"//[^/@]*@")


@dataclass(frozen=True, kw_only=True)
class TrackingAccess:
    """Access to a tracking server, and the task that uses it.

    :param variables: MLflow's environment variables with credentials.
    :param link: the URL of the task in Airflow's UI; None if unknown.
    """

    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    link: str | None = None


NO_TRACKING = TrackingAccess()


def check_tracking_uri(uri: str | None) -> None:
    """Check that the URI of a tracking server has no user and password, which a plan and a log would show.

    :raises InputError: when it has.
    """
    if uri is not None and _PASSWORD.search(uri):
        raise InputError(
            "mlflowTrackingUri has a user or a password, which everybody can read there; put them into MLFLOW_TRACKING_USERNAME "
            "and MLFLOW_TRACKING_PASSWORD, or into an Airflow connection, and name that as mlflow_conn_id"
        )
