"""Train a Python script on Spark data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_mlsql.arguments import (
    OperatorArguments,
    check_script_arguments,
    load_selected,
    read_model_path,
    set_arguments,
)
from airflow_provider_mlsql.hooks.kafka import KafkaHook
from airflow_provider_mlsql.hooks.tracking import read_tracking
from airflow_provider_mlsql.operators.base import TRAINED, JobSpec, MLSQLOperator, select_facts
from airflow_provider_mlsql.operators.query_file import QueryFileOperator
from mlsql_runtime.errors import InputError
from mlsql_runtime.kafka.settings import SECRETS, is_private
from mlsql_runtime.plan import NO_SECRETS, FileFeed, KafkaFeed, Load, Secrets, Select, Train
from mlsql_runtime.plan.options import all_arguments, own_options, read_options
from mlsql_runtime.plan.parsers import is_nothing
from mlsql_runtime.result import to_xcom

if TYPE_CHECKING:
    from airflow.sdk import Context

    from mlsql_runtime.result import RunResult


class MLSQLTrainOperator(QueryFileOperator):
    """Train a script on a table and publish the next version of the model.

    Every fit group runs the script once, in parallel, in a child process of a Spark task. The XCom is ``{"model_path",
    "version", "score", "best": {"alg_index", "score"}, "fits": [{"alg_index", "status", "score", "metrics", "seconds"}],
    "rows"}``; the events of assets in ``outlets`` have ``model_path``, ``version`` and ``score`` of it.

    :param model_path: Path or URI that holds all versions of the model.
    :param python_script_path: The training script; or a project, a folder or a zip, with an ``MLproject`` or ``train.py``.
        Relative paths start at the DAG file.
    :param builtin: A built-in algorithm instead of a script. The fit parameters ``moduleName`` and ``className`` name its
        estimator; see docs/how-to/builtin.md.
    :param data: The table ``data``: ``"libsvm.`/path`"`` or ``{"format", "path", "options"}``, or a table of a catalog:
        ``"table.`shop.orders`"`` or ``{"table", "options"}``.
    :param sql: A query whose result is trained on: over ``data``, which it must read, or without ``data`` over tables of
        catalogs, such as ``select … from shop.orders``.
    :param fit_params: Parameters of each fit group; ``resource.<name>`` names a file or folder to bring along. One dict for each
        group.
    :param validate_data: Table to validate with, which must have the columns that the script reads. For operators also the
        fraction of the rows to hold out, such as ``0.2``. ``sql`` is not applied to it.
    :param stratify: Hold out the same fraction of each class of the label column, instead of rows at random.
    :param feature_columns: Columns to learn from, such as ``age,income,city``. Only they and the label column reach the script.
    :param label_column: Column with the label; by default ``label`` for a table without feature columns, if it has such a column.
    :param keep_sample_rows: Keep five rows of the training table with the version, on which its functions are tried. False for
        data that may not be copied.
    :param enable_data_local: True: rows reach the script as files, and the options of Kafka are ignored. False: rows reach it
        through Kafka.
    :param data_local_format: Format in which Spark writes the script's data files; by default Parquet, and JSON for a script that
        reads the files itself.
    :param data_local_file_num: Number of the script's data files; Spark decides by default.
    :param data_local_options: Options of Spark's writer for these files.
    :param kafka_conn_id: The Kafka connection, of type ``mlsql_kafka``; None when ``kafka_config`` holds all settings.
    :param kafka_topic: Prefix of the name of the run's own topic, which the run deletes at its end; with ``kafkaParam.reuse``,
        the topic to read.
    :param kafka_group_id: Prefix of the consumer groups ``<group>_<job>_<alg_index>``, whose offsets show how far each script has
        read. The run deletes them at its end; the prefix is the topic by default.
    :param kafka_reuse: Train on the records that the topic holds when the job begins, instead of a table.
    :param kafka_keep: Keep the run's topic instead of deleting it.
    :param kafka_config: Settings of the Kafka client, over those of the connection, and of the run's topic: ``topic.partitions``,
        ``topic.replication.factor``, ``topic.retention.ms`` and any other as ``topic.<name>``. No secrets.
    :param python_path: Interpreter that runs the script; by default that of the job, for a batch script that of the training.
        ``<name>/bin/python`` is the one in the archive ``<name>``.
    :param requirements: A requirements file, or a list of packages. Each node builds an environment with them for the script, and
        keeps it for later jobs.
    :param archives: Packed environments that Spark brings to every node and unpacks, such as ``env.tar.gz#env``.
    :param python_ver: Version prefix that the interpreter must have, such as ``3.11``.
    :param python_param: Flags of the interpreter, such as ``-X dev`` or ``-u,-O``.
    :param envs: Environment variables of the script.
    :param seed: Seed of hashes, ``random`` and NumPy in the script, which reads it with ``mlsql.seed()``; without it they are
        random.
    :param fit_timeout: Seconds after which a run of the script is ended.
    :param keep_version: False: older versions are removed after the new one is published, as with ``keepVersions`` 1.
    :param keep_versions: Number of the newest versions to keep; older ones are removed, except those that a function uses. By
        default all are kept.
    :param greater_is_better: Whether the higher score is better (``max``; operators: True) or the lower one (``min``; operators:
        False), as for losses.
    :param fail_on: ``all``: the training fails if all fit groups failed; ``any``: it fails if one of them failed.
    :param keep_script: Keep the script, or its project, with the version, for register and predict without a script of their own.
    :param keep_local_directory: Keep the working folder of each script, and log where it is.
    :param description: Text about the training, kept in the version's manifest.
    :param mlflow_conn_id: A connection with the address of an MLflow tracking server and its credentials.
    :param mlflow_tracking_uri: An MLflow tracking server, such as ``http://host:5000``, without a password. Credentials are taken
        from ``MLFLOW_TRACKING_…`` variables of the driver; operators have ``mlflow_conn_id`` for them.
    :param mlflow_experiment: The MLflow experiment of the training's runs; by default the model path.
    """

    template_fields: Sequence[str] = (
        *MLSQLOperator.template_fields,
        *("model_path", "data", "sql", "kafka_conn_id", "mlflow_conn_id"),
        *all_arguments(Train),
    )
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
        stratify: bool | str = False,
        feature_columns: Sequence[str] | str | None = None,
        label_column: str | None = None,
        keep_sample_rows: bool | str = True,
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
        keep_script: bool | str = True,
        keep_local_directory: bool | str = False,
        description: str | None = None,
        mlflow_conn_id: str | None = None,
        mlflow_tracking_uri: str | None = None,
        mlflow_experiment: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_script_arguments(python_script_path, builtin)
        self.model_path = model_path
        self.data = data
        self.sql = sql
        self.kafka_conn_id = kafka_conn_id
        self.mlflow_conn_id = mlflow_conn_id
        set_arguments(self, all_arguments(Train), locals())

    def finish(self, context: Context, result: RunResult) -> dict[str, Any]:
        trained = to_xcom(result.steps[-1])
        self.extend_asset_events(context, select_facts(trained, TRAINED))
        return trained

    def build_job(self) -> JobSpec:
        arguments = OperatorArguments(self, self.storage.access)
        fields = read_options(Train, arguments)
        feed: FileFeed | KafkaFeed
        if fields.pop("enable_data_local"):
            feed, secrets, is_reused = self._read_files(arguments), NO_SECRETS, False
        else:
            feed, secrets = self._read_kafka(arguments)
            is_reused = feed.reuse
        fields["tracking_uri"], tracking = read_tracking(self.mlflow_conn_id, fields["tracking_uri"])
        loads = self._load_data(is_reused)
        table = loads[-1].table if loads else None
        train = Train(**fields, table=table, model_path=read_model_path(self.model_path), feed=feed)
        return JobSpec((*loads, *arguments.loads, train), replace(secrets, tracking=tracking))

    def _load_data(self, is_reused: bool) -> tuple[Load | Select, ...]:
        """Return the statements that make the table to train on; none when a topic is reused."""
        if is_reused:
            if not is_nothing(self.data) or not is_nothing(self.sql):
                raise InputError("kafka_reuse trains from what the topic holds; leave out data and sql, or set it to False")
            return ()
        return load_selected(self.data, self.sql)

    def _read_files(self, arguments: OperatorArguments) -> FileFeed:
        """Read the options of files; of those of Kafka only ``kafka_reuse`` contradicts them."""
        if arguments.read(own_options(KafkaFeed)["reuse"]):
            raise InputError("kafka_reuse trains from a topic, but enable_data_local is True; set that to False")
        return FileFeed(**read_options(FileFeed, arguments))

    def _read_kafka(self, arguments: OperatorArguments) -> tuple[KafkaFeed, Secrets]:
        """Read the options of a feed through Kafka; settings of the client replace those of the connection."""
        options = read_options(KafkaFeed, arguments)
        secret = [name for name in options["settings"] if is_private(name)]
        if secret:
            raise InputError(f"kafka_config has {', '.join(secret)}, which everybody can read there; put it into the connection")
        settings = KafkaHook(self.kafka_conn_id, config=options["settings"]).settings
        return KafkaFeed(**options | settings.feed_fields(SECRETS)), Secrets(kafka={SECRETS: settings.private})
