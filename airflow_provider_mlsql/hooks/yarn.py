"""Spark applications on YARN, through the ResourceManager's REST API."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import urlsplit

from airflow_provider_mlsql.hooks.cluster import LAST_LINES, Status, require_property
from airflow_provider_mlsql.hooks.spark_connection import SparkConnection
from mlsql_runtime.errors import ClusterUnavailable, JobFailed
from mlsql_runtime.submission.output import OutputLine
from mlsql_runtime.submission.run_folder import RunFolder
from mlsql_runtime.submission.spark_submit import Submission, run_spark_submit

_TAGS, _ATTEMPTS, _WAIT = "spark.yarn.tags", "spark.yarn.maxAppAttempts", "spark.yarn.submit.waitAppCompletion"
_LIVE = ("NEW", "NEW_SAVING", "SUBMITTED", "ACCEPTED", "RUNNING")
_RUN = "mlsql-run-"
_TASK = "mlsql-task-"
_APPLICATION = re.compile(r"application_\d+_\d+")
_LOG_BYTES = 16 << 10  # of each file of a driver's output
_TIMEOUT = (5, 30)  # seconds to connect and to read


class YarnCluster:
    """YARN of a Spark connection, whose extra has ``yarn_resourcemanager_webapp_address``. The Spark provider's Kerberos
    settings hold for requests, too.

    :raises InputError: when the connection lacks something.
    """

    name: ClassVar[str] = "YARN"

    def __init__(self, connection: SparkConnection) -> None:
        self._connection = connection
        url, self._auth = connection.yarn_api()
        self._url = f"{url}/apps"

    def properties(self, task: str, run: RunFolder, conf: Mapping[str, str]) -> Mapping[str, str]:
        require_property(conf, _ATTEMPTS, "1", "a run's plan is read once; let Airflow try again, by the task's retries")
        require_property(conf, _WAIT, "false", "the application is followed by YARN's REST API")
        tags = [*filter(None, [conf.get(_TAGS)]), f"{_TASK}{task}", f"{_RUN}{run.key}"]
        return {**conf, _ATTEMPTS: "1", _WAIT: "false", _TAGS: ",".join(tags)}

    def submit(self, submission: Submission, on_line: Callable[[OutputLine], None]) -> str:
        found: list[str] = []

        def read(line: OutputLine) -> None:
            found.extend(_APPLICATION.findall(line.text))
            on_line(line)

        run_spark_submit(self._connection.build_command(submission), submission.env, read)
        if not found:
            raise JobFailed("spark-submit has printed no ID of an application on YARN")
        return found[-1]

    def status(self, application: str) -> Status:
        response = self._request("GET", f"/{application}", missing_ok=True)
        if response is None:
            return Status(state="LOST", is_over=True, message="YARN does not know it any more")
        app = response["app"]
        return Status(
            state=app["state"] if app["state"] != "FINISHED" else app["finalStatus"],
            is_over=app["state"] in ("FINISHED", "FAILED", "KILLED"),
            message=str(app.get("diagnostics") or "").strip(),
            url=app.get("trackingUrl") or None,
        )

    def kill(self, application: str) -> None:
        self._request("PUT", f"/{application}/state", json={"state": "KILLED"}, missing_ok=True)

    def find(self, task: str) -> Mapping[str, str]:
        response = self._request("GET", "", params={"applicationTags": f"{_TASK}{task}", "states": ",".join(_LIVE)})
        found = ((response or {}).get("apps") or {}).get("app") or ()
        return {str(app["id"]): _find_run(str(app.get("applicationTags", ""))) for app in found}

    def log_hint(self, application: str) -> str:
        return f"yarn logs -applicationId {application}"

    def read_last_lines(self, application: str) -> Sequence[str]:
        response = self._request("GET", f"/{application}", missing_ok=True)
        place = urlsplit(response["app"].get("amContainerLogs") or "") if response else None
        if not place:
            return ()
        container = place.path.split("/")[-2]  # /node/containerlogs/<container>/<user>
        folder = f"{place.scheme}://{place.netloc}/ws/v1/node/containers/{container}/logs"
        files = ("stderr", "stdout")  # Spark's own lines, and what Python has printed
        return [line for file in files for line in self._read_end(f"{folder}/{file}").splitlines()[-LAST_LINES:]]

    def _read_end(self, url: str) -> str:
        """Return the end of a file of a container's output.

        :raises ClusterUnavailable: when its node does not respond, or has the file no more.
        """
        import requests

        try:
            response = requests.get(url, params={"size": -_LOG_BYTES}, auth=self._auth, timeout=_TIMEOUT)
            response.raise_for_status()
        except requests.exceptions.RequestException as error:
            raise ClusterUnavailable(f"the driver's node does not return its output: {error}") from error
        return response.text

    def _request(self, method: str, path: str, *, missing_ok: bool = False, **arguments: Any) -> dict[str, Any] | None:
        """Return the ResourceManager's response; None for an application that it does not know, and for a kill.

        :raises ClusterUnavailable: when it does not respond, or not as expected.
        """
        import requests

        try:
            response = requests.request(method, self._url + path, auth=self._auth, timeout=_TIMEOUT, **arguments)
        except requests.exceptions.RequestException as error:
            raise ClusterUnavailable(f"YARN's ResourceManager at {self._url} does not respond: {error}") from error
        if response.status_code == 404 and missing_ok:
            return None
        if method == "PUT":
            if response.status_code in (401, 403):
                raise JobFailed(f"YARN does not let this worker end {self._url}{path}: {response.text[:200]}")
            if response.status_code >= 400:
                reason = f"{response.status_code} {response.text[:200]}"
                raise ClusterUnavailable(f"YARN's ResourceManager does not end {self._url}{path} now: {reason}")
            return None
        try:
            response.raise_for_status()
            document = response.json()
            if not isinstance(document, dict) or not document.keys() & {"app", "apps"}:
                raise ValueError(f"unexpected response {response.text[:200]}")
        except (requests.exceptions.RequestException, ValueError) as error:
            raise ClusterUnavailable(f"YARN's ResourceManager at {self._url} does not respond as expected: {error}") from error
        return document


def _find_run(tags: str) -> str:
    """Return the key of the run among an application's tags; empty when it is not there."""
    return next((tag[len(_RUN) :] for tag in tags.split(",") if tag.startswith(_RUN)), "")
