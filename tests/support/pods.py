"""A stand-in for Kubernetes: spark-submit as it behaves there, the API of pods, and real applications behind both."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from support.stand_in import JsonHandler, StandIn, Submitted, call_the_real_one, serving, start

NAMESPACE = "ml"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
_LABEL = "spark.kubernetes.driver.label."
_CLIENT = """#!{python}
import sys
sys.path[:0] = [{tests!r}]
from pathlib import Path
from support.pods import submit
sys.exit(submit(Path(__file__).parents[1], sys.argv[1:]))
"""


class Pods(StandIn):
    """The cluster. Its applications are the pods of drivers."""

    @property
    def connection(self) -> str:
        extra = {"deploy-mode": "cluster", "namespace": NAMESPACE}
        return json.dumps({"conn_type": "spark", "host": f"k8s://{self.url}", "extra": extra})

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which a worker submits here by the connection ``k8s``."""
        config = self.folder / "kubeconfig"
        named = {"name": "it", "context": {"cluster": "it", "user": "it", "namespace": NAMESPACE}}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "it",
            "contexts": [named],
            "clusters": [{"name": "it", "cluster": {"server": self.url}}],
            "users": [{"name": "it", "user": {}}],
        }
        config.write_text(json.dumps(document))  # JSON is YAML
        return {
            "AIRFLOW_CONN_K8S": self.connection,
            "AIRFLOW__KUBERNETES_EXECUTOR__IN_CLUSTER": "False",
            "AIRFLOW__KUBERNETES_EXECUTOR__CONFIG_FILE": str(config),
            "SPARK_HOME": str(self.folder),
        }

    def pod(self, name: str) -> dict[str, Any]:
        """Return the pod as the API describes it."""
        code = self.exit_code(name)
        alive = "Pending" if self.pid(name) is None else "Running"
        phase = alive if code is None else "Failed" if code else "Succeeded"
        status: dict[str, Any] = {"phase": phase}
        if code:
            ended = {"terminated": {"exitCode": code, "reason": "Error"}}
            described = {"name": "spark-kubernetes-driver", "ready": False, "restartCount": 0, "image": "i", "imageID": "i"}
            status["containerStatuses"] = [described | {"state": ended}]
        conf = self.facts(name)["conf"]
        labels = {key[len(_LABEL) :]: value for key, value in conf.items() if key.startswith(_LABEL)}
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels | {"spark-role": "driver"}},
            "status": status,
        }

    def is_gone(self, name: str) -> bool:
        return (self.folder / "apps" / name / "killed").exists() and not self.processes(name)


@contextlib.contextmanager
def pods_cluster(folder: Path) -> Iterator[Pods]:
    """Provide a cluster, and end all of its applications after the block."""
    cluster = Pods(folder)
    with serving(cluster, _handler(cluster), _CLIENT):
        yield cluster


def _handler(cluster: Pods) -> type[JsonHandler]:
    class Handler(JsonHandler):
        def do_GET(self) -> None:  # noqa: N802, the name that http.server asks for
            asked = urlsplit(self.path)
            if asked.path == PODS:
                (selector,) = parse_qs(asked.query)["labelSelector"]
                wanted = dict(part.split("=") for part in selector.split(","))
                pods = [cluster.pod(name) for name in cluster.submitted if not cluster.is_gone(name)]
                found = [pod for pod in pods if wanted.items() <= pod["metadata"]["labels"].items()]
                self.answer(200, {"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": found})
            else:
                self._one(asked.path)

        def do_DELETE(self) -> None:  # noqa: N802, as above
            name = urlsplit(self.path).path.removeprefix(PODS + "/")
            cluster.kill(name)
            self.answer(200, cluster.pod(name))

        def _one(self, path: str) -> None:
            name = path.removeprefix(PODS + "/")
            if name in cluster.submitted and not cluster.is_gone(name):
                self.answer(200, cluster.pod(name))
            else:
                self.answer(404, {"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404})

    return Handler


def submit(folder: Path, arguments: list[str]) -> int:
    """Do what Spark's client does: create the driver's pod, print its name, and return."""
    given = Submitted.of(arguments)
    if not given.options["--master"].startswith("k8s://"):
        call_the_real_one(arguments)
    wait, namespace = (given.conf.get(f"spark.kubernetes.{key}") for key in ("submission.waitAppCompletion", "namespace"))
    upload = given.conf.get("spark.kubernetes.file.upload.path", "")
    if (given.options.get("--deploy-mode"), wait, namespace) != ("cluster", "false", NAMESPACE) or "://" not in upload:
        print('Exception in thread "main" org.apache.spark.SparkException: not for this cluster')
        return 1
    name = f"train-{len(list((folder / 'apps').iterdir())) + 1:016x}-driver"
    start(folder, name, given)
    print(
        f"26/01/01 00:00:00 INFO LoggingPodStatusWatcherImpl: Deployed Spark application {given.options['--name']} with "
        f"application ID spark-1 and submission ID {NAMESPACE}:{name} into Kubernetes",
        flush=True,
    )
    return 0
