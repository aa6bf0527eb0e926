"""train, register and predict: the options that the statements of the plan declare, and the tables that they name."""

from __future__ import annotations

from typing import Any

from mlsql_runtime.errors import InputError, OptionError
from mlsql_runtime.language import syntax
from mlsql_runtime.language.options import Options
from mlsql_runtime.language.scope import Scope, refuse
from mlsql_runtime.language.source import shorten
from mlsql_runtime.language.unsupported import explain_algorithm
from mlsql_runtime.plan import FUNCTION_PYTHON_HELP, FileFeed, FunctionRef, KafkaFeed, Predict, Register, Train, get_builtin_name
from mlsql_runtime.plan.options import read_options

_LISTED = 10  # options of a script in a warning
_OBSOLETE = (
    *("mlflowPath", "useThread", "distributeEveryExecutor", "enableErrorMsgToKafka", "autoSelectByMetric", "kafkaParam.userName"),
    *("systemParam.mlflowPath", "systemParam.mlflowCommand", "systemParam.mlflowParam", "systemParam.useThread"),
)


def compile_train(node: syntax.TrainNode, scope: Scope) -> Train:
    """Return the statement, and define the table of its results.

    :raises CompileError: with everything that is wrong with it.
    """
    options = _open_options(node.ref, node.options, scope)
    fields = read_options(Train, options)
    fields["tracking_uri"] = _choose_server(fields["tracking_uri"], options, scope)
    feed = _read_feed(node, fields.pop("enable_data_local"), options, scope)
    table = result = None
    if isinstance(feed, KafkaFeed) and feed.reuse:
        scope.warn(node.table, f"topic '{feed.topic}' is reused, so table '{node.table}' is not read")
    else:
        with options.collect_errors():
            table = scope.table(node.table)
    if node.result is not None:
        with options.collect_errors():
            result = scope.name(node.result, "the name of the table of results")
    options.finish("train", Train)
    if result is not None:
        scope.define(result)
    model_path = scope.check_output_path(node.ref.path, scope.path(node.ref.path, "the model path"))
    return Train(**fields, table=table, model_path=model_path, feed=feed, result=result)


def compile_register(node: syntax.RegisterNode, scope: Scope) -> Register:
    """Return the statement, and let the queries after it call the function.

    :raises CompileError: with everything that is wrong with it.
    """
    options = _open_options(node.ref, node.options, scope)
    fields = read_options(Register, options)
    fields["tracking_uri"] = _choose_server(fields["tracking_uri"], options, scope)
    for name in options.take_prefixed("systemParam."):
        options.report(f"systemParam.{name}", f"register has no systemParam.{name[:40]}: {FUNCTION_PYTHON_HELP}")
    function = ""
    with options.collect_errors():
        function = scope.name(node.function, "the name of the function")
    fields["others"] = _take_others(options, "register", Register, fields["script_path"], scope)
    options.finish("register", Register)
    model_path = scope.path(node.ref.path, "the model path")
    scope.functions[function.lower()] = FunctionRef(name=function, model_path=model_path, function=function)
    return Register(**fields, model_path=model_path, function=function)


def compile_predict(node: syntax.PredictNode, scope: Scope) -> Predict:
    """Return the statement, and define the table of its predictions.

    :raises CompileError: with everything that is wrong with it.
    """
    options = _open_options(node.ref, node.options, scope)
    fields = read_options(Predict, options)
    table = result = ""
    with options.collect_errors():
        table = scope.table(node.table)
    with options.collect_errors():
        result = (
            scope.free_name("predicted") if node.result is None else scope.name(node.result, "the name of the predicted table")
        )
    fields["others"] = _take_others(options, "predict", Predict, fields["script_path"], scope)
    options.finish("predict", Predict)
    scope.define(result)
    return Predict(**fields, table=table, model_path=scope.path(node.ref.path, "the model path"), result=result)


def _choose_server(given: str | None, options: Options, scope: Scope) -> str | None:
    """Return the MLflow server of a statement. The credentials of a connection are only for the server of the connection."""
    if given is None or scope.tracking_uri is None or given.rstrip("/") == scope.tracking_uri:
        return scope.tracking_uri or given
    message = f"mlflow_conn_id names the server {scope.tracking_uri}, and its credentials are for no other; leave this option out"
    options.report("mlflowTrackingUri", message, at_value=True)
    return given


def _open_options(ref: syntax.TableNode, given: tuple[syntax.OptionNode, ...], scope: Scope) -> Options:
    """Return the options of a supported algorithm, without the obsolete ones, which get a warning each."""
    problem = explain_algorithm(scope.format(ref))
    if problem:
        refuse(ref.format[0], problem)
    options = scope.options(given, ref.path)
    for name in _OBSOLETE:
        place = options.node(name)
        if options.take_text(name) is not None and place is not None:
            scope.warn(place.key[0], f"option '{name}' is obsolete and ignored")
    return options


def _take_others(options: Options, word: str, statement: type, script_path: str | None, scope: Scope) -> dict[str, str]:
    """Return the options that only the script knows, with a warning."""
    if get_builtin_name(script_path or "") is not None:
        return {}  # those of built-in algorithms take parameters only
    taken = options.take_others(statement)
    node = next((options.node(name) for name in taken), None)
    if node is not None:
        names = ", ".join(map(shorten, list(taken)[:_LISTED])) + (", …" if len(taken) > _LISTED else "")
        scope.warn(node.key[0], f'{word} has no option {names}; other options reach its script, in mlsql.params()["fitParams"]')
    return taken


def _read_feed(node: syntax.TrainNode, is_local: bool, options: Options, scope: Scope) -> FileFeed | KafkaFeed:
    """Return files, or Kafka when ``enableDataLocal`` is false; options of the other one are ignored."""
    files: dict[str, Any] = read_options(FileFeed, options)
    chosen = options.node("enableDataLocal")
    if is_local:
        if options.take_prefixed("kafkaParam.") and chosen is None:
            message = 'rows reach the script as files; for Kafka, MLSQL\'s default, set enableDataLocal="false"'
            scope.warn(node.table, message)
        return FileFeed(**files)
    options.fallback = chosen
    kafka = read_options(KafkaFeed, options)
    try:
        settings = scope.kafka_settings(kafka["settings"])
    except InputError as error:
        wrong = error.name.replace(".", "_") if isinstance(error, OptionError) else ""
        name = next((given for given in kafka["settings"] if given.replace(".", "_") == wrong), wrong)
        options.report(f"kafkaParam.{name}", error.message)
    if options.has_problems:
        return FileFeed()
    return KafkaFeed(**kafka | settings.feed_fields(scope.keep_secrets(settings.private)))
