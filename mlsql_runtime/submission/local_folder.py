"""The folder of an attempt on the submitter's machine, with all that its processes write there, also what Java does by itself.

Its name begins with the attempt's mark, by which a retry finds the folder of an attempt whose submitter was killed.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlsql_runtime.submission import JOB_FOLDER_PREFIX
from mlsql_runtime.submission.processes import has_submitter, mark_prefix


@contextmanager
def local_folder(mark: str) -> Iterator[Path]:
    """Make the folder of an attempt, below ``TMPDIR``, and remove it after the block."""
    submitter, _, _ = mark.rpartition(".")
    with tempfile.TemporaryDirectory(prefix=f"{JOB_FOLDER_PREFIX}{submitter}.") as name:
        yield Path(name)


def remove_orphaned_folders(job_id: str) -> None:
    """Remove the folders of earlier attempts of a job whose submitters are gone. Their processes have to be ended before."""
    for folder in Path(tempfile.gettempdir()).glob(f"{JOB_FOLDER_PREFIX}{mark_prefix(job_id)}*"):
        if not has_submitter(folder.name.removeprefix(JOB_FOLDER_PREFIX)):
            shutil.rmtree(folder, ignore_errors=True)
