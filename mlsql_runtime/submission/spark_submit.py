"""spark-submit as a child process, without Airflow."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable

from mlsql_runtime.errors import InputError
from mlsql_runtime.submission.client_mode import Submission
from mlsql_runtime.submission.log_filter import choose_level


class SparkSubmit:
    """Runs spark-submit for :class:`~mlsql_runtime.submission.client_mode.Job`.

    :param on_line: called with the level (as of ``logging``) and the text of each line worth reading, as it comes.
    """

    def __init__(self, master: str, on_line: Callable[[int, str], None]) -> None:
        self._master, self._on_line = master, on_line
        self._process: subprocess.Popen[str] | None = None

    def submit(self, submission: Submission) -> None:
        command = shutil.which("spark-submit", path=submission.env.get("PATH"))
        if command is None:
            raise InputError("there is no spark-submit; install pyspark, or set SPARK_HOME")
        conf = [argument for key, value in submission.conf.items() for argument in ("--conf", f"{key}={value}")]
        files = ["--name", submission.name, "--py-files", submission.py_files, submission.application]
        self._process = subprocess.Popen(
            [command, "--master", self._master, *conf, *files, *submission.arguments],
            env=dict(submission.env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # Ctrl-C is for this process, which ends the job
        )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            text = line.rstrip("\r\n")
            level = choose_level(text.strip())
            if level is not None:
                self._on_line(level, text)
        if self._process.wait():
            raise RuntimeError(f"spark-submit ended with exit code {self._process.returncode}")

    def close(self) -> None:
        if self._process is not None:
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
