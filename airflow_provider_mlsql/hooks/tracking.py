"""An MLflow tracking server, from an Airflow connection."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook, conf

from airflow_provider_mlsql.compat import mask_secret
from airflow_provider_mlsql.task_paths import format_page_path
from mlsql_runtime.errors import InputError
from mlsql_runtime.plan import NO_TRACKING, TaskTry, TrackingAccess
from mlsql_runtime.plan.parsers import is_nothing

_EXTRAS = {"token": "MLFLOW_TRACKING_TOKEN", "insecure_tls": "MLFLOW_TRACKING_INSECURE_TLS"}


def read_tracking(conn_id: str | None, uri: str | None) -> tuple[str | None, TrackingAccess]:
    """Return the URI of a server, and access to it.

    The connection, of any type such as ``http``, has the host, or the whole URI as its host; login and password, or a token as
    ``token`` in its extra or as the password without a login.

    :param uri: the URI, if no connection names it.
    :raises InputError: when there is no such connection, or it names no server and ``uri`` does not either.
    """
    if conn_id is None or is_nothing(conn_id):
        return uri, NO_TRACKING
    try:
        connection = BaseHook.get_connection(conn_id)
    except AirflowNotFoundException as error:
        raise InputError(f"there is no connection {conn_id}, which mlflow_conn_id names; add it in Airflow") from error
    extra = connection.extra_dejson
    if not isinstance(extra, dict):
        raise InputError(f"connection {conn_id}, which mlflow_conn_id names, has an extra that is not a JSON object; correct it")
    variables = {
        variable: "true" if extra[name] is True else str(extra[name]) for name, variable in _EXTRAS.items() if extra.get(name)
    }
    if connection.login:
        variables["MLFLOW_TRACKING_USERNAME"] = connection.login
        variables["MLFLOW_TRACKING_PASSWORD"] = connection.password or ""
    elif connection.password:
        variables.setdefault("MLFLOW_TRACKING_TOKEN", connection.password)
    mask_secret([value for name, value in variables.items() if not name.endswith(("USERNAME", "TLS"))])
    server = uri or _make_uri(connection.host, connection.schema, connection.port)
    if server is None:
        raise InputError(f"connection {conn_id}, which mlflow_conn_id names, has no host; give it, or mlflow_tracking_uri")
    return server, TrackingAccess(variables=variables)


def _make_uri(host: str | None, schema: str | None, port: int | None) -> str | None:
    if not host:
        return None
    scheme, _, rest = (host if "://" in host else f"{schema or 'http'}://{host}").rstrip("/").partition("://")
    name, slash, path = rest.partition("/")
    return f"{scheme}://{name}:{port}{slash}{path}" if port else f"{scheme}://{rest}"


def make_link(task: TaskTry) -> str | None:
    """Return the URL of a task in Airflow's UI; None if its base is not configured."""
    base = conf.get("api", "base_url", fallback=None)
    if not base:
        return None
    return f"{base.rstrip('/')}{format_page_path(task)}"
