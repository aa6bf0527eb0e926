"""What can be known to be wrong with a plan before Spark starts. Needs storage, but no pyspark."""

from __future__ import annotations

import glob
import socket
from collections.abc import Iterator, Sequence

from mlsql_runtime.errors import InputError, MLSQLError, StorageError
from mlsql_runtime.feed.receive import span_of
from mlsql_runtime.kafka.run_topic import Owner, check_topic, settings_of
from mlsql_runtime.plan import RESOURCE, KafkaFeed, Load, Plan, Predict, PythonEnv, Register, Secrets, Select, Statement, Train
from mlsql_runtime.script.bundle import check_syntax, read_bundle
from mlsql_runtime.script.interpreter import inspect_interpreter, uses_default
from mlsql_runtime.store.functions import read_function
from mlsql_runtime.store.location import Location
from mlsql_runtime.store.read import choose_fit, open_model_path, read_manifest

_FILE_FORMATS = ("avro", "binaryfile", "csv", "json", "libsvm", "orc", "parquet", "text", "xml")


def precheck(plan: Plan, is_local: bool, secrets: Secrets) -> None:
    """Read every script, look for models, functions, interpreters and topics that statements need and do not make themselves.

    :param is_local: whether executors are this machine, so that local data and interpreters can be looked at.
    :raises MLSQLError: the first thing found wrong, with the fact ``statement``.
    """
    for error in problems(plan, is_local, secrets):
        raise error


def problems(plan: Plan, is_local: bool, secrets: Secrets) -> Iterator[MLSQLError]:
    """The first thing wrong with each statement, as :func:`precheck` looks for it."""
    tables: set[str] = set()
    made: set[tuple[str, str | None]] = set()  # model paths trained by the plan, and functions registered
    for index, statement in enumerate(plan.statements):
        try:
            _check(statement, plan.job_id, is_local, secrets, tables, made)
        except MLSQLError as error:
            yield error.at(index)


def _check(
    statement: Statement, job_id: str, is_local: bool, secrets: Secrets, tables: set[str], made: set[tuple[str, str | None]]
) -> None:
    _check_tables(statement, tables)
    if isinstance(statement, (Train, Register)):
        uri = Location.of(statement.model_path).uri
        known, new = set(made), (uri, None if isinstance(statement, Train) else statement.function)
        made.add(new)  # whatever is wrong with it, what follows is not
    else:
        known = made
    _check_models(statement, known)
    if isinstance(statement, (Train, Register, Predict)):
        _check_script(statement, is_local)
    if isinstance(statement, Load) and is_local:
        _check_data(statement)
    if isinstance(statement, Train):
        _check_resources(statement, is_local)
        _check_kafka(statement, job_id, secrets)


def _check_tables(statement: Statement, known: set[str]) -> None:
    needed = [getattr(statement, field, None) for field in ("validate_table", "sample_table")]
    if isinstance(statement, (Load, Select)):
        known.add(statement.table)
    else:
        needed.append(getattr(statement, "table", None))
    for name in needed:
        if name is not None and name not in known:
            raise InputError(
                f"{statement.tag}: there is no table '{name}'; tables before it are {', '.join(sorted(known)) or 'none'}"
            )
    result = getattr(statement, "result", None)
    if result is not None:
        known.add(result)


def _check_models(statement: Statement, made: set[tuple[str, str | None]]) -> None:
    if isinstance(statement, Select):
        for ref in statement.functions:
            root = open_model_path(ref.model_path)
            if (root.uri, ref.function) not in made:
                read_function(root, ref.function, ref.function_version)
    if isinstance(statement, (Train, Register, Predict)):
        root = open_model_path(statement.model_path)
        if not isinstance(statement, Train) and (root.uri, None) not in made:
            choose_fit(read_manifest(root, statement.model_version), statement.alg_index, root.uri)


def _check_script(statement: Train | Register | Predict, is_local: bool) -> None:
    bundle = read_bundle(statement.script_path, statement.tag)
    python = PythonEnv() if isinstance(statement, Register) else statement.python
    if uses_default(python):
        check_syntax(bundle, statement.script_path)
    if is_local and (python.path is not None or python.version is not None):
        inspect_interpreter(python, socket.gethostname())


def _check_resources(statement: Train, is_local: bool) -> None:
    for index, params in enumerate(statement.fit_params):
        for key, uri in params.items():
            if key.startswith(RESOURCE) and (is_local or "://" in uri) and not Location.of(uri).exists():
                raise InputError(f"fitParam.{index}.{key} is {uri}, and there is nothing there; check the path", path=uri)


def _check_kafka(statement: Train, job_id: str, secrets: Secrets) -> None:
    feed = statement.feed
    if not isinstance(feed, KafkaFeed):
        return
    settings = settings_of(feed, secrets)
    if feed.reuse:
        span_of(settings, feed.topic)
    else:
        check_topic(feed, settings, Owner(job_id, statement.model_path, len(statement.fit_params)))


def _check_data(statement: Load) -> None:
    path = statement.path
    if path is None or statement.format.lower() not in _FILE_FORMATS or ("://" in path and not path.startswith("file:")):
        return
    local = Location.of(path).path
    candidates: Sequence[str] = glob.glob(local)
    if not candidates:
        raise InputError(f"table '{statement.table}': there is nothing at {path}; check the path of the data", path=path)
    try:
        open(candidates[0], "rb").close()
    except IsADirectoryError:
        pass
    except OSError as error:
        raise StorageError(f"table '{statement.table}': {path} cannot be read: {error}", path=path) from error
