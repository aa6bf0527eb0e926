"""Send the versions of a model path that a tracking server does not have yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mlsql_runtime.errors import MLSQLError, VersionNotFound
from mlsql_runtime.exchange.exported_function import ModelChoice
from mlsql_runtime.store.functions import read_pointers
from mlsql_runtime.store.manifest import FailureRecord, Manifest
from mlsql_runtime.store.versions import ModelStore, choose_fit, read_record
from mlsql_runtime.tracking.registered_models import set_alias
from mlsql_runtime.tracking.server import open_server
from mlsql_runtime.tracking.training_runs import send_training


@dataclass(frozen=True, kw_only=True)
class SentVersion:
    """A version that was to be sent.

    :param run: the ID of its run; None when it was not sent.
    :param aliases: the aliases that were set, such as ``spam@jack``.
    :param problem: why it was not sent, or an alias not set; None if everything was.
    """

    version: int
    run: str | None = None
    aliases: tuple[str, ...] = ()
    problem: MLSQLError | None = None


def send_versions(
    store: ModelStore, version: int | None, uri: str, experiment: str | None = None, registered_model: str | None = None
) -> list[SentVersion]:
    """Send a version, or all whose trainings have ended, oldest first.

    One that is damaged or cannot be exported does not stop the others.

    :param registered_model: a registered model, on which the names of the functions that point to a version become aliases.
    :raises VersionNotFound: when there is no such version, or its training has not ended.
    :raises InputError: when the server refuses, or MLflow is not installed.
    :raises StorageError: when the server does not respond.
    """
    numbers = sorted(store.versions) if version is None else [version]
    pointers = read_pointers(store.root)
    sent = []
    with open_server(uri, {}) as client:
        for number in numbers:
            run, aliases, problem = None, [], None
            try:
                record = read_record(store.root, number) if number in store.versions else None
                if record is None:
                    continue
                run = send_training(client, store.root, record, experiment)
                for package in pointers.packages_of(number) if registered_model else ():
                    if package.current:
                        aliases.append(_send_alias(client, store, record, registered_model, package))
            except MLSQLError as error:  # about the version: what the server raises is none of ours yet
                problem = error
            sent.append(SentVersion(version=number, run=run, aliases=tuple(aliases), problem=problem))
    if not sent:
        raise VersionNotFound(
            f"{store.root.uri} holds no version{'' if version is None else f' {version}'} whose training has ended",
            path=store.root.uri,
        )
    return sent


def _send_alias(client: Any, store: ModelStore, record: Manifest | FailureRecord, name: str | None, package: Any) -> str:
    assert isinstance(record, Manifest)
    assert name is not None
    choice = ModelChoice(store.root, record, choose_fit(record, package.alg_index, store.root.uri))
    set_alias(client, choice, name, package.function, package.function_version)
    return f"{name}@{package.function}"
