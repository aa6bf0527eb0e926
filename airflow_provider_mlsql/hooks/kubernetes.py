"""Spark applications on Kubernetes, through the driver's pod."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_mlsql.hooks.cluster import LAST_LINES, Status, require_property
from airflow_provider_mlsql.hooks.spark_connection import SparkConnection
from mlsql_runtime.errors import ClusterUnavailable, InputError, JobFailed
from mlsql_runtime.submission.output import OutputLine
from mlsql_runtime.submission.run_folder import RunFolder
from mlsql_runtime.submission.spark_submit import Submission, run_spark_submit

if TYPE_CHECKING:
    from kubernetes.client import CoreV1Api

_LABEL, _NAMESPACE, _UPLOAD = "spark.kubernetes.driver.label.", "spark.kubernetes.namespace", "spark.kubernetes.file.upload.path"
_WAIT = "spark.kubernetes.submission.waitAppCompletion"
_RUN, _TASK = "mlsql-run", "mlsql-task"
_OVER = ("Succeeded", "Failed")
_GRACE_SECONDS = 10  # between SIGTERM and SIGKILL


class KubernetesCluster:
    """Kubernetes of a Spark connection that names a namespace, reached as Airflow's section ``[kubernetes_executor]`` says.

    The ID of an application is ``<namespace>:<pod>``.

    :raises InputError: when the connection lacks the namespace.
    """

    name: ClassVar[str] = "Kubernetes"

    def __init__(self, connection: SparkConnection) -> None:
        self._connection = connection
        if not connection.namespace:
            raise InputError(f'connection {connection.conn_id} names no namespace; put it into its extra: "namespace": "…"')
        self._namespace = connection.namespace
        from airflow.providers.cncf.kubernetes import kube_client

        self._api: CoreV1Api = _call(kube_client.get_kube_client)

    def properties(self, task: str, run: RunFolder, conf: Mapping[str, str]) -> Mapping[str, str]:
        require_property(conf, _NAMESPACE, self._namespace, "the connection says so")
        require_property(conf, _WAIT, "false", "the application is followed by its pod")
        labels = {f"{_LABEL}{_TASK}": task, f"{_LABEL}{_RUN}": run.key}
        return {_UPLOAD: _to_hadoop_uri(run.uri), **conf, _NAMESPACE: self._namespace, _WAIT: "false", **labels}

    def submit(self, submission: Submission, on_line: Callable[[OutputLine], None]) -> str:
        run_spark_submit(self._connection.build_command(submission), submission.env, on_line)
        run = submission.conf[f"{_LABEL}{_RUN}"]
        pods = self._list_pods(f"{_RUN}={run}")  # what spark-submit prints of a pod differs from version to version
        if not pods:
            raise JobFailed(f"there is no driver's pod with the label {_RUN}={run} in namespace {self._namespace}")
        return f"{self._namespace}:{pods[0].metadata.name}"

    def status(self, application: str) -> Status:
        namespace, _, name = application.partition(":")
        pod = _call(lambda: self._api.read_namespaced_pod(name, namespace), missing_ok=True)
        if pod is None:
            return Status(state="LOST", is_over=True, message="its driver's pod is gone")
        phase = pod.status.phase or "Pending"
        is_over = phase in _OVER
        return Status(state=phase, is_over=is_over, message=_describe_end(pod.status) if is_over else "")

    def kill(self, application: str) -> None:
        namespace, _, name = application.partition(":")
        delete = self._api.delete_namespaced_pod
        _call(lambda: delete(name, namespace, grace_period_seconds=_GRACE_SECONDS), missing_ok=True)

    def find(self, task: str) -> Mapping[str, str]:
        return {
            f"{self._namespace}:{pod.metadata.name}": pod.metadata.labels.get(_RUN, "")
            for pod in self._list_pods(f"{_TASK}={task}")
            if pod.status.phase not in _OVER
        }

    def log_hint(self, application: str) -> str:
        namespace, _, pod = application.partition(":")
        return f"kubectl logs -n {namespace} {pod}"

    def read_last_lines(self, application: str) -> Sequence[str]:
        namespace, _, pod = application.partition(":")
        read = self._api.read_namespaced_pod_log
        text = _call(lambda: read(pod, namespace, tail_lines=LAST_LINES), missing_ok=True)
        return str(text or "").splitlines()

    def _list_pods(self, selector: str) -> list[Any]:
        """Return the drivers' pods with such labels."""
        labels = f"spark-role=driver,{selector}"
        return list(_call(lambda: self._api.list_namespaced_pod(self._namespace, label_selector=labels)).items)


def _call(call: Callable[[], Any], *, missing_ok: bool = False) -> Any:
    """Return the result of a call; None for a pod that is missing, with ``missing_ok``.

    :raises ClusterUnavailable: when Kubernetes does not respond, or not as expected.
    """
    from kubernetes.client import ApiException
    from kubernetes.config import ConfigException
    from urllib3.exceptions import HTTPError

    try:
        return call()
    except ConfigException as error:
        raise InputError(f"Airflow's section [kubernetes_executor] does not lead to a Kubernetes cluster: {error}") from error
    except ApiException as error:
        if missing_ok and error.status == 404:
            return None
        raise ClusterUnavailable(f"Kubernetes does not respond as expected: {error.status} {error.reason}") from error
    except (HTTPError, OSError) as error:
        raise ClusterUnavailable(f"Kubernetes does not respond: {error}") from error


def _describe_end(status: Any) -> str:
    """Return why a pod has ended."""
    states = [each.state.terminated for each in status.container_statuses or () if each.state and each.state.terminated]
    parts = [status.reason, status.message]
    parts += [f"{each.reason}, exit code {each.exit_code}{': ' + each.message if each.message else ''}" for each in states]
    return "; ".join(part for part in parts if part)


def _to_hadoop_uri(uri: str) -> str:
    """Return a URI for Spark's own file systems, where S3 is ``s3a``."""
    if "://" not in uri:
        return f"file://{uri}"
    return f"s3a://{uri[len('s3://') :]}" if uri.startswith("s3://") else uri
