"""The statement train."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from mlsql_runtime.errors import InputError
from mlsql_runtime.plan.builtin import BUILTIN, DESC_PATH, combine_script, find_estimator_problems, get_builtin_name
from mlsql_runtime.plan.feeds import FileFeed, KafkaFeed
from mlsql_runtime.plan.names import check_model_script, list_resources, require_identifier
from mlsql_runtime.plan.options import REQUIRED, Option, OptionReader, check_options, declare, nested, option, own_options
from mlsql_runtime.plan.parsers import BOOLEAN, COLUMNS, GROUPS, NUMBER, PATH, TABLE, TEXT, Parser, Resolver, choice, whole
from mlsql_runtime.plan.python_env import PythonEnv, hide_passwords
from mlsql_runtime.plan.statement_base import Outline, ScriptUse, StatementBase, TableOrigin, TopicUse
from mlsql_runtime.plan.tracking import TRACKING_URI_DOC, check_tracking_uri


def _to_table_or_fraction(value: Any, name: str, resolver: Resolver) -> str | float:
    try:
        return float(str(value))
    except ValueError:
        return resolver.find_table(value, name)


def _find_column_problems(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what contradicts among the fields for columns and validation: the option, and one sentence."""
    features, label = values["feature_columns"], values["label_column"]
    fraction = values["validate_fraction"]
    if fraction is not None and values["validate_table"] is not None:
        yield "validateFraction", "both a validation table and a held-out fraction are given; expected one of them"
    if values["stratify"] and fraction is None:
        ways = "validateFraction; operators: validate_data=0.2; mlsql fit: --validate 0.2"
        yield "stratify", f"stratify holds out a fraction of each class, and none is given; give one ({ways})"
    labels = {(params.get("label") or "label").lower() for params in values["fit_params"]}
    if values["stratify"] and label is None and len(labels) > 1:
        yield "stratify", "stratify takes the classes of one label, and the fit groups name different ones; name it as labelCol"
    if label is not None and label.lower() in (name.lower() for name in features):
        yield "labelCol", f"the label column '{label}' is among the feature columns; leave it out there"
    for index, params in enumerate(values["fit_params"]):
        name = params.get("inputCol")
        if features and name is not None and [name.lower()] != [each.lower() for each in features]:
            names = ", ".join(features)
            yield "featureCols", f"fitParam.{index}.inputCol is '{name}' and the feature columns are {names}; leave out inputCol"
        name = params.get("label")
        if (features or label is not None) and name is not None and name.lower() != (label or "").lower():
            other = "no label column is named" if label is None else f"the label column is '{label}'"
            yield "labelCol", f"fitParam.{index}.label is '{name}' and {other}; name it as label_column (labelCol) alone"


@dataclass(frozen=True, kw_only=True)
class Train(StatementBase):
    """``train <table> as PythonAlg.`<model_path>` where … as <result>``. ``table`` is None when a Kafka topic is reused.

    ``result`` names a table with one row per fit group, for the statements after it.
    """

    tag: ClassVar[str] = "train"
    table: str | None
    model_path: str
    script_path: str = option(
        "pythonScriptPath",
        PATH,
        REQUIRED,
        "The training script; or a project, a folder or a zip, with an ``MLproject`` or ``train.py``.",
    )
    fit_params: tuple[Mapping[str, str], ...] = option(
        "fitParam.<i>.<name>",
        GROUPS,
        ({},),
        "Parameters of each fit group; ``resource.<name>`` names a file or folder to bring along.",
        argument="fit_params",
    )
    validate_table: str | None = option(
        "validateTable",
        TABLE,
        None,
        "Table to validate with, which must have the columns that the script reads. For operators also the fraction of the rows "
        "to hold out, such as ``0.2``.",
        argument="validate_data",
        argument_parser=Parser("table or fraction", "a table or a number between 0 and 1", _to_table_or_fraction),
    )
    validate_fraction: float | None = option(
        "validateFraction",
        NUMBER,
        None,
        "Fraction of the rows to hold out for validation, such as ``0.2``. Operators take it as ``validate_data``.",
        argument=None,
    )
    stratify: bool = option(
        "stratify", BOOLEAN, False, "Hold out the same fraction of each class of the label column, instead of rows at random."
    )
    feature_columns: tuple[str, ...] = option(
        "featureCols",
        COLUMNS,
        (),
        "Columns to learn from, such as ``age,income,city``. Only they and the label column reach the script.",
        argument="feature_columns",
    )
    label_column: str | None = option(
        "labelCol",
        TEXT,
        None,
        "Column with the label; by default ``label`` for a table without feature columns, if it has such a column.",
        argument="label_column",
    )
    keep_sample_rows: bool = option(
        "keepSampleRows",
        BOOLEAN,
        True,
        "Keep five rows of the training table with the version, on which its functions are tried. False for data that may not be "
        "copied.",
    )
    feed: FileFeed | KafkaFeed = field(default_factory=FileFeed, metadata=nested(FileFeed, KafkaFeed))
    python: PythonEnv = field(default_factory=PythonEnv, metadata=nested(PythonEnv, timeout="fit_timeout"))
    keep_versions: int | None = option(
        "keepVersions",
        whole(1),
        None,
        "Number of the newest versions to keep; older ones are removed, except those that a function uses. By default all are "
        "kept.",
        unit="versions",
    )
    greater_is_better: bool = option(
        "scoreMode",
        choice(max=True, min=False),
        True,
        "Whether the higher score is better (``max``; operators: True) or the lower one (``min``; operators: False), as for "
        "losses.",
        argument="greater_is_better",
        argument_parser=BOOLEAN,
    )
    fail_on: Literal["all", "any"] = option(
        "failOn",
        choice("all", "any"),
        "all",
        "``all``: the training fails if all fit groups failed; ``any``: it fails if one of them failed.",
    )
    keep_script: bool = option(
        "keepScript",
        BOOLEAN,
        True,
        "Keep the script, or its project, with the version, for register and predict without a script of their own.",
    )
    keep_local_directory: bool = option(
        "keepLocalDirectory", BOOLEAN, False, "Keep the working folder of each script, and log where it is."
    )
    description: str | None = option("description", TEXT, None, "Text about the training, kept in the version's manifest.")
    tracking_uri: str | None = option("mlflowTrackingUri", TEXT, None, TRACKING_URI_DOC)
    experiment: str | None = option(
        "mlflowExperiment", TEXT, None, "The MLflow experiment of the training's runs; by default the model path."
    )
    result: str | None = None

    inputs: ClassVar[Mapping[str, Option]] = {
        **DESC_PATH,
        "builtin": declare(
            "builtin",
            BUILTIN,
            None,
            "A built-in algorithm instead of a script. The fit parameters ``moduleName`` and ``className`` name its estimator; "
            "see docs/how-to/builtin.md.",
        ),
        "evaluate_table": declare("evaluateTable", TABLE, None, "Another name for ``validateTable``.", argument=None),
        "enable_data_local": declare(
            "enableDataLocal",
            BOOLEAN,
            True,
            "True: rows reach the script as files, and the options of Kafka are ignored. False: rows reach it through Kafka.",
        ),
        "keep_version": declare(
            "keepVersion",
            BOOLEAN,
            True,
            "False: older versions are removed after the new one is published, as with ``keepVersions`` 1.",
        ),
    }

    @classmethod
    def combine(cls, values: dict[str, Any], reader: OptionReader) -> None:
        """Make fields of the options that set no field alone, except ``enableDataLocal``, and report contradictions."""
        combine_script(cls, values, reader)
        if get_builtin_name(values["script_path"]) is not None:
            for index, name, problem in find_estimator_problems(values["fit_params"]):
                reader.report(f"fitParam.{index}.{name}", problem, at_value=True)
        evaluate, validate = values.pop("evaluate_table"), values["validate_table"]
        if evaluate is not None and validate not in (None, evaluate):
            reader.report("evaluateTable", "validateTable and evaluateTable mean the same and name two tables; give one of them")
        if isinstance(validate, float):
            values |= {"validate_table": None, "validate_fraction": validate}
        else:
            values["validate_table"] = validate or evaluate
        for name, problem in _find_column_problems(values):
            reader.report(name, problem)
        if not values.pop("keep_version"):
            options, kept = own_options(cls), values["keep_versions"]
            if kept not in (None, 1):
                both = [reader.name(options[name]) for name in ("keep_version", "keep_versions")]
                reader.report("keepVersions", f"{both[0]} is false and {both[1]} is {kept}; give one of them")
            values["keep_versions"] = 1

    def __post_init__(self) -> None:
        check_options(self)
        self._check_table()
        if self.result is not None:
            require_identifier(self.result, "the name of the table of results")
        check_model_script(self.model_path, self.script_path, self.fit_params)
        check_tracking_uri(self.tracking_uri)
        if not self.fit_params:
            raise InputError("fitParam holds no group; give at least one, which may be empty: [{}]")
        if get_builtin_name(self.script_path) is not None:
            for _, name, problem in find_estimator_problems(self.fit_params):
                raise InputError(problem, name=name)
        for name, problem in _find_column_problems(vars(self)):
            raise InputError(problem, option=name)
        if self.validate_fraction is not None and not 0 < self.validate_fraction < 1:
            raise InputError(f"the held-out fraction is {self.validate_fraction}; expected a number between 0 and 1")

    def _check_table(self) -> None:
        if not (isinstance(self.feed, KafkaFeed) and self.feed.reuse):
            require_identifier(self.table or "", "the table to train on")
            return
        if self.table is not None:
            raise InputError(f"topic '{self.feed.topic}' is reused, so no table is sent; leave out '{self.table}'")
        if self.validate_fraction is not None:
            raise InputError(f"topic '{self.feed.topic}' is reused, so no rows can be held out; name a validation table")

    @property
    def outline(self) -> Outline:
        topic = None
        if isinstance(self.feed, KafkaFeed):
            topic = TopicUse(feed=self.feed, model_path=self.model_path, readers=len(self.fit_params))
        return Outline(
            title=f"train {self.model_path}",
            defines=self.result,
            origin=TableOrigin(kind="train", path=hide_passwords(self.model_path)),
            reads=tuple(name for name in (self.validate_table, self.table) if name is not None),
            script=ScriptUse(path=self.script_path, role="train", python=self.python, params=self.fit_params),
            archives=self.python.archives,
            resources=list_resources(self.fit_params),
            model_root=self.model_path,
            makes_version=True,
            stages_files=True,
            topic=topic,
            tracking_uri=self.tracking_uri,
            secret_values=self.python.envs,
        )
