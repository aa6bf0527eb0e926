"""Spark applications on YARN, through the ResourceManager's REST API."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from airflow_provider_mlsql.hooks.cluster import LAST_LINES, Status, require_property
from airflow_provider_mlsql.hooks.spark_connection import SparkConnection
from mlsql_runtime.errors import ClusterUnavailable, JobFailed
from mlsql_runtime.submission.output import OutputLine
from mlsql_runtime.submission.run_folder import RunFolder
from mlsql_runtime.submission.spark_settings import is_set_by_default
from mlsql_runtime.submission.spark_submit import Submission, check_hadoop_configuration, run_spark_submit

if TYPE_CHECKING:
    import requests

_TAGS, _ATTEMPTS, _WAIT = "spark.yarn.tags", "spark.yarn.maxAppAttempts", "spark.yarn.submit.waitAppCompletion"
_STAGING = "spark.yarn.stagingDir"  # for the files of an application: Spark's, the runtime, archives
_PY_FILES = "spark.yarn.dist.pyFiles"
_LIVE = ("NEW", "NEW_SAVING", "SUBMITTED", "ACCEPTED", "RUNNING")
_RUN = "mlsql-run-"
_TASK = "mlsql-task-"
_EXIT_CODE = re.compile(r"exitCode: (-?\d+)")
_MEMORY = "the driver's container was ended because it used more {} than it had; raise spark.driver.memoryOverhead"
_ENDS = {  # exit codes of the driver's container, see ContainerExitStatus in Hadoop's yarn-api
    -100: "the driver's node was lost",
    -101: "the disks of the driver's node are full or broken",
    -102: "the driver's container was preempted for another queue",
    -103: _MEMORY.format("virtual memory"),
    -104: _MEMORY.format("memory"),
    137: "the driver was ended by SIGKILL, for example because its node had no memory left",
}
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
        self._root, self._auth = connection.yarn_api()
        self._url = f"{self._root}/apps"

    def properties(self, task: str, run: RunFolder, conf: Mapping[str, str]) -> Mapping[str, str]:
        require_property(conf, _ATTEMPTS, "1", "a run's plan is read once; let Airflow try again, by the task's retries")
        require_property(conf, _WAIT, "false", "the application is followed by YARN's REST API")
        if run.uri.startswith("hdfs://") and not is_set_by_default(_STAGING):  # and so removed with the run, also after a SIGKILL
            conf = {_STAGING: run.uri, **conf}
        tags = [*filter(None, [conf.get(_TAGS)]), f"{_TASK}{task}", f"{_RUN}{run.key}"]
        return {**conf, _ATTEMPTS: "1", _WAIT: "false", _TAGS: ",".join(tags)}

    def submit(self, submission: Submission, on_line: Callable[[OutputLine], None]) -> str:
        check_hadoop_configuration(submission)
        run_spark_submit(self._connection.build_command(_name_runtime_once(submission)), submission.env, on_line)
        run = submission.conf[_TAGS].rpartition(",")[2]
        found = self._request("GET", "", params={"applicationTags": run})  # its ID is in the client's log only at level INFO
        applications = _list_applications(found)
        if not applications:
            raise JobFailed(f"spark-submit has ended, and YARN has no application with the tag {run}")
        return str(applications[0]["id"])

    def status(self, application: str) -> Status:
        response = self._request("GET", f"/{application}", missing_ok=True)
        if response is None:
            return Status(state="LOST", is_over=True, message="YARN does not know it any more")
        app = response["app"]
        return Status(
            state=app["state"] if app["state"] != "FINISHED" else app["finalStatus"],
            is_over=app["state"] in ("FINISHED", "FAILED", "KILLED"),
            message=_summarise(str(app.get("diagnostics") or "")),
            url=app.get("trackingUrl") or None,
        )

    def kill(self, application: str) -> None:
        self._request("PUT", f"/{application}/state", json={"state": "KILLED"}, missing_ok=True)

    def find(self, task: str) -> Mapping[str, str]:
        query = {"applicationTags": f"{_TASK}{task}", "states": ",".join(_LIVE)}
        found = _list_applications(self._request("GET", "", params=query))
        if not found:
            self._require_recovered()
            found = _list_applications(self._request("GET", "", params=query))
        return {str(app["id"]): _find_run(str(app.get("applicationTags", ""))) for app in found}

    def log_hint(self, application: str) -> str:
        return f"yarn logs -applicationId {application}"

    def read_last_lines(self, application: str) -> Sequence[str]:
        response = self._request("GET", f"/{application}", missing_ok=True)
        place = urlsplit((response or {"app": {}})["app"].get("amContainerLogs") or "")
        if not place.netloc:  # no container was started
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
        url = self._url + path
        response = self._send(method, url, **arguments)
        if response.status_code == 404 and missing_ok:
            self._require_recovered()
            response = self._send(method, url, **arguments)
            if response.status_code == 404:
                return None
        if method == "PUT":
            if response.status_code in (401, 403):
                raise JobFailed(f"YARN does not let this worker end {url}: {response.text[:200]}")
            if response.status_code >= 400:
                reason = f"{response.status_code} {response.text[:200]}"
                raise ClusterUnavailable(f"YARN's ResourceManager does not end {url} now: {reason}")
            return None
        return self._read(response, "app", "apps")

    def _require_recovered(self) -> None:
        """Check that the ResourceManager knows its applications. One that has just started responds before it does.

        :raises ClusterUnavailable: when it does not know them yet.
        """
        info = self._read(self._send("GET", f"{self._root}/info"), "clusterInfo")["clusterInfo"]
        if info.get("haState", "ACTIVE") != "ACTIVE":
            raise ClusterUnavailable(f"YARN's ResourceManager at {self._root} is starting ({info['haState']}); ask again")

    def _send(self, method: str, url: str, **arguments: Any) -> requests.Response:
        import requests

        try:
            return requests.request(method, url, auth=self._auth, timeout=_TIMEOUT, **arguments)
        except requests.exceptions.ReadTimeout as error:
            raise ClusterUnavailable(
                f"YARN's ResourceManager at {self._root} does not respond within {_TIMEOUT[1]:g} s; look at its log"
            ) from error
        except requests.exceptions.RequestException as error:
            raise ClusterUnavailable(
                f"YARN's ResourceManager at {self._root} cannot be reached: {_find_reason(error)}; check that it runs, and "
                "yarn_resourcemanager_webapp_address of the connection"
            ) from error

    def _read(self, response: requests.Response, *names: str) -> dict[str, Any]:
        """Return a response's JSON object, which has one of ``names``."""
        import requests

        try:
            response.raise_for_status()
            document = response.json()
            if not isinstance(document, dict) or not document.keys() & set(names):
                raise ValueError(f"unexpected response {response.text[:200]}")
        except (requests.exceptions.RequestException, ValueError) as error:
            raise ClusterUnavailable(f"YARN's ResourceManager at {self._root} does not respond as expected: {error}") from error
        return document


def _name_runtime_once(submission: Submission) -> Submission:
    """Hand the runtime to YARN alone.

    YARN puts it on the path of driver and executors. With ``--py-files``, Spark also hands its path on this machine to the
    driver, which looks for that file and warns.
    """
    given = submission.conf.get(_PY_FILES)
    files = ",".join(filter(None, (given, submission.py_files)))
    return replace(submission, py_files="", conf={**submission.conf, _PY_FILES: files})


def _list_applications(response: Mapping[str, Any] | None) -> Sequence[Mapping[str, Any]]:
    return ((response or {}).get("apps") or {}).get("app") or ()


def _summarise(diagnostics: str) -> str:
    """Return YARN's words about the end of an application in a sentence: they contain process lists and stack traces."""
    code = _EXIT_CODE.search(diagnostics)
    if code is not None and int(code[1]) in _ENDS:
        return _ENDS[int(code[1])]
    lines = [line.strip() for line in diagnostics.splitlines()]
    return next((line for line in lines if line), "")


def _find_reason(error: BaseException | None) -> str:
    """Return the operating system's words about a connection that failed."""
    first = error
    while error is not None:
        if isinstance(error, OSError) and error.strerror:
            return error.strerror
        error = error.__cause__ or error.__context__
    return str(first)


def _find_run(tags: str) -> str:
    """Return the key of the run among an application's tags; empty when it is not there."""
    return next((tag[len(_RUN) :] for tag in tags.split(",") if tag.startswith(_RUN)), "")
