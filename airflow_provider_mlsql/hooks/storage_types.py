"""The connection types of storage: what is taken from the fields of each. A field that is not supported is an error."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlsql_runtime.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from airflow.sdk import Connection

CONNECT_SECONDS = 10  # botocore's own limit is a minute, which it waits several times
_LOGIN_URL = "https://login.microsoftonline.com"


@dataclass(frozen=True, kw_only=True)
class StorageFields:
    """The fields of a connection.

    :param family: the storage, see :func:`~mlsql_runtime.plan.find_family`.
    :param options: of fsspec's file system.
    :param secrets: to be masked in logs.
    """

    family: str
    options: Mapping[str, Any] = field(repr=False)
    secrets: tuple[str | None, ...] = field(repr=False)


class _Fields:
    """A connection's fields. ``take`` notes which fields of its extra were used; :meth:`check` refuses others.

    :param source: the connection in errors.
    """

    def __init__(self, connection: Connection, source: str) -> None:
        self.connection, self.source = connection, source
        self.login, self.password = connection.login or None, connection.password or None
        try:
            extra = json.loads(connection.extra or "{}")
        except (ValueError, RecursionError) as error:
            raise InputError(f"{source}: its extra is not JSON: {error}") from None
        if not isinstance(extra, dict):
            raise InputError(f'{source}: its extra is not a JSON object; expected one such as {{"endpoint_url": "https://…"}}')
        form = f"extra__{connection.conn_type}__"  # how old forms named fields
        self._extra = {name.removeprefix(form): value for name, value in extra.items() if value not in (None, "", {})}
        self._known: set[str] = set()

    def take(self, name: str) -> Any:
        """Return a field of the extra; None if it is empty."""
        self._known.add(name)
        return self._extra.get(name)

    def take_object(self, name: str, part: str) -> dict[str, Any]:
        """Return a field of the extra that is a JSON object, and has one as ``part`` or nothing.

        :raises InputError: for anything else.
        """
        value = self.take(name) or {}
        inner = value.get(part) or {} if isinstance(value, dict) else {}
        for what, each in ((name, value), (f"{name}.{part}", inner)):
            if not isinstance(each, dict):
                raise InputError(f"{self.source}: {what} in its extra is not a JSON object; correct it", name=name)
        return dict(value)

    def take_text(self, name: str) -> str | None:
        """Return a field of the extra that is text; None if it is empty.

        :raises InputError: for anything else.
        """
        value = self.take(name)
        if value is not None and not isinstance(value, str):
            raise InputError(f"{self.source}: {name} in its extra is not text; correct it", name=name)
        return value

    def check(self, *, without_effect: tuple[str, ...] = (), advice: Mapping[str, str] | None = None) -> None:
        """Raise InputError for a field that is not supported.

        :param without_effect: fields that mean nothing here.
        :param advice: what to do instead, by field.
        """
        for name, value in self._extra.items():
            if value is not False and name not in self._known and name not in without_effect:  # forms write False for nothing
                hint = (advice or {}).get(name)
                known = f"; {hint}" if hint else did_you_mean(name, self._known)
                raise InputError(f"{self.source}: its extra has {name}, which storage_conn_id does not support{known}", name=name)


def read_fields(connection: Connection, source: str) -> StorageFields:
    """Return what a connection gives.

    :param source: the connection in errors.
    :raises InputError: for a type or a field that is not supported.
    """
    read = _READERS.get(connection.conn_type or "")
    if read is None:
        raise InputError(
            f"{source} is of type {connection.conn_type}, which is not one of storage; expected one of {', '.join(_READERS)}",
            conn_type=connection.conn_type,
        )
    return read(_Fields(connection, source))


def _read_aws(fields: _Fields) -> StorageFields:
    key, secret, token = (fields.take_text(f"aws_{name}") for name in ("access_key_id", "secret_access_key", "session_token"))
    key, secret = fields.login or key, fields.password or secret
    endpoint, region, verify = fields.take_text("endpoint_url"), fields.take_text("region_name"), fields.take("verify")
    endpoint = (fields.take_object("service_config", "s3").get("s3") or {}).get("endpoint_url") or endpoint
    config = fields.take_object("config_kwargs", "s3")
    files = "profiles are files of each host; set AWS_PROFILE in the environment of workers and executors, without a connection"
    role = f"a role's keys are valid for an hour or so; {files.replace('profiles', 'profiles with role_arn')}"
    fields.check(
        without_effect=("test_endpoint_url",),
        advice=dict.fromkeys(("profile_name", "profile", "s3_config_file"), files)
        | dict.fromkeys(("role_arn", "assume_role_method", "assume_role_kwargs", "external_id"), role)
        | {"session_kwargs": "put the keys into login and password", "host": "it is called endpoint_url"},
    )
    if bool(key) != bool(secret):
        raise InputError(f"{fields.source} has only one of key and secret; set login and password, or neither")
    is_anonymous = config.get("signature_version") == "unsigned"
    config = {name: value for name, value in config.items() if not (is_anonymous and name == "signature_version")}
    options = {
        "key": key,
        "secret": secret,
        "token": token,
        "endpoint_url": endpoint,
        "anon": is_anonymous or None,
        "client_kwargs": _drop_empty({"region_name": region, "verify": verify}),
        "config_kwargs": {"connect_timeout": CONNECT_SECONDS, **config},
    }
    return StorageFields(family="s3", options=_drop_empty(options), secrets=(secret, token))


def _read_azure(fields: _Fields) -> StorageFields:
    host = (fields.connection.host or "").removeprefix("https://").rstrip("/")
    text, tenant = fields.take_text("connection_string"), fields.take_text("tenant_id")
    account = fields.take_text("account_name") or (host.partition(".")[0] if "." in host or tenant else None)
    is_principal = bool(tenant)
    options: dict[str, Any] = {
        "account_name": account or (host or fields.login if not is_principal else None),
        "account_key": fields.take_text("account_key") or (None if is_principal else fields.password),
        "sas_token": fields.take_text("sas_token"),
        "tenant_id": tenant,
        "client_id": fields.login if is_principal else None,
        "client_secret": fields.password if is_principal else None,
        "account_host": fields.take_text("account_host"),
        "anon": False,  # else adlfs asks without credentials, whatever it is given
    }
    fields.check(
        advice=dict.fromkeys(
            ("managed_identity_client_id", "workload_identity_client_id", "workload_identity_tenant_id"),
            "an identity belongs to each host; leave storage_conn_id out",
        )
        | {"client_secret_auth_config": "only the public cloud's login is supported"}
    )
    if text:
        options = {"connection_string": text}
        named = _parse_connection_string(text)
        secrets: tuple[str | None, ...] = (text, named.get("accountkey"), named.get("sharedaccesssignature"))
    else:
        secrets = (options["account_key"], options["sas_token"], options["client_secret"])
        if options["account_name"] is None and options["account_host"] is None:
            raise InputError(f"{fields.source} names no storage account; set its host or account_name")
        if not any(secrets):
            raise InputError(f"{fields.source} has no key, sas_token or connection_string; set one, or leave storage_conn_id out")
    return StorageFields(family="abfs", options=_drop_empty(options), secrets=secrets)


def _read_google(fields: _Fields) -> StorageFields:
    path, text, project = fields.take("key_path"), fields.take("keyfile_dict"), fields.take("project")
    is_anonymous = bool(fields.take("is_anonymous"))
    fields.check(
        without_effect=("scope", "num_retries"),
        advice={
            "key_secret_name": "put the key into keyfile_dict",
            "impersonation_chain": "put the key of the account into keyfile_dict",
            "credential_config_file": "set GOOGLE_APPLICATION_CREDENTIALS on each host, without a connection",
        },
    )
    key = _read_google_key(path, text, fields.source)
    if key is None and not is_anonymous:
        raise InputError(f"{fields.source} has no key; set keyfile_dict or key_path, or leave storage_conn_id out")
    options = {"token": "anon" if is_anonymous else key, "project": project}
    return StorageFields(family="gs", options=_drop_empty(options), secrets=(None if key is None else key.get("private_key"),))


def _read_google_key(path: Any, text: Any, source: str) -> dict[str, Any] | None:
    """Return the key of a service account, from a file of this machine or JSON text.

    :raises InputError: without the text in the message.
    """
    if path is None and text is None:
        return None
    try:
        key = text if isinstance(text, dict) else json.loads(text if text is not None else Path(path).read_bytes())
    except OSError as error:
        raise InputError(f"{source}: its key_path {path} cannot be read: {error}; correct it") from error
    except (ValueError, RecursionError):
        key = None
    if not isinstance(key, dict) or not {"client_email", "private_key"} <= key.keys():
        what = "keyfile_dict" if path is None else f"key_path {path}"
        raise InputError(f"{source}: its {what} is not the JSON key of a service account; create a key of that kind")
    return key


def _read_webhdfs(fields: _Fields) -> StorageFields:
    use_ssl = str(fields.take("use_ssl")).lower() == "true"
    certificate, key = fields.take("cert"), fields.take("key")
    verify = fields.take("verify")
    fields.check()
    options = {
        "user": fields.login,
        "password": fields.password,
        "use_https": use_ssl or None,
        "session_verify": verify,
        "session_cert": [certificate, key] if certificate and key else certificate,
    }
    return StorageFields(family="webhdfs", options=_drop_empty(options), secrets=(fields.password,))


def _refuse_hdfs(fields: _Fields) -> StorageFields:
    raise InputError(
        f"{fields.source} is of type hdfs, which has nothing that hdfs:// needs: the URI names the NameNode, and "
        "HADOOP_USER_NAME or a Kerberos ticket of each host the user; leave storage_conn_id out"
    )


_READERS: Mapping[str, Callable[[_Fields], StorageFields]] = {
    "aws": _read_aws,
    "wasb": _read_azure,
    "adls": _read_azure,
    "google_cloud_platform": _read_google,
    "webhdfs": _read_webhdfs,
    "hdfs": _refuse_hdfs,
}


def to_hadoop(fields: StorageFields, prefix: str) -> dict[str, str]:
    """Return Hadoop's properties by which Spark itself reads and writes the same storage.

    :param prefix: the beginning of the URIs. Properties of S3 are for its bucket alone, if it names one.
    """
    return _drop_empty(_TO_HADOOP[fields.family](fields.options, prefix))


def _s3_to_hadoop(options: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    bucket = prefix.partition("://")[2].partition("/")[0]
    begin = f"fs.s3a.bucket.{bucket}." if bucket else "fs.s3a."
    endpoint = options.get("endpoint_url")
    style = (options["config_kwargs"].get("s3") or {}).get("addressing_style")
    values = {
        "access.key": options.get("key"),
        "secret.key": options.get("secret"),
        "session.token": options.get("token"),
        "endpoint": endpoint,
        "endpoint.region": options.get("client_kwargs", {}).get("region_name"),
        "path.style.access": "true" if style == "path" or (endpoint and style != "virtual") else None,
        "connection.ssl.enabled": "false" if str(endpoint).startswith("http://") else None,
        "aws.credentials.provider": "org.apache.hadoop.fs.s3a.AnonymousAWSCredentialsProvider" if options.get("anon") else None,
    }
    return {begin + name: value for name, value in values.items()}


def _azure_to_hadoop(options: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    if "connection_string" in options:
        named = _parse_connection_string(options["connection_string"])
        options = {
            "account_name": named.get("accountname"),
            "account_key": named.get("accountkey"),
            "sas_token": named.get("sharedaccesssignature"),
        }
    account = options.get("account_name") or str(options.get("account_host", "")).partition(".")[0]
    name = f"{account}.dfs.core.windows.net"
    if options.get("client_secret"):
        return {
            f"fs.azure.account.auth.type.{name}": "OAuth",
            f"fs.azure.account.oauth.provider.type.{name}": "org.apache.hadoop.fs.azurebfs.oauth2.ClientCredsTokenProvider",
            f"fs.azure.account.oauth2.client.id.{name}": options.get("client_id"),
            f"fs.azure.account.oauth2.client.secret.{name}": options["client_secret"],
            f"fs.azure.account.oauth2.client.endpoint.{name}": f"{_LOGIN_URL}/{options['tenant_id']}/oauth2/token",
        }
    if options.get("account_key"):
        return {f"fs.azure.account.key.{name}": options["account_key"]}
    return {
        f"fs.azure.account.auth.type.{name}": "SAS",
        f"fs.azure.sas.fixed.token.{name}": str(options.get("sas_token") or "").lstrip("?"),
    }


def _google_to_hadoop(options: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    key = options["token"]
    if key == "anon":
        return {"fs.gs.auth.null.enable": "true", "fs.gs.auth.type": "UNAUTHENTICATED"}
    return {
        "fs.gs.project.id": options.get("project") or key.get("project_id"),
        "fs.gs.auth.service.account.enable": "true",
        "fs.gs.auth.service.account.email": key["client_email"],
        "fs.gs.auth.service.account.private.key.id": key.get("private_key_id"),
        "fs.gs.auth.service.account.private.key": key["private_key"],
    }


def _webhdfs_to_hadoop(options: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {}  # Hadoop's client takes the user of the process


_TO_HADOOP: Mapping[str, Callable[[Mapping[str, Any], str], dict[str, Any]]] = {
    "s3": _s3_to_hadoop,
    "abfs": _azure_to_hadoop,
    "gs": _google_to_hadoop,
    "webhdfs": _webhdfs_to_hadoop,
}


def _parse_connection_string(text: str) -> dict[str, str]:
    """Return the fields of an Azure connection string, with names in lower case."""
    parts = (part.partition("=") for part in text.split(";") if part.strip())
    return {name.strip().lower(): value.strip() for name, _, value in parts}


def _drop_empty(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None and value != {}}
