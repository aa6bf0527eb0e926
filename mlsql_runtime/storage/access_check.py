"""Check connections to storage before a job begins: one small request for each bucket, with a limit on the time."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterable
from dataclasses import replace

from mlsql_runtime.errors import InputError, MLSQLError, StorageError
from mlsql_runtime.plan import StorageAccess, StorageConnection, find_family
from mlsql_runtime.storage.access_errors import ADVICE, describe, find_refusal
from mlsql_runtime.storage.location import Location

SECONDS = 10.0
_IMPATIENT = {"connect_timeout": 3, "read_timeout": 8, "retries": {"max_attempts": 0}}  # botocore tries for minutes


def check_access(uris: Iterable[str], access: StorageAccess) -> None:
    """Check for each bucket that its connection reaches it; URIs without a connection are left alone.

    :raises InputError: when a connection's key is wrong or not allowed to read, or there is no such bucket.
    :raises StorageError: when the storage does not respond within ten seconds.
    """
    checked = set()
    for uri in uris:
        connection = access.find(uri)
        bucket = "/".join(uri.split("/")[:3])
        if connection is not None and (connection, bucket) not in checked:
            checked.add((connection, bucket))
            _check(uri, bucket, connection)


def _check(uri: str, bucket: str, connection: StorageConnection) -> None:
    answer: queue.Queue[Exception | None] = queue.Queue(1)

    def ask() -> None:
        try:
            _ask(uri, connection)
        except Exception as error:
            answer.put(error)
        else:
            answer.put(None)

    # a daemon, because the clients of some storages wait for minutes
    threading.Thread(target=ask, name="mlsql-storage-check", daemon=True).start()
    try:
        error = answer.get(timeout=SECONDS)
    except queue.Empty:
        error = TimeoutError(f"no answer within {SECONDS:g} s")
    if error is not None:
        raise _explain(error, bucket, connection) from error


def _ask(uri: str, connection: StorageConnection) -> None:
    """Make one request about the root of a URI."""
    options = connection.load_options()
    if find_family(uri) == "s3":
        options["config_kwargs"] = {**options.get("config_kwargs", {}), **_IMPATIENT}
    place = Location.of(uri, StorageAccess((replace(connection, options=json.dumps(options)),)))
    bucket, _, key = place.path.partition("/")
    if find_family(uri) == "s3":
        place.fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=key, MaxKeys=1)
    else:
        place.fs.info(bucket or "/")


def _explain(error: Exception, bucket: str, connection: StorageConnection) -> MLSQLError:
    """Return one sentence that names the connection and the bucket, and says what to do."""
    if isinstance(error, MLSQLError):
        return error
    cause = find_refusal(error)
    endpoint = connection.load_options().get("endpoint_url")
    at = f" at {endpoint}" if endpoint else ""
    if isinstance(error, FileNotFoundError):
        return InputError(
            f"connection {connection.name} finds no {bucket}{at}; create it, or correct the URI",
            conn_id=connection.name,
            bucket=bucket,
        )
    if cause is not None:
        return InputError(
            f"connection {connection.name} is refused by {bucket}{at}: {cause}; {ADVICE}", conn_id=connection.name, bucket=bucket
        )
    return StorageError(
        f"connection {connection.name} does not reach {bucket}{at}: {describe(error)}; correct its endpoint, or retry "
        "when the storage responds",
        conn_id=connection.name,
        bucket=bucket,
    )
