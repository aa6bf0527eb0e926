"""Spark applications on YARN, by the ResourceManager's REST API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from airflow_provider_mlsql.hooks.cluster import Status
from airflow_provider_mlsql.hooks.spark_submit import SubmitHook
from mlsql_runtime.errors import ClusterUnavailable, InputError, JobFailed
from mlsql_runtime.submission.client_mode import Submission

_TAGS, _ATTEMPTS, _WAIT = "spark.yarn.tags", "spark.yarn.maxAppAttempts", "spark.yarn.submit.waitAppCompletion"
_LIVE = ("NEW", "NEW_SAVING", "SUBMITTED", "ACCEPTED", "RUNNING")
_RUN = "mlsql-run-"
_TASK = "mlsql-task-"


class YarnCluster:
    """YARN by a Spark connection, whose extra has ``yarn_resourcemanager_webapp_address``; Kerberos as the Spark provider has it.

    :raises InputError: when the connection lacks something.
    """

    name: ClassVar[str] = "YARN"

    def __init__(self, conn_id: str) -> None:
        self._conn_id = conn_id
        hook = SubmitHook(conn_id=conn_id, yarn_track_via_rm_api=True)
        try:
            self._url = f"{hook._get_yarn_rm_base_url()}/ws/v1/cluster/apps"
            self._auth = hook._resolved_yarn_rm_auth
        except (ValueError, RuntimeError) as error:
            raise InputError(f"connection {conn_id}: {error}") from None
        self._timeout = hook._HTTP_TIMEOUT

    def properties(self, task: str, run: str, folder: str, conf: Mapping[str, str]) -> Mapping[str, str]:
        for name, only, why in (
            (_ATTEMPTS, "1", "a run's plan is read once; let Airflow try again, by the task's retries"),
            (_WAIT, "false", "the application is followed by YARN's REST API"),
        ):
            if conf.get(name, only).strip().lower() != only:
                raise InputError(f"{name} is {conf[name]!r}; expected {only}: {why}", property=name)
        tags = [*filter(None, [conf.get(_TAGS)]), f"{_TASK}{task}", f"{_RUN}{run}"]
        return {**conf, _ATTEMPTS: "1", _TAGS: ",".join(tags)}

    def submit(self, submission: Submission) -> str:
        hook = SubmitHook.of(self._conn_id, submission, yarn_track_via_rm_api=True)
        try:
            hook.start(submission)
        finally:
            hook.close()
        return str(hook._yarn_application_id)

    def status(self, application: str) -> Status:
        answer = self._ask("GET", f"/{application}", missing_ok=True)
        if answer is None:
            return Status(state="LOST", is_over=True, told="YARN knows it no more")
        app = answer["app"]
        over = app["state"] in ("FINISHED", "FAILED", "KILLED")
        return Status(
            state=app["state"] if app["state"] != "FINISHED" else app["finalStatus"],
            is_over=over,
            is_successful=over and app["finalStatus"] == "SUCCEEDED",
            told=str(app.get("diagnostics") or "").strip(),
            url=app.get("trackingUrl") or None,
        )

    def kill(self, application: str) -> None:
        self._ask("PUT", f"/{application}/state", json={"state": "KILLED"}, missing_ok=True)

    def find(self, task: str) -> tuple[tuple[str, str], ...]:
        answer = self._ask("GET", "", params={"applicationTags": f"{_TASK}{task}", "states": ",".join(_LIVE)})
        found = ((answer or {}).get("apps") or {}).get("app") or ()
        return tuple((str(app["id"]), _run_of(str(app.get("applicationTags", "")))) for app in found)

    def how_to_read_log(self, application: str) -> str:
        return f"yarn logs -applicationId {application}"

    def _ask(self, method: str, path: str, *, missing_ok: bool = False, **arguments: Any) -> dict[str, Any] | None:
        """What the ResourceManager answers; None for an application that it does not know, and for a kill.

        :raises ClusterUnavailable: when it does not answer as it should.
        """
        import requests

        try:
            response = requests.request(method, self._url + path, auth=self._auth, timeout=self._timeout, **arguments)
        except requests.exceptions.RequestException as error:
            raise ClusterUnavailable(f"YARN's ResourceManager at {self._url} does not answer: {error}") from error
        if response.status_code == 404 and missing_ok:
            return None
        if method == "PUT":
            if response.status_code in (401, 403):
                raise JobFailed(f"YARN does not let this worker end {self._url}{path}: {response.text[:200]}")
            if response.status_code >= 400:
                told = f"{response.status_code} {response.text[:200]}"
                raise ClusterUnavailable(f"YARN's ResourceManager does not end {self._url}{path} now: {told}")
            return None
        try:
            response.raise_for_status()
            answer = response.json()
            if not isinstance(answer, dict) or not answer.keys() & {"app", "apps"}:
                raise ValueError(f"unexpected answer {response.text[:200]}")
        except (requests.exceptions.RequestException, ValueError) as error:
            raise ClusterUnavailable(f"YARN's ResourceManager at {self._url} does not answer as it should: {error}") from error
        return answer


def _run_of(tags: str) -> str:
    return next((tag[len(_RUN) :] for tag in tags.split(",") if tag.startswith(_RUN)), "")
