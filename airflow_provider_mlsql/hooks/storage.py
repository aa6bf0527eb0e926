"""Access to storage by Airflow connections: for our own processes through fsspec, for Spark through Hadoop's properties.

Both travel as secrets of a job, as plain text. The file systems that Airflow's providers make from connections hold sessions and
credential objects of their process, which cannot travel, and need the providers' packages; so the fields are read here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

from airflow_provider_mlsql.compat import mask_secret
from airflow_provider_mlsql.hooks import storage_types
from airflow_provider_mlsql.hooks.storage_types import StorageFields
from mlsql_runtime.errors import InputError
from mlsql_runtime.plan import NO_ACCESS, StorageAccess, StorageConnection, find_family
from mlsql_runtime.plan.parsers import is_nothing, parse_json

if TYPE_CHECKING:
    from airflow.sdk import Connection

ConnectionIds = str | Mapping[str, str] | None
_EXAMPLE = '{"s3://models": "aws_models", "s3://data": "aws_data"}'


@dataclass(frozen=True)
class StorageSettings:
    """What the connections of ``storage_conn_id`` give.

    :param access: for our own processes.
    :param spark: Spark properties for the same storage, all of which travel as secrets.
    """

    access: StorageAccess = NO_ACCESS
    spark: Mapping[str, str] = field(default_factory=dict, repr=False)


def read_storage(storage_conn_id: ConnectionIds) -> StorageSettings:
    """Read the connections, and mask their secrets in logs. It blocks: in a trigger, call it in a thread.

    :param storage_conn_id: the ID of a connection, for all URIs of its storage; or IDs by the beginning of URIs, perhaps as JSON
        text; None: the environment decides.
    :raises InputError: when there is no such connection, or it has a type or a field that is not supported.
    """
    given = {} if is_nothing(storage_conn_id) else _parse(storage_conn_id)
    connections, spark = [], dict[str, str]()
    for prefix, conn_id in given.items():
        connection = _get_connection(conn_id)
        source = f"connection {conn_id}"
        fields = storage_types.read_fields(connection, source)
        if prefix is not None and find_family(prefix) != fields.family:
            raise InputError(
                f"storage_conn_id: {source} is of type {connection.conn_type}, which is for {fields.family}://, and is given for "
                f"{prefix}; name a connection for that storage",
                conn_id=conn_id,
            )
        where = prefix or f"{fields.family}://"
        _mask(fields)
        connections.append(StorageConnection(name=conn_id, prefix=where, options=json.dumps(fields.options, sort_keys=True)))
        _merge(spark, storage_types.to_hadoop(fields, where), where)
    return StorageSettings(StorageAccess(tuple(connections)), {f"spark.hadoop.{name}": value for name, value in spark.items()})


def check_uris(access: StorageAccess, uris: Mapping[str, str], storage_conn_id: ConnectionIds) -> None:
    """Check that connections fit the URIs of a job, so that none is opened with other credentials than people expect.

    :param uris: URIs by what errors call them.
    :raises InputError: for a URI of another storage than the one connection is for, or of another Azure account.
    """
    for what, uri in uris.items():
        family, connection = find_family(uri), access.find(uri)
        if connection is not None:
            _check_account(what, uri, connection)
        elif family is not None and access.connections and isinstance(parse_json(storage_conn_id), str):
            [only] = access.connections
            raise InputError(
                f"{what} is {uri}, and storage_conn_id names connection {only.name}, which is for {only.prefix}; name a "
                f'connection for {family}://, or leave {family}:// to the environment: storage_conn_id={{"{only.prefix}": '
                f'"{only.name}"}}',
                conn_id=only.name,
                uri=uri,
            )


def _check_account(what: str, uri: str, connection: StorageConnection) -> None:
    """Raise InputError for a URI that names another Azure account than the connection."""
    _, _, host = uri.partition("://")[2].partition("/")[0].partition("@")
    named, account = host.partition(".")[0], connection.load_options().get("account_name")
    if named and account and named != account:
        raise InputError(
            f"{what} is {uri}, which is in the account {named}, and connection {connection.name} is for {account}; name a "
            "connection for that account",
            conn_id=connection.name,
            uri=uri,
        )


def _parse(given: str | Mapping[str, str] | None) -> dict[str | None, str]:
    """Return connection IDs by the beginning of URIs; None stands for all URIs of the connection's storage."""
    try:
        value = parse_json(given)
    except ValueError as error:
        raise InputError(f"storage_conn_id is {given!r}, which is {error}") from None
    if isinstance(value, str):
        return {None: value}
    if not isinstance(value, Mapping) or not all(isinstance(each, str) and each for each in value.values()):
        raise InputError(f"storage_conn_id is {given!r}; expected the ID of a connection, or a dict such as {_EXAMPLE}")
    for prefix in value:
        if find_family(str(prefix)) is None:
            raise InputError(
                f"storage_conn_id names connection {value[prefix]} for {prefix!r}; expected the beginning of a URI, such as "
                "s3://bucket",
                conn_id=value[prefix],
            )
    return {str(prefix): conn_id for prefix, conn_id in value.items()}


def _get_connection(conn_id: str) -> Connection:
    try:
        return BaseHook.get_connection(conn_id)
    except AirflowNotFoundException as error:
        raise InputError(f"there is no connection '{conn_id}'; add it, or correct storage_conn_id", conn_id=conn_id) from error


def _mask(fields: StorageFields) -> None:
    for value in _texts(fields.secrets):
        mask_secret(value)
        for line in value.splitlines() if "PRIVATE KEY" in value else ():  # a log shows a key line by line
            if len(line) > 20 and "PRIVATE KEY" not in line:
                mask_secret(line)


def _texts(values: Iterable[str | None]) -> list[str]:
    return [value for value in values if value]


def _merge(spark: dict[str, str], more: Mapping[str, str], where: str) -> None:
    """Add Hadoop's properties of another connection.

    :raises InputError: when two connections give one property different values.
    """
    for name, value in more.items():
        if spark.setdefault(name, value) != value:
            raise InputError(
                f"storage_conn_id: Spark cannot use two connections for {where}, because its setting {name} has one value; name "
                "one connection for the bucket or account"
            )
