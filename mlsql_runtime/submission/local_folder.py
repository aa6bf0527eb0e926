"""The folder of an attempt on the submitter's machine: its files, and the temporary files of its JVM.

Its name begins with the attempt's mark. A retry finds by it the folder of an attempt whose submitter was killed.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlsql_runtime.submission import JOB_FOLDER_PREFIX
from mlsql_runtime.submission.processes import end_orphans, has_submitter, mark_prefix

_log = logging.getLogger(__name__)


@contextmanager
def local_folder(mark: str) -> Iterator[Path]:
    """Make the folder of an attempt, below ``TMPDIR``, and remove it after the block."""
    submitter, _, _ = mark.rpartition(".")
    with tempfile.TemporaryDirectory(prefix=f"{JOB_FOLDER_PREFIX}{submitter}.") as name:
        yield Path(name)


def clean_up_orphans(job_id: str) -> None:
    """End the processes of earlier attempts of a job whose submitters are gone, and remove their folders."""
    if ended := end_orphans(job_id):
        _log.info("Ended %d processes of an earlier attempt", ended)
    for folder in Path(tempfile.gettempdir()).glob(f"{JOB_FOLDER_PREFIX}{mark_prefix(job_id)}*"):
        if not has_submitter(folder.name.removeprefix(JOB_FOLDER_PREFIX)):
            shutil.rmtree(folder, ignore_errors=True)
