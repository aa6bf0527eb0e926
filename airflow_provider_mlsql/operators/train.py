"""Train a Python script on Spark data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_mlsql.arguments import (
    as_archives,
    as_bool,
    as_choice,
    as_flags,
    as_float,
    as_groups,
    as_int,
    as_options,
    as_requirements,
    as_table,
    check_script_arguments,
    script_or_builtin,
)
from airflow_provider_mlsql.hooks.kafka import KafkaHook
from airflow_provider_mlsql.operators.base import TRAINED, MLSQLOperator, asset_facts
from mlsql_runtime.errors import InputError
from mlsql_runtime.kafka.feed_options import SECRETS, kafka_feed, split_options
from mlsql_runtime.kafka.settings import is_private
from mlsql_runtime.plan import FileFeed, KafkaFeed, Load, PythonEnv, Secrets, Select, Statement, Train
from mlsql_runtime.result import to_xcom

if TYPE_CHECKING:
    from airflow.sdk import Context

    from mlsql_runtime.kafka.settings import KafkaSettings
    from mlsql_runtime.result import RunResult


class MLSQLTrainOperator(MLSQLOperator):
    """Train a script on a table and publish the next version of the model.

    Every fit group runs the script once, in parallel, in a child process of a Spark task. The XCom is ``{"model_path",
    "version", "score", "best": {"alg_index", "score"}, "fits": [{"alg_index", "status", "score", "metrics", "seconds"}],
    "rows"}``; the events of assets in ``outlets`` have ``model_path``, ``version`` and ``score`` of it.

    :param model_path: path or URI that holds all versions of the model.
    :param python_script_path: the training script; or a project, a folder or a zip, with an ``MLproject`` or ``train.py``.
        Relative paths start at the DAG file.
    :param builtin: a ready-made algorithm instead of a script: ``"sklearn"``. The fit parameters ``moduleName`` and ``className``
        name its estimator; see docs/builtin.md.
    :param data: the table ``data``: ``"libsvm.`/path`"`` or ``{"format", "path", "options"}``.
    :param sql: a query over ``data`` whose result is trained on, instead of all of it.
    :param fit_params: one dict of parameters for each fit group; ``resource.<name>`` names a file or folder to bring along.
    :param validate_data: a table like ``data``, with the columns that the script reads (``sql`` is not applied to it); or a
        fraction of the rows to hold out, such as ``0.2``.
    :param enable_data_local: data reach the script as files, and ``kafka_`` arguments are without use; False: through Kafka.
    :param data_local_format: format of these files: any Spark writer format. None is JSON, or Parquet if the script reads them
        with functions of ``mlsql`` alone.
    :param data_local_file_num: number of these files.
    :param data_local_options: options of the writer.
    :param kafka_conn_id: the Kafka connection, of type ``mlsql_kafka``; None when ``kafka_config`` says it all.
    :param kafka_topic: each run makes a topic of its own, named after this one, and deletes it.
    :param kafka_group_id: groups ``<kafka_group_id>_<job>_<alg_index>`` show how far each script has read; deleted as well.
    :param kafka_reuse: train from what the topic ``kafka_topic`` holds, up to its end when the job begins; without ``data``.
    :param kafka_keep: do not delete the run's topic, to look at it or to train from it again.
    :param kafka_config: settings of the client, over those of the connection; and of the topic: ``topic.partitions``,
        ``topic.replication.factor``, ``topic.retention.ms`` and whatever else Kafka knows, as ``topic.<name>``. No secrets.
    :param python_path: interpreter of the script, on the executors; the job's own by default. ``"<name>/bin/python"`` for one of
        ``archives``.
    :param requirements: a requirements file, or a list of packages: nodes build an environment of them, and keep it.
    :param archives: packed environments that Spark brings to the nodes, such as ``"env.tar.gz#env"``.
    :param python_ver: version prefix that the interpreter must have, such as ``"3.11"``.
    :param python_param: flags of the interpreter.
    :param envs: environment variables of the script.
    :param seed: of hashes, :mod:`random` and NumPy in every group's script, which finds it as ``mlsql.seed()``.
    :param fit_timeout: seconds after which a group's script is ended.
    :param keep_version: False: older versions are removed once the new one is readable.
    :param keep_versions: how many of the newest versions are kept; those a function needs always are.
    :param greater_is_better: False for scores such as losses.
    :param fail_on: ``"all"``: the task fails when all groups failed; ``"any"``: when one did.
    :param keep_local_directory: keep the scripts' folders on the executors, and log where they are.
    """

    template_fields: Sequence[str] = (
        *MLSQLOperator.template_fields,
        "model_path",
        "python_script_path",
        "builtin",
        "data",
        "sql",
        "fit_params",
        "validate_data",
        "enable_data_local",
        "data_local_format",
        "data_local_file_num",
        "data_local_options",
        "kafka_conn_id",
        "kafka_topic",
        "kafka_group_id",
        "kafka_reuse",
        "kafka_keep",
        "kafka_config",
        "python_path",
        "requirements",
        "archives",
        "python_param",
        "envs",
        "seed",
        "fit_timeout",
        "keep_version",
        "keep_versions",
        "greater_is_better",
        "fail_on",
        "keep_local_directory",
    )
    template_ext = (".sql",)
    template_fields_renderers = {"sql": "sql", "fit_params": "json", "data": "json", "validate_data": "json"}

    def __init__(
        self,
        *,
        model_path: str,
        python_script_path: str | None = None,
        builtin: str | None = None,
        data: str | Mapping[str, Any] | None = None,
        sql: str | None = None,
        fit_params: Sequence[Mapping[str, Any]] | str | None = None,
        validate_data: str | Mapping[str, Any] | float | None = None,
        enable_data_local: bool | str = True,
        data_local_format: str | None = None,
        data_local_file_num: int | str | None = None,
        data_local_options: Mapping[str, Any] | str | None = None,
        kafka_conn_id: str | None = "mlsql_kafka_default",
        kafka_topic: str | None = None,
        kafka_group_id: str | None = None,
        kafka_reuse: bool | str = False,
        kafka_keep: bool | str = False,
        kafka_config: Mapping[str, Any] | str | None = None,
        python_path: str | None = None,
        requirements: str | Sequence[str] | None = None,
        archives: str | Sequence[str] | None = None,
        python_ver: str | None = None,
        python_param: Sequence[str] | str = (),
        envs: Mapping[str, str] | str | None = None,
        seed: int | str | None = None,
        fit_timeout: float | str | None = None,
        keep_version: bool | str = True,
        keep_versions: int | str | None = None,
        greater_is_better: bool | str = True,
        fail_on: str = "all",
        keep_local_directory: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model_path = model_path
        self.python_script_path = python_script_path
        self.builtin = builtin
        check_script_arguments(python_script_path, builtin)
        self.data = data
        self.sql = sql
        self.fit_params = fit_params
        self.validate_data = validate_data
        self.enable_data_local = enable_data_local
        self.data_local_format = data_local_format
        self.data_local_file_num = data_local_file_num
        self.data_local_options = data_local_options
        self.kafka_conn_id = kafka_conn_id
        self.kafka_topic = kafka_topic
        self.kafka_group_id = kafka_group_id
        self.kafka_reuse = kafka_reuse
        self.kafka_keep = kafka_keep
        self.kafka_config = kafka_config
        self.python_path = python_path
        self.requirements = requirements
        self.archives = archives
        self.python_ver = python_ver
        self.python_param = python_param
        self.envs = envs
        self.seed = seed
        self.fit_timeout = fit_timeout
        self.keep_version = keep_version
        self.keep_versions = keep_versions
        self.greater_is_better = greater_is_better
        self.fail_on = fail_on
        self.keep_local_directory = keep_local_directory

    def finish(self, context: Context, result: RunResult) -> dict[str, Any]:
        trained = to_xcom(result.steps[-1])
        self.tell_assets(context, asset_facts(trained, TRAINED))
        return trained

    def statements(self) -> tuple[Statement, ...]:
        feed = self._files() if self._is_local() else self._kafka()
        made: list[Statement] = []
        table = self._table(made, feed)
        fraction, validate_table = self._validation(made)
        train = Train(
            table=table,
            model_path=str(self.model_path),
            script_path=script_or_builtin(self, self.python_script_path, self.builtin),
            fit_params=as_groups(self.fit_params),
            validate_table=validate_table,
            validate_fraction=fraction,
            feed=feed,
            python=PythonEnv(
                path=self.python_path or None,
                version=self.python_ver or None,
                flags=as_flags(self.python_param),
                envs=as_options(self.envs, "envs"),
                timeout=as_float(self.fit_timeout, "fit_timeout"),
                seed=as_int(self.seed, "seed"),
                requirements=as_requirements(self, self.requirements),
                archives=as_archives(self, self.archives),
            ),
            keep_versions=self._kept(),
            greater_is_better=as_bool(self.greater_is_better, "greater_is_better"),
            fail_on=as_choice(self.fail_on, "fail_on", ("all", "any")),
            keep_local_directory=as_bool(self.keep_local_directory, "keep_local_directory"),
        )
        return (*made, train)

    def secrets(self) -> Secrets:
        if self._is_local():
            return Secrets()
        return Secrets(kafka={SECRETS: self._kafka_settings().private})

    def _is_local(self) -> bool:
        """Whether files are the way; then the other ``kafka_`` arguments are without use, but this one means something else."""
        local = as_bool(self.enable_data_local, "enable_data_local")
        if local and as_bool(self.kafka_reuse, "kafka_reuse"):
            raise InputError("kafka_reuse trains from a topic, but enable_data_local is True; set that to False")
        return local

    def _table(self, made: list[Statement], feed: FileFeed | KafkaFeed) -> str | None:
        """The name of the table to train on, loaded and selected; None when a topic is trained from as it is."""
        if isinstance(feed, KafkaFeed) and feed.reuse:
            if self.data or self.sql:
                raise InputError("kafka_reuse trains from what the topic holds; leave out data and sql, or set it to False")
            return None
        if not self.data:
            raise InputError("no data are given; name a table: data=\"libsvm.`/path`\" or data={'format': …, 'path': …}")
        data = as_table(self.data, "data")
        made.append(Load(table="data", format=data.format, path=data.path, options=data.options))
        if not self.sql:
            return "data"
        made.append(Select(table="selected", sql=self.sql))
        return "selected"

    def _files(self) -> FileFeed:
        return FileFeed(
            format=self.data_local_format,
            file_num=as_int(self.data_local_file_num, "data_local_file_num"),
            options=as_options(self.data_local_options, "data_local_options"),
        )

    def _kafka(self) -> KafkaFeed:
        own, _ = split_options(as_options(self.kafka_config, "kafka_config"))
        given = {
            "topic": self.kafka_topic,
            "group_id": self.kafka_group_id,
            "reuse": as_bool(self.kafka_reuse, "kafka_reuse"),
            "keep": as_bool(self.kafka_keep, "kafka_keep"),
        }
        return kafka_feed({**own, **given}, self._kafka_settings(), SECRETS)

    def _kafka_settings(self) -> KafkaSettings:
        _, client = split_options(as_options(self.kafka_config, "kafka_config"))
        secret = [name for name in client if is_private(name)]
        if secret:
            raise InputError(f"kafka_config has {', '.join(secret)}, which everybody may read there; put it into the connection")
        return KafkaHook(self.kafka_conn_id, config=client).settings

    def _kept(self) -> int | None:
        """How many versions are kept; None for all."""
        keep = as_int(self.keep_versions, "keep_versions")
        if as_bool(self.keep_version, "keep_version"):
            return keep
        if keep not in (None, 1):
            raise InputError(f"keep_version is False and keep_versions is {keep}; give one of them")
        return 1

    def _validation(self, made: list[Statement]) -> tuple[float | None, str | None]:
        """A held-out fraction, or the name of a validation table that is loaded for it."""
        given = self.validate_data
        try:
            return as_float(given, "validate_data"), None
        except InputError:
            table = as_table(given, "validate_data")
        made.append(Load(table="validate", format=table.format, path=table.path, options=table.options))
        return None, "validate"
