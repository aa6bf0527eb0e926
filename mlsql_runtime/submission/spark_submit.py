"""spark-submit as a child process: its input, and its output line by line."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlsql_runtime import codec
from mlsql_runtime.errors import InputError
from mlsql_runtime.events import EVENTS_VARIABLE
from mlsql_runtime.plan import ACCESS_PROPERTY, Plan, Secrets, StorageAccess, is_secret_property, merge_archives
from mlsql_runtime.script.thread_limits import QUIET as QUIET_ENVIRONMENT
from mlsql_runtime.spark_versions import find_spark_home
from mlsql_runtime.submission.output import OutputLine, read_output
from mlsql_runtime.submission.processes import MARK, end_marked
from mlsql_runtime.submission.runtime_zip import write_runtime
from mlsql_runtime.submission.spark_settings import VARIABLES, find_settings
from mlsql_runtime.submission.training_archives import find_training_archives

_ARCHIVES = "spark.archives"
_HADOOP_VARIABLES = ("HADOOP_CONF_DIR", "YARN_CONF_DIR")
_RAISED = re.compile(r'Exception in thread "main" [\w.$]+: (.+)')  # causes and stack follow
REST_SECONDS = 30.0  # for what spark-submit has started, once it is over: the driver of a killed JVM cleans up
_QUIET = {"spark.log.level": "WARN", "spark.ui.showConsoleProgress": "false"}


@dataclass(frozen=True, kw_only=True)
class Submission:
    """The input of spark-submit. ``conf`` holds no secret; ``env`` holds the mark by which the job's processes are found.

    ``properties_file`` has further properties, which are secrets.
    """

    name: str
    conf: Mapping[str, str]
    py_files: str
    application: str
    arguments: tuple[str, ...]
    env: Mapping[str, str]
    properties_file: str | None = None


class SparkSubmitFailed(Exception):
    """spark-submit could not be started, or its exit code was not 0. The message has its exception, or else its last line."""


def build_submission(
    plan: Plan,
    access: StorageAccess,
    conf: Mapping[str, str],
    folder: Path,
    arguments: Sequence[str],
    env: Mapping[str, str],
) -> Submission:
    """Write the runtime and its launcher into ``folder``; return what submits them.

    :param access: connections to storage.
    :param conf: Spark properties. Those that hold secrets are left out.
    :param arguments: of the application.
    :raises InputError: when Spark would unpack two archives in the same folder.
    """
    properties = _QUIET | {name: value for name, value in conf.items() if not is_secret_property(name, value)}
    named = (archive for each in plan.statements for archive in each.outline.archives)
    archives = merge_archives((*named, *find_training_archives(plan, access)), conf.get(_ARCHIVES, ""))
    if archives:
        properties[_ARCHIVES] = archives
    py_files, launcher = write_runtime(folder)
    return Submission(
        name=plan.job_id, conf=properties, py_files=str(py_files), application=str(launcher), arguments=tuple(arguments), env=env
    )


def write_properties(secrets: Secrets, folder: Path) -> str | None:
    """Write a file of mode 0600 with the properties that give an application on a cluster its access to storage.

    spark-submit brings them to the driver in YARN's staging folder of the application, or in the driver's config map on
    Kubernetes, and uses those of Hadoop itself where it uploads files.

    :returns: the path of the file; None without access.
    """
    if not secrets.storage.connections:
        return None
    access = json.dumps(codec.encode(secrets.storage))
    path = folder / "secrets.properties"
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        for name, value in {**secrets.spark, ACCESS_PROPERTY: access}.items():
            escaped = value.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
            file.write(f"{name}={escaped}\n")
    return str(path)


def build_environment(mark: str, folder: Path | None = None) -> dict[str, str]:
    """Return the environment of a job's processes: this process's without Airflow's settings and connections, without the pipe
    of a job that this process belongs to, and with the Spark of this Python environment unless SPARK_HOME is set.

    :param folder: for the temporary files of spark-submit's JVM, which leaves them when it is killed; None: Java's own.
    """
    env = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "_AIRFLOW", EVENTS_VARIABLE))}
    home = find_spark_home()
    if home is not None:
        env |= {"SPARK_HOME": home, "PATH": f"{home}/bin{os.pathsep}{env.get('PATH', os.defpath)}"}
    if folder is not None:  # first, as the last of two equal options is the one that counts
        env["SPARK_SUBMIT_OPTS"] = f'"-Djava.io.tmpdir={folder}" {env.get("SPARK_SUBMIT_OPTS", "")}'.rstrip()
    return QUIET_ENVIRONMENT | env | {MARK: mark, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8:replace"}


def check_hadoop_configuration(submission: Submission) -> None:
    """Check that spark-submit will find YARN. It waits a quarter of an hour for a ResourceManager on this machine otherwise.

    :raises InputError: when the environment names no folder with Hadoop's configuration, or one without that of YARN.
    """
    env = submission.env
    if find_settings(VARIABLES) is not None:  # may set the variables
        return
    folders = {name: env[name] for name in _HADOOP_VARIABLES if env.get(name)}
    if not folders:
        raise InputError(
            "HADOOP_CONF_DIR is not set, which Spark needs for YARN; set it in the environment of the worker to a folder with "
            "core-site.xml, hdfs-site.xml and yarn-site.xml of the cluster"
        )
    is_configured = any(name.startswith("spark.hadoop.yarn.resourcemanager.") for name in submission.conf)
    if not is_configured and not any(Path(folder, "yarn-site.xml").is_file() for folder in folders.values()):
        named = " and ".join(f"{name} is {folder}" for name, folder in folders.items())
        raise InputError(f"{named}, where there is no yarn-site.xml; set it to the folder with the configuration of the cluster")


def build_command(master: str, submission: Submission) -> list[str]:
    """Return the command line of spark-submit for a master."""
    command = ["spark-submit", "--master", master, "--name", submission.name, "--py-files", submission.py_files]
    for name, value in submission.conf.items():
        command += ["--conf", f"{name}={value}"]
    return [*command, submission.application, *submission.arguments]


def run_spark_submit(
    command: Sequence[str],
    env: Mapping[str, str],
    on_line: Callable[[OutputLine], None],
    is_cancelled: Callable[[], bool] = lambda: False,
) -> None:
    """Run spark-submit, or a driver without Spark, until it ends. No process with the mark of ``env`` is left then, also after
    an error.

    :param on_line: called with each line of its output, as it comes.
    :param is_cancelled: asked once, when the process has started: who cancelled before found none to end.
    :raises SparkSubmitFailed: when it cannot be started, or fails.
    :raises InputError: when it is not on the PATH of ``env``.
    """
    process: subprocess.Popen[bytes] | None = None
    last = raised = ""
    is_read = threading.Event()
    try:
        process = _start(command, env)
        assert process.stdout is not None
        if is_cancelled():
            end_marked(env[MARK])
        threading.Thread(target=_end_rest, args=(process, env[MARK], is_read), name="mlsql-rest", daemon=True).start()
        for line in read_output(process.stdout.fileno(), env.get(EVENTS_VARIABLE)):
            last = line.text.strip() if line.level is not None else last
            if (found := _RAISED.match(line.text)) is not None:
                raised = found[1].strip()
            on_line(line)
        process.wait()
    finally:
        is_read.set()
        end_marked(env[MARK])
        if process is not None and process.stdout is not None:
            process.wait()
            process.stdout.close()
    if process.returncode != 0:
        reason = raised or last
        raise SparkSubmitFailed(
            f"{os.path.basename(command[0])} ended with exit code {process.returncode}{': ' + reason if reason else ''}"
        )


def _end_rest(process: subprocess.Popen[bytes], mark: str, is_read: threading.Event) -> None:
    """End the processes that hold the output of a spark-submit that is over, for whose end its reader would wait."""
    process.wait()
    if not is_read.wait(REST_SECONDS):
        end_marked(mark)


def _start(command: Sequence[str], env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for this process, which ends the job
        )
    except FileNotFoundError as error:
        raise InputError("there is no spark-submit; install pyspark, or set SPARK_HOME") from error
    except OSError as error:
        raise SparkSubmitFailed(f"{command[0]} cannot be run: {error}") from error
