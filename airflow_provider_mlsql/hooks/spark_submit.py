"""The Spark provider's submit hook, with a log that people can read, and ``local[*]`` when nobody configured Spark."""

from __future__ import annotations

from typing import Any

from airflow.providers.apache.spark.hooks.spark_submit import SparkSubmitHook
from airflow.providers.common.compat.sdk import AirflowNotFoundException
from airflow.sdk import Connection

from airflow_provider_mlsql.hooks.spark_log import OnStarted, ReadableLog
from mlsql_runtime.errors import InputError
from mlsql_runtime.submission.client_mode import LOCAL, Submission

DEFAULT_CONN_ID = SparkSubmitHook.default_conn_name


class SubmitHook(SparkSubmitHook):
    """Only the default connection may be missing; any other that does not exist is an error, not a guess."""

    on_started: OnStarted | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        try:
            super().__init__(*args, **kwargs)
        except (NameError, RuntimeError) as error:  # for want of that package it fails on the way to saying so
            if "kube" not in str(error):
                raise
            raise InputError(
                "the connection names a Kubernetes master, for which a package is missing; "
                "pip install 'airflow-provider-mlsql[kubernetes]'"
            ) from error

    @classmethod
    def of(cls, conn_id: str, submission: Submission, **kwargs: Any) -> SubmitHook:
        """The hook for a submission, by a connection."""
        return cls(
            conn_id=conn_id,
            conf=dict(submission.conf),
            name=submission.name,
            py_files=submission.py_files,
            application_args=list(submission.arguments),
            **kwargs,
        )

    def start(self, submission: Submission) -> None:
        """Run spark-submit until it has ended."""
        self.submit(submission.application, env=dict(submission.env), encoding="utf-8", errors="replace")

    @property
    def master(self) -> str:
        """The master that spark-submit gets, whichever way the connection spells it."""
        return str(self._connection["master"])

    @property
    def namespace(self) -> str:
        """On Kubernetes, where pods are; empty when nobody says it."""
        return str(self._connection["namespace"] or "")

    @property
    def deploy_mode(self) -> str:
        return str(self._connection["deploy_mode"] or "client")

    def close(self) -> None:
        """Wait for an ended spark-submit and close the pipe from it, which the Spark provider leaves open."""
        if self._submit_sp is not None:
            self._submit_sp.wait()
            self._submit_sp.stdout.close()

    @property
    def log(self) -> Any:
        return ReadableLog(super().log, self.on_started)

    @classmethod
    def get_connection(cls, conn_id: str) -> Connection:
        try:
            return super().get_connection(conn_id)
        except AirflowNotFoundException:
            if conn_id != DEFAULT_CONN_ID:
                raise
            return Connection(conn_id=conn_id, conn_type="spark", host=LOCAL)


class Submitter:
    """Runs spark-submit by a connection, for :class:`mlsql_runtime.submission.client_mode.Job`.

    :param on_started: called when the application has started.
    """

    def __init__(self, conn_id: str, on_started: OnStarted | None = None) -> None:
        self._conn_id, self._on_started = conn_id, on_started
        self._hook: SubmitHook | None = None

    def submit(self, submission: Submission) -> None:
        self._hook = SubmitHook.of(self._conn_id, submission)
        self._hook.on_started = self._on_started
        self._hook.start(submission)

    def close(self) -> None:
        if self._hook is not None:
            self._hook.close()
