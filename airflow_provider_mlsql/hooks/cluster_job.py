"""One plan as one application in cluster mode: submitted once, followed by any attempt, ended with all it leaves."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from airflow_provider_mlsql.hooks.cluster import Application, Cluster, Follower, Status, end_application
from airflow_provider_mlsql.hooks.spark_log import OutputLog
from mlsql_runtime.errors import JobFailed, MLSQLError
from mlsql_runtime.events import ApplicationStarted
from mlsql_runtime.plan import Plan, Secrets, StorageAccess
from mlsql_runtime.result import RunResult
from mlsql_runtime.submission import LOST_RESULT
from mlsql_runtime.submission.cleanup import remove_staged, remove_topics, staging_paths
from mlsql_runtime.submission.local_folder import clean_up_orphans, local_folder
from mlsql_runtime.submission.precheck import check_job
from mlsql_runtime.submission.processes import end_marked, new_mark
from mlsql_runtime.submission.run_folder import RunFolder, RunOwner, open_job_folder, remove_other_runs
from mlsql_runtime.submission.spark_submit import build_environment, build_submission, write_properties

_SLICE_SECONDS = 0.5  # after which a pause ends when the job is cancelled


class ClusterJob:
    """A plan whose driver runs on a cluster.

    :param task: whose job it is, the same in all tries and after a clear: other applications of it are ended before a new one.
    :param job_path: parent of job folders; None: below the plan's first model path.
    :param poll_interval: seconds between two requests for the application's status.
    :param output: for spark-submit's lines; announces the application once it runs.
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
        poll_interval: float,
        output: OutputLog,
        log: Any,
    ) -> None:
        self._cluster, self._plan, self._secrets, self._conf = cluster, plan, secrets, dict(conf)
        self._folder = open_job_folder(plan, job_path, secrets.storage)
        # with the folder's parent, so that two Airflow deployments on one cluster do not end each other's applications
        self._task = hashlib.sha256(f"{task}\n{self._folder.parent.uri}".encode()).hexdigest()[:16]
        self._poll_interval, self._output, self._log = poll_interval, output, log
        self.mark = new_mark(plan.job_id)
        self._is_cancelled = self._is_announced = False
        self._application: Application | None = None
        self._follower: Follower | None = None

    @property
    def access(self) -> StorageAccess:
        """The job's connections to storage."""
        return self._secrets.storage

    def run(self) -> RunResult:
        """Run the plan to its end and return its result.

        :raises MLSQLError: what ended the plan.
        """
        application = self.submit()
        return self.conclude(application, self.wait(application))

    def submit(self) -> Application:
        """Submit the plan once no other application of the task runs. An application of the same job that does the same is
        followed instead.

        :raises MLSQLError: an error that shows before the submission; JobFailed when the application cannot be submitted.
        """
        check_job(self._plan, self._secrets, self._conf, is_local=False)
        if self._plan.attempt.is_retry:
            clean_up_orphans(self._plan.job_id)  # they could still submit
        self._application = self._follower = None
        self._raise_if_cancelled()
        kept = self._take_over()
        if self._plan.attempt.is_retry:
            remove_other_runs(self._folder, None if kept is None else kept.open_folder(self.access))
        self._application = application = kept or self._submit()
        if self._is_cancelled:  # while it was submitted, when there was none to end
            self.cancel()
        self._raise_if_cancelled()
        return application

    def poll(self, application: Application) -> Status | None:
        """Return the application's status, None when the cluster does not respond; log what it has done since.

        From now on :meth:`cancel` ends the application.

        :raises ClusterUnavailable: when the cluster has not responded many times in a row. The application goes on.
        """
        self._raise_if_cancelled()
        status = self.follow(application).poll()
        if status is not None and status.url and not status.is_over and not self._is_announced:
            self._is_announced = True  # the page shows the history when the application is over
            self._output.announce(
                ApplicationStarted(spark="", master="", application=application.id, ui=status.url, history=status.url)
            )
        return status

    def follow(self, application: Application, position: int = 0) -> Follower:
        """Return what follows the application.

        :param position: how many files of its events were logged before.
        """
        if self._follower is None or application != self._application:
            self._follower = Follower(self._cluster, application, self._log, self.access, position)
        self._application = application
        return self._follower

    def status(self, application: Application) -> Status:
        """Return the application's status as soon as the cluster responds, see :meth:`poll`."""
        while (status := self.poll(application)) is None:
            self._pause()
        return status

    def wait(self, application: Application) -> Status:
        """Wait until the application is over, see :meth:`poll`."""
        while not (status := self.status(application)).is_over:
            self._pause()
        return status

    def conclude(
        self, application: Application, status: Status | None = None, keep: Callable[[RunResult], None] | None = None
    ) -> RunResult:
        """Return the result of an application that is over, log the rest of what it did, and remove all that it left.

        :param status: its last one, if that is known: the cluster may forget the application.
        :param keep: called with the result before its file is removed.
        :raises MLSQLError: what ended the plan; JobFailed when the application ended without a result, with what the cluster says
            about that.
        """
        remove_topics(self._plan, self._secrets)
        self.follow(application).log_events()
        result, hint = application.open_folder(self.access).read_result(), self._cluster.log_hint(application.id)
        attempt = self._plan.attempt
        self._log.info("The driver's log: %s", hint)
        if result is None:
            status = status or self.status(application)
            lost = [line for line in self._log_last_lines(application) if LOST_RESULT in line]
            why = LOST_RESULT + lost[-1].partition(LOST_RESULT)[2] if lost else status.message
            application.open_folder(self.access).remove(with_staged=attempt.is_last)
            raise JobFailed(
                f"the Spark application {application.id} ended without a result, {status.state}"
                f"{': ' + why if why else ''}; see {hint}, and retry",
                application=application.id,
            )
        if attempt.is_retry and (result.is_successful or attempt.is_last):
            remove_staged(self._plan.job_id, staging_paths(self._plan), self.access)
        if keep is not None:
            keep(result)
        try:
            application.open_folder(self.access).remove(with_staged=False)
        except MLSQLError as error:  # which must not hide the result
            self._log.warning("Files of the job may be left in %s; remove them: %s", application.run, error.message)
        result.raise_for_error()
        return result

    def cancel(self, application: Application | None = None) -> int:
        """End the application and the processes that submit it, and submit no other. Finished work is kept if another attempt
        may follow.

        :param application: the one to end; None: the one that is followed, or all of the task when none is.
        :returns: how many processes were submitting it.
        """
        self._is_cancelled = True
        ended = end_marked(self.mark)
        application = application or self._application
        try:
            for each in [application] if application else self._find():
                end_application(self._cluster, each, self._log, self.access, with_staged=self._plan.attempt.is_last)
        except MLSQLError as error:
            self._log.warning("The application may go on: %s", error.message)
        remove_topics(self._plan, self._secrets)
        return ended

    def _find(self) -> list[Application]:
        """Return the task's applications that are not over."""
        found = self._cluster.find(self._task)
        return [Application(id=id, run=RunFolder.of_key(self._folder, key).uri) for id, key in found.items()]

    def _take_over(self) -> Application | None:
        """Return an application that no attempt follows any more and that does what the plan does; end all others."""
        kept: Application | None = None
        for application in self._find():
            owner = application.open_folder(self.access).read_owner()
            is_same_job = owner is not None and owner.job_id == self._plan.job_id
            if kept is None and is_same_job and owner == RunOwner.of(self._plan):
                kept = application
                self._log.info("Found application %s of this task, which does the same; following it", application.id)
            else:
                self._log.warning("Found application %s of this task, which no attempt follows; ending it", application.id)
                end_application(self._cluster, application, self._log, self.access, with_staged=not is_same_job)
        return kept

    def _submit(self) -> Application:
        if self._folder.is_local:
            self._log.info("%s is a local path: the cluster has to have it mounted, too", self._folder.uri)
        run = RunFolder.new(self._folder)
        try:
            run.write_for_cluster(self._plan, self._secrets, self._conf)
            with local_folder(self.mark) as folder:
                conf = self._cluster.properties(self._task, run, self._conf)
                env = build_environment(self.mark, folder)
                submission = build_submission(self._plan, self.access, conf, folder, run.cluster_arguments, env)
                submission = replace(submission, properties_file=write_properties(self._secrets, folder))
                self._raise_if_cancelled()
                application = Application(id=self._cluster.submit(submission, self._output.write), run=run.uri)
        except BaseException as error:
            self._end_half_submitted(run)
            if isinstance(error, MLSQLError) or not isinstance(error, Exception):
                raise
            self._raise_if_cancelled()  # which ends spark-submit
            reason = str(error).strip() or type(error).__name__
            raise JobFailed(
                f"the application could not be submitted to {self._cluster.name}: {reason}; see the log above"
            ) from error
        self._log.info("Submitted application %s to %s; its folder is %s", application.id, self._cluster.name, run.uri)
        return application

    def _log_last_lines(self, application: Application) -> Sequence[str]:
        """Log the end of the driver's output, as far as the cluster still has it, and return it."""
        try:
            lines = self._cluster.read_last_lines(application.id)
        except MLSQLError as error:
            self._log.warning("The driver's last lines cannot be read: %s", error.message)
            return ()
        for line in ["The driver's last lines:", *lines] if lines else ["The driver has left no output"]:
            self._log.info("%s", line)
        return lines

    def _end_half_submitted(self, run: RunFolder) -> None:
        """End what the cluster may have taken although spark-submit failed."""
        with contextlib.suppress(MLSQLError):
            for application in self._find():
                if application.run == run.uri:
                    end_application(self._cluster, application, self._log, self.access, with_staged=False)
        with contextlib.suppress(MLSQLError):  # the error of the submission says more
            run.remove(with_staged=False)

    def _raise_if_cancelled(self) -> None:
        if self._is_cancelled:
            raise JobFailed("the job was cancelled")

    def _pause(self) -> None:
        """Sleep for the poll interval or until the job is cancelled. A signal handler cancels, in the thread that sleeps here:
        no event could wake it.
        """
        deadline = time.monotonic() + self._poll_interval
        while not self._is_cancelled and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, _SLICE_SECONDS))
