"""train, register and predict: MLSQL's option names to the plan's fields. Operators have the same names in snake_case."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from typing import Any

from mlsql_runtime.errors import InputError
from mlsql_runtime.kafka.feed_options import kafka_feed, split_options
from mlsql_runtime.language import syntax
from mlsql_runtime.language.options import Options, boolean, choice, not_negative, number, positive, whole
from mlsql_runtime.language.scanner import start_of
from mlsql_runtime.language.scope import Scope, refuse
from mlsql_runtime.language.source import SourceText
from mlsql_runtime.language.unsupported import algorithm_problem
from mlsql_runtime.plan import (
    FUNCTION_PYTHON_HELP,
    RESOURCE,
    FileFeed,
    FunctionRef,
    KafkaFeed,
    Predict,
    PythonEnv,
    Register,
    Train,
    find_estimator_problems,
    format_option,
    get_builtin_name,
    to_builtin_path,
)
from mlsql_runtime.store.requirements import read_requirements

_OBSOLETE = (
    *("mlflowPath", "useThread", "distributeEveryExecutor", "enableErrorMsgToKafka", "autoSelectByMetric", "kafkaParam.userName"),
)
_SYSTEM = (
    *("systemParam.pythonPath", "systemParam.pythonVer", "systemParam.pythonParam", "systemParam.envs", "systemParam.timeout"),
    *("systemParam.seed", "systemParam.requirements", "systemParam.archives"),
)
_TRAIN = (
    *("pythonScriptPath", "builtin", "validateTable", "evaluateTable", "enableDataLocal", "dataLocalFormat", "dataLocalFileNum"),
    *("keepVersion", "keepVersions", "scoreMode", "failOn", "keepLocalDirectory", "fitParam.0.<name>", "dataLocal.option.<name>"),
    *("kafkaParam.bootstrap.servers", "kafkaParam.topic", "kafkaParam.group_id", "kafkaParam.reuse", *_SYSTEM),
)
_REGISTER = (
    *("pythonScriptPath", "builtin", "algIndex", "modelVersion", "enableCopyTrainParamsToPython"),
    *("minScore", "onlyIfBetter", "sampleTable", "fitParam.0.<name>"),
)
_PREDICT = ("pythonScriptPath", "algIndex", "modelVersion", "sameRows", "fitParam.0.<name>", *_SYSTEM)
_GROUP = re.compile(r"(0|[1-9][0-9]{0,3})\.(.+)", re.DOTALL)


def train(node: syntax.TrainNode, source: SourceText, scope: Scope) -> Train:
    """Options as docs/training.md has them.

    :raises CompileError: with everything that is wrong with them.
    """
    options = _options_of(node.ref, node.options, source, scope)
    script = _script_or_builtin(node.ref, options, scope)
    places = options.places("fitParam.")
    validate = options.take("validateTable", scope.find_table, None)
    evaluate = options.take("evaluateTable", scope.find_table, None)
    groups = _groups(options, scope)
    if get_builtin_name(script) is not None and not options.incomplete:
        for index, name, problem in find_estimator_problems(groups):
            place = places.get(f"{index}.{name}")
            options.refuse_value(place, problem) if place else options.refuse_token(node.ref.path, problem)
    feed = _feed(node, options, source, scope)
    python = _python(options, scope)
    kept = _kept(options)
    score_mode = options.take("scoreMode", choice("max", "min"), "max")
    fail_on: Any = options.take("failOn", choice("all", "any"), "all")
    keep_local_directory = options.take("keepLocalDirectory", boolean, False)
    table: str | None = None
    if isinstance(feed, KafkaFeed) and feed.reuse:
        scope.warn(source, start_of(node.table), f"topic '{feed.topic}' is reused, so table '{node.table}' is not read")
    else:
        with options.collecting():
            table = scope.table(node.table)
    result: str | None = None
    if node.result is not None:
        with options.collecting():
            result = scope.name(node.result, "the name of the table of results")
    options.finish("train", _TRAIN, ("fitParam.", "kafkaParam.", "dataLocal.option."))
    if validate is not None and evaluate not in (None, validate):
        refuse(node.table, "validateTable and evaluateTable mean the same and name two tables; give one of them")
    if result is not None:
        scope.define(result)
    return Train(
        table=table,
        model_path=scope.kept_path(source, node.ref.path, scope.path(node.ref.path, "the model path")),
        script_path=script,
        fit_params=groups,
        validate_table=validate or evaluate,
        feed=feed,
        python=python,
        keep_versions=kept,
        greater_is_better=score_mode == "max",
        fail_on=fail_on,
        keep_local_directory=keep_local_directory,
        result=result,
    )


def register(node: syntax.RegisterNode, source: SourceText, scope: Scope) -> Register:
    """Queries after it may call the function."""
    options = _options_of(node.ref, node.options, source, scope)
    script = _script_or_builtin(node.ref, options, scope)
    params = _one_group(options, scope, "a predict script")
    version = options.take("modelVersion", whole(0), None)
    index = options.take("algIndex", whole(0), None)
    copied = options.take("enableCopyTrainParamsToPython", boolean, False)
    min_score = options.take("minScore", number, None)
    only_if_better = options.take("onlyIfBetter", not_negative, None)
    samples = options.take("sampleTable", scope.find_table, None)
    for name, option in options.places("systemParam.").items():
        options.refuse_at(option, f"register has no systemParam.{name[:40]}: {FUNCTION_PYTHON_HELP}")
    options.take_prefixed("systemParam.")
    function = ""
    with options.collecting():
        function = scope.name(node.function, "the name of the function")
    options.finish("register", _REGISTER, ("fitParam.",))
    model_path = scope.path(node.ref.path, "the model path")
    scope.functions[function.lower()] = FunctionRef(name=function, model_path=model_path, function=function)
    return Register(
        model_path=model_path,
        function=function,
        script_path=script,
        model_version=version,
        alg_index=index,
        copy_train_params=copied,
        min_score=min_score,
        only_if_better=only_if_better,
        sample_table=samples,
        params=params,
    )


def predict(node: syntax.PredictNode, source: SourceText, scope: Scope) -> Predict:
    """A batch script; its result is a table."""
    options = _options_of(node.ref, node.options, source, scope)
    script = _script(node.ref, options, scope)
    version = options.take("modelVersion", whole(0), None)
    index = options.take("algIndex", whole(0), None)
    same_rows = options.take("sameRows", boolean, True)
    params = _one_group(options, scope, "a batch script")
    python = _python(options, scope)
    table = result = ""
    with options.collecting():
        table = scope.table(node.table)
    with options.collecting():
        result = scope.name(node.result, "the name of the predicted table")
    options.finish("predict", _PREDICT, ("fitParam.",))
    scope.define(result)
    return Predict(
        table=table,
        model_path=scope.path(node.ref.path, "the model path"),
        script_path=script,
        result=result,
        model_version=version,
        alg_index=index,
        params=params,
        python=python,
        same_rows=same_rows,
    )


def _options_of(ref: syntax.TableNode, given: tuple[syntax.OptionNode, ...], source: SourceText, scope: Scope) -> Options:
    """The options of an algorithm that we have, without the obsolete ones."""
    problem = algorithm_problem(scope.format(ref))
    if problem:
        refuse(ref.format[0], problem)
    options = scope.options(given)
    for name in _OBSOLETE:
        place = options.place(name)
        if options.take_text(name) is not None and place is not None:
            scope.warn(source, start_of(place.key[0]), f"option '{name}' has no use any more and is ignored")
    return options


def _script(ref: syntax.TableNode, options: Options, scope: Scope) -> str:
    path = options.take_text("pythonScriptPath") or ""
    if not path.strip() and not options.incomplete:
        options.refuse_token(ref.path, 'there is no pythonScriptPath; name the script to run: where pythonScriptPath="…"')
    return scope.beside(path)


def _script_or_builtin(ref: syntax.TableNode, options: Options, scope: Scope) -> str:
    """What ``builtin`` names, or the script."""
    place = options.place("builtin")
    builtin = options.take("builtin", to_builtin_path, None)
    if place is None:
        return _script(ref, options, scope)
    if options.take_text("pythonScriptPath") is not None:
        options.refuse_at(place, "both builtin and pythonScriptPath are given; leave one of them out")
    return builtin or "refused"


def _one_group(options: Options, scope: Scope, whose: str) -> dict[str, str]:
    """``fitParam.0`` of what has no other groups."""
    second = next((option for name, option in options.places("fitParam.").items() if not name.startswith("0.")), None)
    groups = _groups(options, scope)
    if len(groups) > 1 and second is not None:
        options.refuse_at(second, f"{whose} has one group of parameters: fitParam.0")
    return groups[0]


def _groups(options: Options, scope: Scope) -> tuple[dict[str, str], ...]:
    """``fitParam.<i>.<name>`` as one dict for each i; one empty group when there is none."""
    groups: dict[int, dict[str, str]] = {}
    begun: dict[int, syntax.OptionNode] = {}
    places = options.places("fitParam.")
    for name, value in options.take_prefixed("fitParam.").items():
        match = _GROUP.fullmatch(name)
        if match is None:
            options.refuse_at(places[name], f"option 'fitParam.{name[:40]}' names no group; expected fitParam.0.<name>")
            continue
        is_path = match[2].startswith(RESOURCE)
        groups.setdefault(int(match[1]), {})[match[2]] = scope.existing_beside(value) if is_path else value
        begun.setdefault(int(match[1]), places[name])
    missing = next(index for index in range(len(groups) + 1) if index not in groups)
    if missing < len(groups):
        beyond = next(place for index, place in begun.items() if index > missing)
        options.refuse_at(beyond, f"there is no fitParam.{missing}, but a group after it; number groups from 0 without gaps")
    return tuple(groups[index] for index in sorted(groups)) or ({},)


def _feed(node: syntax.TrainNode, options: Options, source: SourceText, scope: Scope) -> FileFeed | KafkaFeed:
    """Files, or Kafka when ``enableDataLocal`` is false; what is for the other one is ignored."""
    chosen = options.place("enableDataLocal")
    local = options.take("enableDataLocal", boolean, True)
    files = FileFeed(
        format=options.take("dataLocalFormat", lambda text: FileFeed(format=text).format, None),
        file_num=options.take("dataLocalFileNum", whole(1), None),
        options=options.take_prefixed("dataLocal.option."),
    )
    places = options.places("kafkaParam.")
    kafka = options.take_prefixed("kafkaParam.")
    if local:
        if kafka and chosen is None:
            scope.warn(source, start_of(node.table), 'data go by file; for Kafka, MLSQL\'s default, set enableDataLocal="false"')
        return files
    own, client = split_options(kafka)
    try:
        settings = scope.kafka_settings(client)
        return kafka_feed(own, settings, scope.keep_secrets(settings.private))
    except InputError as error:
        place_of = {name if name != "bootstrap.servers" else "the broker": place for name, place in places.items()}
        wrong = next((place for name, place in place_of.items() if name in error.message), chosen)
        if wrong is not None and not options.incomplete:
            options.refuse_at(wrong, error.message)
        return files


def _python(options: Options, scope: Scope) -> PythonEnv:
    """``systemParam``; bare ``python``, MLSQL's usual path, is kept: whoever starts a script takes it for the default."""
    return PythonEnv(
        path=options.take_text("systemParam.pythonPath") or None,
        version=options.take("systemParam.pythonVer", lambda text: PythonEnv(version=text or None).version, None),
        flags=options.take("systemParam.pythonParam", _flags, ()),
        envs=options.take("systemParam.envs", _environment, {}),
        timeout=options.take("systemParam.timeout", positive, None),
        seed=options.take("systemParam.seed", lambda text: PythonEnv(seed=whole(0)(text)).seed, None),
        requirements=options.take("systemParam.requirements", lambda path: _requirements(path, scope), None),
        archives=options.take("systemParam.archives", lambda text: _archives(text, scope), ()),
    )


def _requirements(path: str, scope: Scope) -> str | None:
    """The text of the file, which goes into the plan."""
    return read_requirements(scope.beside(path)) if path.strip() else None


def _archives(text: str, scope: Scope) -> tuple[str, ...]:
    """``env.tar.gz#env``, several with commas between them; relative paths start at the script's folder."""
    split = [part.strip().partition("#") for part in text.split(",") if part.strip()]
    return PythonEnv(archives=tuple(f"{scope.beside(path)}{mark}{name}" for path, mark, name in split)).archives


def _flags(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise InputError(f"expected flags as on a command line ({error})") from None


def _environment(text: str) -> Mapping[str, str]:
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InputError('expected a JSON object, such as {"NAME": "value"}')
    return {name: format_option(value) for name, value in found.items() if value is not None}


def _kept(options: Options) -> int | None:
    """How many versions are kept; None for all."""
    place = options.place("keepVersions")
    keep = options.take("keepVersions", whole(1), None)
    if options.take("keepVersion", boolean, True):
        return keep
    if keep not in (None, 1) and place is not None:
        options.refuse_at(place, f"keepVersion is false and keepVersions is {keep}; give one of them")
    return 1
