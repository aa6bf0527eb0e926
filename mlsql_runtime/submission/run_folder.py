"""The files through which one application gets its plan and returns its result.

In client mode they are in a temporary folder. In cluster mode, where the driver runs on a machine of the cluster, they are in
storage that this machine and the cluster reach: a folder for each job, and in it

::

    scripts/<n>/…                the script of statement n, under the same path in every attempt
    <run>/plan.json              read once by the application, and removed; so is
         /secrets.json           what neither the plan nor a process list may show
         /job.json               whose run it is, for a later attempt that finds the run
         /events/<n>.jsonl       written by the application while it runs
         /result.json            written by the application
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from mlsql_runtime import codec
from mlsql_runtime.errors import InputError, MLSQLError
from mlsql_runtime.plan import NO_ACCESS, Plan, Secrets, Statement, StorageAccess, dump_plan, get_builtin_name, is_secret_property
from mlsql_runtime.result import RunResult, load_result
from mlsql_runtime.script.bundle import ScriptBundle, read_bundle
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.versions import open_model_path
from mlsql_runtime.submission import OWNER_FILE
from mlsql_runtime.submission.cleanup import remove_staged, staging_paths
from mlsql_runtime.submission.event_files import EventFileReader

_PLAN, _SECRETS, _RESULT = "plan.json", "secrets.json", "result.json"
_EVENTS = "events"
_SCRIPTS = "scripts"
_KEY = re.compile(r"(app-[0-9a-f]{16})\.([0-9a-f]{12})")


@dataclass(frozen=True, kw_only=True)
class RunOwner:
    """Whose run a folder is: the job, the digest of its plan and scripts, and the model paths in which it stages files."""

    job_id: str
    plan_digest: str
    staging_paths: tuple[str, ...]

    @classmethod
    def of(cls, plan: Plan) -> RunOwner:
        """Return the owner of the plan's runs. Attempts of a job have equal owners as long as they do the same.

        :raises InputError: when a script cannot be read.
        """
        digest = hashlib.sha256(plan.digest(len(plan.statements) - 1).encode())
        for statement in plan.statements:
            bundle = _read_local_script(statement)
            digest.update(b"" if bundle is None else bundle.facts.sha256.encode())
        return cls(job_id=plan.job_id, plan_digest=digest.hexdigest(), staging_paths=staging_paths(plan))


def open_job_folder(plan: Plan, job_path: str | None, access: StorageAccess = NO_ACCESS) -> Location:
    """Return the folder of the plan's job, the same in all its attempts.

    :param job_path: the folder's parent; None: a folder below the plan's first model path.
    :param access: connections to storage.
    :raises InputError: when there is neither, or the path holds a password: command lines and Airflow's database would show it.
    """
    roots = (each.outline.model_root for each in plan.statements)
    base = job_path or next((root for root in roots if root is not None), None)
    if base is None:
        raise InputError(
            "the plan names no model path below which its files could travel to the cluster; set job_path to a folder that "
            "this worker and the cluster reach, such as s3://bucket/jobs"
        )
    if "://" in base and urlsplit(base).password is not None:
        raise InputError(
            "the folder for the job's files holds a password in its URI, which command lines would show; set job_path to one "
            "without, and configure the password for the storage, such as in environment variables"
        )
    root = Location.of(base, access) if job_path else open_model_path(base, access) / layout.STAGING
    return root / f"app-{hashlib.sha256(plan.job_id.encode()).hexdigest()[:16]}"


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run of a job; in cluster mode it is below the job's."""

    location: Location

    @classmethod
    def new(cls, job_folder: Location) -> RunFolder:
        """Return the folder of a new run."""
        return cls(job_folder / uuid.uuid4().hex[:12])

    @classmethod
    def at(cls, uri: str, access: StorageAccess = NO_ACCESS) -> RunFolder:
        """Return the folder at a URI."""
        return cls(Location.of(uri, access))

    @classmethod
    def of_key(cls, job_folder: Location, key: str) -> RunFolder:
        """Return the folder whose :attr:`key` this is: a run of the job, or of one with a folder beside the job's.

        A text that is not a key gives a folder that does not exist.
        """
        match = _KEY.fullmatch(key)
        job, run = match.groups() if match else ("unknown", "unknown")
        return cls(job_folder.parent / job / run)

    @property
    def uri(self) -> str:
        return self.location.uri

    @property
    def key(self) -> str:
        """The run in a word of letters, digits, ``-`` and ``.``, which tags of YARN and labels of Kubernetes may hold."""
        return f"{self.location.parent.name}.{self.location.name}"

    @property
    def arguments(self) -> tuple[str, ...]:
        """Arguments of the application that runs the plan in this folder."""
        places = {"--plan": _PLAN, "--result": _RESULT, "--secrets": _SECRETS}
        return tuple(part for option, name in places.items() for part in (option, (self.location / name).uri))

    @property
    def cluster_arguments(self) -> tuple[str, ...]:
        """:attr:`arguments` of an application on a machine of the cluster, which has no pipe for events to its submitter."""
        access = ("--with-access",) if self.location.access.connections else ()
        return (*self.arguments, "--events", (self.location / _EVENTS).uri, *access)

    def read_events(self, position: int = 0) -> EventFileReader:
        """Return a reader of the application's events.

        :param position: how many of their files have been read before.
        """
        return EventFileReader(self.location / _EVENTS, position)

    def write(self, plan: Plan, secrets: Secrets, conf: Mapping[str, str]) -> None:
        """Write what the application reads.

        :param conf: Spark properties, of which those that hold secrets are written.
        :raises StorageError: when that cannot be written.
        """
        spark = {**secrets.spark, **{name: value for name, value in conf.items() if is_secret_property(name, value)}}
        (self.location / _SECRETS).write_private(codec.dumps(replace(secrets, spark=spark)).encode())
        (self.location / _PLAN).write_private(dump_plan(plan).encode())

    def write_for_cluster(self, plan: Plan, secrets: Secrets, conf: Mapping[str, str]) -> None:
        """Write what the application reads on a machine of the cluster, and whose run it is; see :meth:`write`.

        The scripts go beside the folder. Access to storage does not go into the storage itself: see
        :func:`~mlsql_runtime.submission.spark_submit.write_properties`.
        """
        scripts = self.location.parent / _SCRIPTS
        copies = tuple(_copy_script(each, scripts / str(index)) for index, each in enumerate(plan.statements))
        (self.location / OWNER_FILE).write_private(codec.dumps(RunOwner.of(plan)).encode())
        without_access = replace(secrets, spark={}, storage=NO_ACCESS)
        self.write(replace(plan, script_copies=copies), without_access, conf)

    def has_result(self) -> bool:
        """Return whether the application has come to its end, and written how it ended."""
        return (self.location / _RESULT).exists()

    def read_result(self) -> RunResult | None:
        """Return what the application has written; None when it has written nothing.

        :raises FormatError: when that is not a result.
        """
        place = self.location / _RESULT
        text = place.read_or_none()
        return None if text is None else load_result(text, place.uri)

    def read_owner(self) -> RunOwner | None:
        """Return whose run it is; None when its folder is gone, or cannot be read."""
        place = self.location / OWNER_FILE
        try:
            text = place.read_or_none()
            return None if text is None else codec.loads(RunOwner, text, place.uri)
        except MLSQLError:
            return None

    def remove(self, *, with_staged: bool) -> None:
        """Remove the folder of a run whose application is over, and the job's folder when no other run is in it.

        :param with_staged: remove also what the job has staged under model paths for a later attempt.
        """
        owner = self.read_owner() if with_staged else None
        job_folder = self.location.parent
        self.location.remove()
        if job_folder.list_names() in ([], [_SCRIPTS]):
            job_folder.remove()
        if owner is not None:
            remove_staged(owner.job_id, owner.staging_paths, self.location.access)
        if job_folder.parent.name == layout.STAGING:  # below a model path, which may be new and hold nothing else
            job_folder.parent.remove_if_empty()
            job_folder.parent.parent.remove_if_empty()


def remove_other_runs(job_folder: Location, kept: RunFolder | None) -> None:
    """Remove the runs of a job that no application needs any more. Their attempts could not do it while the storage failed.

    :param kept: the run whose application goes on.
    """
    for name in job_folder.list_names():
        if name not in (_SCRIPTS, kept and kept.location.name):
            (job_folder / name).remove()


def _copy_script(statement: Statement, target: Location) -> str | None:
    """Copy a local script to where the driver can read it, and return the URI of the copy; None for other scripts."""
    bundle = _read_local_script(statement)
    if bundle is None:
        return None
    own = target / bundle.facts.sha256[:16]  # an attempt that still copies another content, or the same one, is not disturbed
    for name, content in bundle.files.items():
        (own / name).replace(content)
    is_single = bundle.entry.endswith(".py") and list(bundle.files) == [bundle.entry]
    return (own / bundle.entry if is_single else own).uri


def _read_local_script(statement: Statement) -> ScriptBundle | None:
    """Return the script of a statement; None if it has none, or one that the driver reads itself."""
    script = statement.outline.script
    if script is None or script.path is None or get_builtin_name(script.path) is not None:  # the runtime has the built-in ones
        return None
    is_local = "://" not in script.path or script.path.startswith("file:")
    return read_bundle(script.path, script.role) if is_local else None
