"""One plan as one Spark application in cluster mode, where the driver runs on a machine of the cluster.

What crosses lies in storage that this machine and the cluster reach: a folder for each job, and in it

::

    scripts/<n>/…                the script of statement n, under the same path in every attempt
    <run>/plan.json              read once by the application, then gone; so is
         /secrets.json           what neither the plan nor a process list may show
         /job.json               whose run it is, for whoever finds it
         /result.json            what the application answers
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from mlsql_runtime import codec
from mlsql_runtime.errors import InputError
from mlsql_runtime.plan import Plan, Secrets, Statement, check_property, dump_plan, get_builtin_name, is_secret
from mlsql_runtime.result import RunResult, load_result
from mlsql_runtime.script.bundle import read_bundle
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.staging import remove_staging_folders
from mlsql_runtime.store.versions import open_model_path
from mlsql_runtime.submission.cleanup import staging_paths
from mlsql_runtime.submission.client_mode import QUIET, Submission, require_java, submit_environment, with_archives
from mlsql_runtime.submission.precheck import precheck
from mlsql_runtime.submission.runtime_zip import write_bundle

_PLAN, _SECRETS, _RESULT, _FACTS = "plan.json", "secrets.json", "result.json", "job.json"
_SCRIPTS = "scripts"
_KEY = re.compile(r"app-[0-9a-f]{16}\.[0-9a-f]{12}")


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """Whose run a folder is: the job, what it does as 64 hex digits, and the model paths in which it stages files."""

    job_id: str
    does: str
    staged_in: tuple[str, ...]


def job_folder(plan: Plan, job_path: str | None) -> Location:
    """The job's folder, the same in all its attempts: below ``job_path``, or else below the plan's first model path.

    :raises InputError: when there is neither, or the path holds a password: it is on command lines and in Airflow's database.
    """
    models = [each.model_root for each in plan.statements if each.model_root is not None]
    if not job_path and not models:
        raise InputError(
            "the plan names no model path below which its files could travel to the cluster; set job_path to a folder that "
            "this worker and the cluster reach, such as s3://bucket/jobs"
        )
    base = job_path or models[0]
    if "://" in base and urlsplit(base).password is not None:
        raise InputError(
            "the folder for the job's files holds a password in its URI, which command lines would show; set job_path to one "
            "without, and give the password by the means of the storage"
        )
    root = Location.of(base) if job_path else open_model_path(base) / layout.STAGING
    return root / f"app-{hashlib.sha256(plan.job_id.encode()).hexdigest()[:16]}"


def check(plan: Plan, secrets: Secrets, conf: Mapping[str, str]) -> None:
    """Look for what can be known to be wrong before anything is handed over.

    :raises MLSQLError: the first thing found.
    """
    for name, value in conf.items():
        check_property(name, value)
    require_java()
    precheck(plan, False, secrets)


def key_of(run: Location) -> str:
    """A run in a word, of letters, digits, ``-`` and ``.``: beside its job's folder, :func:`run_of` finds it by that."""
    return f"{run.path.rsplit('/', 2)[1]}.{run.name}"


def run_of(folder: Location, key: str) -> Location:
    """The run of such a key: of the job of ``folder``, or of one whose folder lies beside. A key that is none leads nowhere."""
    job, _, run = key.partition(".") if _KEY.fullmatch(key) else ("unknown", ".", "unknown")
    return Location(folder.fs, folder.path.rpartition("/")[0]) / job / run


def does(plan: Plan) -> str:
    """What a plan does, as 64 hex digits; attempts of a job do not differ in it."""
    return plan.digest(len(plan.statements) - 1)


def new_run(folder: Location) -> Location:
    """The folder of a new run of the job."""
    return folder / uuid.uuid4().hex[:12]


def write_run(plan: Plan, secrets: Secrets, conf: Mapping[str, str], run: Location) -> None:
    """Write what the application needs into a run's folder, and the scripts beside it.

    :raises StorageError: when that cannot be written.
    """
    folder = Location(run.fs, run.path.rpartition("/")[0])
    carried = tuple(_carried(each, folder / _SCRIPTS / str(index)) for index, each in enumerate(plan.statements))
    secret = {name: value for name, value in conf.items() if is_secret(name)}
    facts = RunFacts(job_id=plan.job_id, does=does(plan), staged_in=staging_paths(plan))
    (run / _FACTS).write_private(codec.dumps(facts).encode())
    (run / _SECRETS).write_private(codec.dumps(replace(secrets, spark=secret)).encode())
    (run / _PLAN).write_private(dump_plan(replace(plan, statements=carried)).encode())


def submission(plan: Plan, conf: Mapping[str, str], run: Location, local: Path, mark: str) -> Submission:
    """What spark-submit is given for a run; it brings runtime and launcher, written into the folder ``local``, to the cluster."""
    archive, launcher = write_bundle(local)
    return Submission(
        name=plan.job_id,
        conf=with_archives(plan, QUIET | {name: value for name, value in conf.items() if not is_secret(name)}),
        py_files=str(archive),
        application=str(launcher),
        arguments=(
            *("--plan", (run / _PLAN).uri, "--result", (run / _RESULT).uri),
            *("--secrets", (run / _SECRETS).uri),
        ),
        env=submit_environment(mark),
    )


def read_result(run: Location) -> RunResult | None:
    """What the run's application answered; None when it did not."""
    place = run / _RESULT
    text = place.read_or_none()
    return None if text is None else load_result(text, place.uri)


def read_facts(run: Location) -> RunFacts | None:
    """Whose run it is; None when its folder is gone."""
    place = run / _FACTS
    text = place.read_or_none()
    return None if text is None else codec.loads(RunFacts, text, place.uri)


def remove_run(run: Location, *, with_staged: bool) -> None:
    """Remove a run whose application is over, and the job's folder when no other run is in it.

    :param with_staged: also what the job has staged under model paths, and kept for an attempt that will not come.
    """
    facts = read_facts(run) if with_staged else None
    folder = Location(run.fs, run.path.rpartition("/")[0])
    run.remove()
    if folder.list_names() in ([], [_SCRIPTS]):
        folder.remove()
    if facts is not None:
        for path in facts.staged_in:
            remove_staging_folders(open_model_path(path), facts.job_id)
    base = Location(folder.fs, folder.path.rpartition("/")[0])
    if base.name == layout.STAGING:  # a model path that is new goes as well
        base.remove_if_empty()
        Location(base.fs, base.path.rpartition("/")[0]).remove_if_empty()


def _carried(statement: Statement, target: Location) -> Statement:
    """The statement with its script where the driver reads it, when it is a local one."""
    script = statement.script
    if script is None or get_builtin_name(script.path) is not None:  # the runtime contains the built-in ones
        return statement
    if not Location.of(script.path).is_local:
        return statement
    bundle = read_bundle(script.path, script.role)
    target.remove()  # of an earlier attempt
    for name, content in bundle.files.items():
        (target / name).write(content)
    single = script.path.endswith(".py") and list(bundle.files) == [bundle.entry]
    return statement.with_script((target / bundle.entry if single else target).uri)
