"""Staging folders, where driver and executors of a job exchange files and its next attempt finds what is finished."""

from __future__ import annotations

import contextlib
import hashlib
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone

from mlsql_runtime.errors import InputError, JobFailed, PreflightFailed, ScriptFailed, StorageError
from mlsql_runtime.events import log
from mlsql_runtime.plan import SINGLE_ATTEMPT, Attempt
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout


@dataclass(frozen=True)
class Staging:
    """The staging folder of an attempt. ``earlier`` are the folders of interrupted attempts, removed when this one ends."""

    folder: Location
    earlier: tuple[Location, ...]

    def check(self) -> None:
        """Check that no later attempt has taken over, which it does if it believes this one dead.

        :raises JobFailed: when one has taken over.
        """
        if not (self.folder / layout.CLAIM).exists():
            raise JobFailed(f"another attempt of this job has taken over {self.folder.uri}; this one publishes nothing")


def is_final(error: Exception) -> bool:
    """Return whether a run failed because of its input or its script, so that a retry has nothing to resume.

    A failed preflight is not final: hosts can be repaired.
    """
    return isinstance(error, (InputError, ScriptFailed)) and not isinstance(error, PreflightFailed)


@contextlib.contextmanager
def open_staging(
    root: Location,
    job_id: str,
    purpose: str = "",
    attempt: Attempt = SINGLE_ATTEMPT,
    judge: Callable[[Exception], bool] = is_final,
) -> Iterator[Staging]:
    """Create a folder under the model path that driver and executors all see, and remove it at the end.

    A model path that did not exist before is removed too, if it holds no version.

    :param purpose: tells several folders of one job apart; the same in all attempts.
    :param attempt: if it is not the job's last one, an interruption leaves the folder to the next attempt.
    :param judge: returns whether an error is final, and not an interruption.
    """
    made_root = not root.exists()
    prefix = f"{_prefix(job_id)}{purpose[:8]}-"
    earlier = tuple(_take_over(root, prefix)) if attempt.is_retry else ()
    folder = root / layout.STAGING / f"{prefix}{uuid.uuid4().hex[:8]}"
    keep = False
    try:
        (folder / layout.CLAIM).write(datetime.now(timezone.utc).isoformat().encode())
        yield Staging(folder, earlier)
    except Exception as error:
        keep = not attempt.is_last and not judge(error)
        raise
    finally:
        if keep:
            log(f"the next attempt will resume from {folder.uri}")
        else:
            _remove_all((folder, *earlier))
            if made_root and not layout.list_claimed_versions(root):
                (root / layout.STAGING).remove_if_empty()
                root.remove_if_empty()


def remove_staging_folders(root: Location, job_id: str) -> None:
    """Remove the folders of a killed job, of which no process may be alive. A failure to remove is only logged."""
    _remove_all(tuple(_stagings(root, _prefix(job_id))))


def _take_over(root: Location, prefix: str) -> Iterator[Location]:
    """Take the claims away from the folders of earlier attempts: one that is still alive will publish nothing."""
    for folder in _stagings(root, prefix):
        (folder / layout.CLAIM).remove_file()
        yield folder


def _stagings(root: Location, prefix: str) -> Iterator[Location]:
    for name in (root / layout.STAGING).list_names():
        if name.startswith(prefix):
            yield root / layout.STAGING / name


def _remove_all(folders: tuple[Location, ...]) -> None:
    """Remove the progress files first, so that no attempt resumes from a folder that is half removed."""
    removals = [(folder / layout.PROGRESS).remove_file for folder in folders] + [folder.remove for folder in folders]
    for remove in removals:
        try:
            remove()
        except StorageError as error:  # not worth failing a job that may have published already
            log(error.message)


def _prefix(job_id: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "_", job_id)[:80] + f"-{hashlib.sha256(job_id.encode()).hexdigest()[:8]}-"
