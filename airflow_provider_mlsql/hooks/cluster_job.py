"""One plan as one application in cluster mode: submitted once, followed from wherever, ended with all it leaves."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from airflow_provider_mlsql.hooks.cluster import Application, Cluster, Status, Told, end
from mlsql_runtime.errors import JobFailed, MLSQLError
from mlsql_runtime.plan import Plan, Secrets
from mlsql_runtime.result import RunResult
from mlsql_runtime.storage.location import Location
from mlsql_runtime.submission import cluster_mode as remote
from mlsql_runtime.submission.cleanup import remove_staged, remove_topics
from mlsql_runtime.submission.processes import end_marked, new_mark

_SLICE = 0.5  # seconds after which whoever waits sees that it was told to stop


class ClusterJob:
    """A plan on a cluster.

    :param task: whose job it is, the same in all tries and after a clear: other applications of it are ended before a new one.
    :param conn_id: the Spark connection that the cluster is reached by.
    :param job_path: where job folders lie; None: below the plan's first model path.
    :param poll_interval: seconds between two questions about the application.
    :param on_running: called with an application that runs, and how it is, once.
    """

    def __init__(
        self,
        cluster: Cluster,
        plan: Plan,
        secrets: Secrets,
        conf: Mapping[str, str],
        *,
        task: str,
        job_path: str | None,
        conn_id: str,
        poll_interval: float,
        log: Any,
        on_running: Callable[[Application, Status], None] | None = None,
    ) -> None:
        self._cluster, self._plan, self._secrets, self._conf = cluster, plan, secrets, dict(conf)
        self._folder = remote.job_folder(plan, job_path)
        base = self._folder.uri.rpartition("/")[0]  # so that two Airflows on one cluster leave each other alone
        self._task = hashlib.sha256(f"{task}\n{base}".encode()).hexdigest()[:16]
        self.conn_id, self.poll_interval = conn_id, poll_interval
        self._log, self._on_running = log, on_running
        self._mark = new_mark(plan.job_id)
        self._cancelled = False
        self._application: Application | None = None

    def run(self) -> RunResult:
        """Run the plan to its end and answer its result.

        :raises MLSQLError: what ended the plan.
        """
        application = self.submit()
        result = self.result(application, self.wait(application))
        self.remove(application)
        result.raise_for_error()
        return result

    def submit(self) -> Application:
        """Hand the plan over to the cluster, once no other application of the task runs. One that does what this plan does, for
        the same job, is taken over instead.

        :raises MLSQLError: what can be known to be wrong before; JobFailed when the application cannot be handed over.
        """
        remote.check(self._plan, self._secrets, self._conf)
        self._refuse_cancelled()
        application = self._take_over() or self._submit()
        self.follow(application)
        self._refuse_cancelled()
        return application

    def status(self, application: Application) -> Status:
        """How it is with the application.

        :raises ClusterUnavailable: when the cluster does not answer, time and again.
        """
        told = Told(self._cluster, application, self._log)
        while (status := told.ask()) is None:
            self._pause()
            self._refuse_cancelled()
        return status

    def answered(self, application: Application) -> RunResult | None:
        """What the application has answered so far."""
        return remote.read_result(Location.of(application.run))

    def follow(self, application: Application) -> None:
        """Take this application for the job's own: it is what :meth:`cancel` ends."""
        self._application = application

    def discard(self, application: Application) -> None:
        """Remove the folder of an application of an earlier attempt, which is over."""
        if self.status(application).is_over:
            remote.remove_run(Location.of(application.run), with_staged=False)

    def wait(self, application: Application) -> Status:
        """Wait until the application is over; its changes go into the log.

        :raises ClusterUnavailable: when the cluster does not answer, time and again. The application goes on.
        """
        self.follow(application)
        told = Told(self._cluster, application, self._log)
        while True:
            self._refuse_cancelled()
            status = told.ask()
            if status is not None:
                if status.url and not status.is_over:
                    self._tell_running(application, status)
                if status.is_over:
                    return status
            self._pause()

    def tell_once(self, application: Application) -> None:
        """Say in the log how it is with the application now."""
        self.follow(application)
        status = Told(self._cluster, application, self._log).ask()
        if status is not None and status.url and not status.is_over:
            self._tell_running(application, status)

    def result(self, application: Application, status: Status | None = None) -> RunResult:
        """What an application that is over has answered. Topics and what it had staged do not stay.

        :param status: how it ended, when that is known.

        :raises JobFailed: when it ended without an answer, with what the cluster says about that.
        """
        result = remote.read_result(Location.of(application.run))
        remove_topics(self._plan, self._secrets)
        self._log.info("The driver's log: %s", self._cluster.how_to_read_log(application.id))
        if result is None:
            status = status or self.status(application)
            remote.remove_run(Location.of(application.run), with_staged=self._plan.attempt.is_last)
            raise JobFailed(
                f"the Spark application {application.id} ended without a result, {status.state}"
                f"{': ' + status.told if status.told else ''}; see {self._cluster.how_to_read_log(application.id)}, and retry",
                application=application.id,
            )
        attempt = self._plan.attempt
        if attempt.earlier_since is not None and (result.is_successful or attempt.is_last):
            remove_staged(self._plan)
        return result

    def remove(self, application: Application) -> None:
        """Remove the folder of an application that is over and has been asked for its result."""
        remote.remove_run(Location.of(application.run), with_staged=False)

    def cancel(self) -> int:
        """End the application and what is submitting it, and hand over none any more. What it has finished stays for the next
        attempt, if one may come.

        :returns: how many processes were submitting it.
        """
        self._cancelled = True
        ended = end_marked(self._mark)
        try:
            known = [] if self._application is None else [self._application]
            for application in known or [self._as_application(*found) for found in self._cluster.find(self._task)]:
                end(self._cluster, application, self._log, with_staged=self._plan.attempt.is_last)
        except MLSQLError as error:
            self._log.warning("The application may go on: %s", error.message)
        remove_topics(self._plan, self._secrets)
        return ended

    def _take_over(self) -> Application | None:
        """An application that nobody follows any more: one that does the same for the same job; others are ended."""
        kept: Application | None = None
        for found, run in self._cluster.find(self._task):
            application = self._as_application(found, run)
            facts = _facts(application) if run else None
            same_job = facts is not None and facts.job_id == self._plan.job_id
            if kept is None and facts is not None and same_job and facts.does == remote.does(self._plan):
                kept = application
                self._log.info(
                    "Found application %s of this task, which does the same and which nobody follows; following", found
                )
            else:
                self._log.warning("Found application %s of this task, which nobody follows; ending it", found)
                end(self._cluster, application, self._log, with_staged=not same_job)
        return kept

    def _submit(self) -> Application:
        if self._folder.is_local:
            self._log.info("%s is a local path: the cluster has to have it mounted, too", self._folder.uri)
        run = remote.new_run(self._folder)
        try:
            remote.write_run(self._plan, self._secrets, self._conf, run)
            with tempfile.TemporaryDirectory(prefix="mlsql-submit-") as local:
                conf = self._cluster.properties(self._task, remote.key_of(run), run.uri, self._conf)
                submission = remote.submission(self._plan, conf, run, Path(local), self._mark)
                self._refuse_cancelled()
                found = self._cluster.submit(submission)
        except BaseException as error:
            self._end_half_submitted(run)
            if isinstance(error, MLSQLError) or not isinstance(error, Exception):
                raise
            told = str(error).strip().splitlines() or [type(error).__name__]
            raise JobFailed(
                f"the application could not be handed over to {self._cluster.name}: {told[0]}; see the log above"
            ) from error
        finally:
            end_marked(self._mark)
        self._log.info("Submitted application %s to %s; its folder is %s", found, self._cluster.name, run.uri)
        return Application(id=found, run=run.uri)

    def _end_half_submitted(self, run: Location) -> None:
        """spark-submit may have failed after the cluster had taken the application."""
        end_marked(self._mark)
        with contextlib.suppress(MLSQLError):
            for found, name in self._cluster.find(self._task):
                if name == remote.key_of(run):
                    end(self._cluster, Application(id=found, run=run.uri), self._log, with_staged=False)
        remote.remove_run(run, with_staged=False)

    def _as_application(self, found: str, run: str) -> Application:
        return Application(id=found, run=remote.run_of(self._folder, run).uri)

    def _tell_running(self, application: Application, status: Status) -> None:
        if self._on_running is not None:
            try:
                self._on_running(application, status)
            except Exception as error:  # a job does not end for want of a link to it
                self._log.warning("There is no link to the application: %s", error)
            self._on_running = None

    def _refuse_cancelled(self) -> None:
        if self._cancelled:
            raise JobFailed("the job was cancelled")

    def _pause(self) -> None:
        """Not an event to wait for: it is set by a signal handler, in the same thread."""
        deadline = time.monotonic() + self.poll_interval
        while not self._cancelled and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, _SLICE))


def _facts(application: Application) -> remote.RunFacts | None:
    """Whose application it is; None when that cannot be known any more."""
    try:
        return remote.read_facts(Location.of(application.run))
    except MLSQLError:
        return None
