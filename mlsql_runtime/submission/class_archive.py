"""Spark's classes in files, with which the JVMs of a job start in about half the time: Java's class data sharing.

``mlsql share-classes`` writes them once for an installation of Java and Spark; jobs whose driver is started here use them if they
are there. Java itself passes over a file that does not fit its class path.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from mlsql_runtime.errors import InputError, JobFailed
from mlsql_runtime.submission.processes import new_mark
from mlsql_runtime.submission.spark_submit import build_environment

SETTING = "spark.mlsql.shareClasses"  # false: do not use the files
_DRIVER = ("SPARK_SUBMIT_OPTS", "spark.jsa")  # the variable with options of a JVM, and the file with its classes
_LAUNCHER = ("SPARK_LAUNCHER_OPTS", "launcher.jsa")  # of the JVM that makes spark-submit's command
_OF_SHARING = ("-Xshare", "-XX:SharedArchiveFile", "-XX:ArchiveClassesAtExit", "-XX:AOT")  # the user has decided already
_JOB = Path(__file__).with_name("class_archive_job.py")
_SILENT = "-Xlog:cds=off -Xlog:cds+dynamic=off"


def use_archives(env: dict[str, str], conf: Mapping[str, str]) -> None:
    """Add options of Java to the environment of spark-submit, if there are files for its installation.

    :param conf: the Spark properties of the job.
    """
    if conf.get(SETTING, "true").lower() == "false":
        return
    with contextlib.suppress(OSError, RuntimeError):  # a user without a home
        folder = find_folder(env)
        if folder is None or " " in str(folder):  # options of Java are separated by spaces
            return
        owner = folder.stat()
        if owner.st_uid != os.getuid() or owner.st_mode & 0o022:  # somebody else could put classes into it
            return
        for variable, name in (_DRIVER, _LAUNCHER):
            given = env.get(variable, "")
            if (folder / name).exists() and not any(option in given for option in _OF_SHARING):
                env[variable] = f"{given} -XX:SharedArchiveFile={folder / name} {_SILENT}".strip()


def find_folder(env: Mapping[str, str]) -> Path | None:
    """Return the folder in the user's cache for the Java and the Spark of an environment; None if they are not to be seen.

    :raises OSError: when their files cannot be read.
    """
    java = shutil.which("java", path=f"{env['JAVA_HOME']}/bin" if env.get("JAVA_HOME") else env.get("PATH"))
    home = env.get("SPARK_HOME")
    if java is None or home is None:
        return None
    release = (Path(java).resolve().parents[1] / "release").read_text(encoding="utf-8")
    jars = sorted((entry.name, entry.stat().st_size, entry.stat().st_mtime_ns) for entry in os.scandir(f"{home}/jars"))
    installation = hashlib.sha256(repr((release, home, env.get("SPARK_CONF_DIR"), jars)).encode()).hexdigest()[:16]
    return Path(env.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mlsql" / f"classes-{installation}"


def write_archives(folder: Path | None = None) -> Path:
    """Run a small job of Spark, and write the classes that its JVMs have loaded. Files that exist are replaced.

    :param folder: where to; by default the one in the user's cache where jobs find them.
    :raises InputError: when there is no Java or no Spark.
    :raises JobFailed: when Spark does not run, or this Java writes no such files.
    """
    env = build_environment(new_mark("share-classes"))
    folder = folder or find_folder(env)
    if folder is None or "SPARK_HOME" not in env:
        raise InputError("there is no Java, or no Spark; mlsql doctor says what is missing")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mlsql-share-classes-") as name:
        own = {"SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable, "PYTHONHASHSEED": "0"}
        job = ["--master", "local[2]", "--conf", "spark.ui.enabled=false", "--conf", f"spark.sql.warehouse.dir={name}"]
        for (variable, target), arguments in ((_DRIVER, [*job, str(_JOB), name]), (_LAUNCHER, ["--version"])):
            written = Path(name) / target
            options = {_DRIVER[0]: "", _LAUNCHER[0]: "", variable: f"-XX:ArchiveClassesAtExit={written} {_SILENT}"}
            _run(["spark-submit", *arguments], {**env, **own, **options})
            if not written.exists():
                raise JobFailed("this Java has written no file of classes; use one of OpenJDK, 17 or newer")
            part = folder / f"{target}.{os.getpid()}"
            shutil.move(written, part)
            part.replace(folder / target)
    return folder


def _run(command: list[str], env: Mapping[str, str]) -> None:
    done = subprocess.run(
        command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise JobFailed(f"Spark does not run: {last}; mlsql doctor may say why")
