"""A Spark connection of Airflow: where its applications run, and spark-submit with its options."""

from __future__ import annotations

import logging
from typing import Any

from airflow.providers.apache.spark.hooks.spark_submit import SparkSubmitHook
from airflow.providers.common.compat.sdk import AirflowNotFoundException
from airflow.sdk import Connection

from mlsql_runtime.errors import InputError
from mlsql_runtime.submission.client_mode import LOCAL
from mlsql_runtime.submission.spark_submit import Submission

_LOG = logging.getLogger(f"{__name__}.airflow")
_LOG.setLevel(logging.WARNING)  # the Spark provider's hook would log the whole command line


class SparkConnection(SparkSubmitHook):
    """A connection of type ``spark``. Only the default one may be missing, which then is ``local[*]``."""

    def __init__(self, conn_id: str, **kwargs: Any) -> None:
        self.conn_id = conn_id
        self._is_kubernetes = False
        try:
            super().__init__(conn_id=conn_id, **kwargs)
        except (NameError, RuntimeError) as error:  # NameError: the hook fails at the name of the module that is missing
            if not self._is_kubernetes:
                raise
            raise InputError(
                "the connection names a Kubernetes master, for which a package is missing; "
                "pip install 'airflow-provider-mlsql[kubernetes]'"
            ) from error

    @property
    def master(self) -> str:
        """The master that spark-submit gets.

        :raises InputError: when the connection names none.
        """
        master = str(self._connection["master"])
        if master.endswith("://"):
            raise InputError(f"connection {self.conn_id} names no master; set its host, such as spark://host:7077 or yarn")
        return master

    @property
    def is_cluster_mode(self) -> bool:
        """Whether the driver runs on the cluster."""
        return bool(self._connection["deploy_mode"] == "cluster")

    @property
    def namespace(self) -> str | None:
        """The namespace of pods on Kubernetes."""
        return self._connection["namespace"] or None

    @property
    def job_path(self) -> str | None:
        """The folder for the files of jobs in cluster mode that name no other, from the connection's extra."""
        return self.get_connection(self.conn_id).extra_dejson.get("job_path") or None

    def yarn_api(self) -> tuple[str, Any]:
        """Return the URL of the ResourceManager's REST API and what authenticates requests to it.

        :raises InputError: when the connection lacks something for that.
        """
        try:
            return f"{self._get_yarn_rm_base_url()}/ws/v1/cluster", self._resolved_yarn_rm_auth
        except (ValueError, RuntimeError) as error:
            raise InputError(f"connection {self.conn_id}: {error}") from None

    def build_command(self, submission: Submission) -> list[str]:
        """Return the command line of spark-submit with the connection's options."""
        hook = SparkConnection(
            self.conn_id,
            conf=dict(submission.conf),
            name=submission.name,
            py_files=submission.py_files,
            application_args=list(submission.arguments),
            properties_file=submission.properties_file,
        )
        command: list[str] = hook._build_spark_submit_command(submission.application)
        if submission.properties_file is None:
            return command
        return [command[0], "--load-spark-defaults", *command[1:]]  # which spark-submit leaves out for another file

    @property
    def log(self) -> Any:
        return _LOG

    @classmethod
    def get_connection(cls, conn_id: str) -> Connection:
        try:
            return super().get_connection(conn_id)
        except AirflowNotFoundException as error:
            if conn_id != cls.default_conn_name:  # not Airflow's error, for which the Spark provider would take yarn
                raise InputError(f"there is no Spark connection {conn_id}; add it, or correct spark_conn_id") from error
            return Connection(conn_id=conn_id, conn_type="spark", host=LOCAL)
