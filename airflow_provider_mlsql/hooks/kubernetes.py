"""Spark applications on Kubernetes, by the driver's pod."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_mlsql.hooks.cluster import Status
from airflow_provider_mlsql.hooks.spark_submit import SubmitHook
from mlsql_runtime.errors import ClusterUnavailable, InputError, JobFailed
from mlsql_runtime.submission.client_mode import Submission

if TYPE_CHECKING:
    from kubernetes.client import CoreV1Api

_LABEL, _NAMESPACE, _UPLOAD = "spark.kubernetes.driver.label.", "spark.kubernetes.namespace", "spark.kubernetes.file.upload.path"
_WAIT = "spark.kubernetes.submission.waitAppCompletion"
_RUN, _TASK = "mlsql-run", "mlsql-task"
_OVER = ("Succeeded", "Failed")
_GRACE_SECONDS = 10  # for a driver that is told to end


class KubernetesCluster:
    """Kubernetes by a Spark connection that names a namespace, and by Airflow's section ``[kubernetes_executor]``.

    Applications are called ``<namespace>:<pod>``.

    :raises InputError: when the package for it is missing, or the connection lacks the namespace.
    """

    name: ClassVar[str] = "Kubernetes"

    def __init__(self, conn_id: str) -> None:
        self._conn_id = conn_id
        self._namespace = SubmitHook(conn_id=conn_id).namespace  # names the package if that is missing
        if not self._namespace:
            raise InputError(f'connection {conn_id} names no namespace; put it into its extra: "namespace": "…"')
        from airflow.providers.cncf.kubernetes import kube_client

        self._api: CoreV1Api = _asked(kube_client.get_kube_client)

    def properties(self, task: str, run: str, folder: str, conf: Mapping[str, str]) -> Mapping[str, str]:
        for name, only, why in (
            (_NAMESPACE, self._namespace, "the connection says so"),
            (_WAIT, "false", "the application is followed by its pod"),
        ):
            if conf.get(name, only).strip() != only:
                raise InputError(f"{name} is {conf[name]!r}; expected {only}: {why}", property=name)
        labels = {f"{_LABEL}{_TASK}": task, f"{_LABEL}{_RUN}": run}
        return {_UPLOAD: _as_hadoop_has_it(folder), **conf, **labels}

    def submit(self, submission: Submission) -> str:
        hook = SubmitHook.of(self._conn_id, submission, track_driver_via_k8s_api=True)
        try:
            hook.start(submission)
        finally:
            hook.close()
        run = submission.conf[f"{_LABEL}{_RUN}"]
        pods = self._pods(f"{_RUN}={run}")  # by the label: what spark-submit prints of a pod differs from version to version
        if not pods:
            raise JobFailed(f"there is no driver's pod with the label {_RUN}={run} in namespace {self._namespace}")
        return f"{self._namespace}:{pods[0].metadata.name}"

    def status(self, application: str) -> Status:
        namespace, _, name = application.partition(":")
        pod = _asked(lambda: self._api.read_namespaced_pod(name, namespace), missing_ok=True)
        if pod is None:
            return Status(state="LOST", is_over=True, told="its driver's pod is gone")
        phase = pod.status.phase or "Pending"
        over = phase in _OVER
        return Status(state=phase, is_over=over, is_successful=phase == "Succeeded", told=_told(pod.status) if over else "")

    def kill(self, application: str) -> None:
        namespace, _, name = application.partition(":")
        delete = self._api.delete_namespaced_pod
        _asked(lambda: delete(name, namespace, grace_period_seconds=_GRACE_SECONDS), missing_ok=True)

    def find(self, task: str) -> tuple[tuple[str, str], ...]:
        return tuple(
            (f"{self._namespace}:{pod.metadata.name}", pod.metadata.labels.get(_RUN, ""))
            for pod in self._pods(f"{_TASK}={task}")
            if pod.status.phase not in _OVER
        )

    def how_to_read_log(self, application: str) -> str:
        namespace, _, pod = application.partition(":")
        return f"kubectl logs -n {namespace} {pod}"

    def _pods(self, selector: str) -> list[Any]:
        """The drivers' pods with such labels."""
        labels = f"spark-role=driver,{selector}"
        return list(_asked(lambda: self._api.list_namespaced_pod(self._namespace, label_selector=labels)).items)


def _asked(call: Callable[[], Any], *, missing_ok: bool = False) -> Any:
    """What a call answers; None for what is missing, if that may be.

    :raises ClusterUnavailable: when it does not answer as it should.
    """
    from kubernetes.client import ApiException
    from kubernetes.config import ConfigException
    from urllib3.exceptions import HTTPError

    try:
        return call()
    except ConfigException as error:
        raise InputError(f"Airflow's section [kubernetes_executor] leads to no Kubernetes: {error}") from error
    except ApiException as error:
        if missing_ok and error.status == 404:
            return None
        raise ClusterUnavailable(f"Kubernetes does not answer as it should: {error.status} {error.reason}") from error
    except (HTTPError, OSError) as error:
        raise ClusterUnavailable(f"Kubernetes does not answer: {error}") from error


def _told(status: Any) -> str:
    """Why a pod has ended."""
    states = [each.state.terminated for each in status.container_statuses or () if each.state and each.state.terminated]
    parts = [status.reason, status.message]
    parts += [f"{each.reason}, exit code {each.exit_code}{': ' + each.message if each.message else ''}" for each in states]
    return "; ".join(part for part in parts if part)


def _as_hadoop_has_it(uri: str) -> str:
    """A URI for Spark's own file systems: S3 is ``s3a`` there."""
    if "://" not in uri:
        return f"file://{uri}"
    return f"s3a://{uri[len('s3://') :]}" if uri.startswith("s3://") else uri
