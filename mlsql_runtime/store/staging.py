"""Folders where driver and executors of one job exchange files, and what earlier attempts of the job left in theirs."""

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
    """An attempt's own ``folder``. ``earlier`` are those of attempts that were interrupted; they go when this one ends."""

    folder: Location
    earlier: tuple[Location, ...]

    def check(self) -> None:
        """That no later attempt of the job has taken over, as it does when this one is thought dead.

        :raises JobFailed: when one has.
        """
        if not (self.folder / layout.CLAIM).exists():
            raise JobFailed(f"another attempt of this job has taken over {self.folder.uri}; this one publishes nothing")


def is_final(error: Exception) -> bool:
    """Whether an error is bad input or a script's own failure, and no interruption. Hosts can be mended."""
    return isinstance(error, (InputError, ScriptFailed)) and not isinstance(error, PreflightFailed)


@contextlib.contextmanager
def open_staging(
    root: Location,
    job_id: str,
    purpose: str = "",
    attempt: Attempt = SINGLE_ATTEMPT,
    ends: Callable[[Exception], bool] = is_final,
) -> Iterator[Staging]:
    """A folder under the model path that driver and executors all see, gone at the end; so is the path if it is still new.

    :param purpose: what tells several folders of one job apart, the same in all its attempts.
    :param attempt: if another one may come, what was interrupted stays for it.
    :param ends: whether an error is no interruption.
    """
    made_root = not root.exists()
    prefix = f"{_prefix(job_id)}{purpose[:8]}-"
    earlier = tuple(_take_over(root, prefix)) if attempt.earlier_since is not None else ()
    folder = root / layout.STAGING / f"{prefix}{uuid.uuid4().hex[:8]}"
    keep = False
    try:
        (folder / layout.CLAIM).write(datetime.now(timezone.utc).isoformat().encode())
        yield Staging(folder, earlier)
    except Exception as error:
        keep = not attempt.is_last and not ends(error)
        raise
    finally:
        if keep:
            log(f"what is finished stays in {folder.uri} for the next attempt")
        else:
            _remove_all((folder, *earlier))
            if made_root and not layout.list_claimed_versions(root):
                (root / layout.STAGING).remove_if_empty()
                root.remove_if_empty()


def remove_staging_folders(root: Location, job_id: str) -> None:
    """Remove what a killed job left; only when no process of it is alive. That it fails is told."""
    _remove_all(tuple(_stagings(root, _prefix(job_id))))


def _take_over(root: Location, prefix: str) -> Iterator[Location]:
    """The folders of earlier attempts; should one be alive still, it will publish nothing."""
    for folder in _stagings(root, prefix):
        (folder / layout.CLAIM).remove_file()
        yield folder


def _stagings(root: Location, prefix: str) -> Iterator[Location]:
    for name in (root / layout.STAGING).list_names():
        if name.startswith(prefix):
            yield root / layout.STAGING / name


def _remove_all(folders: tuple[Location, ...]) -> None:
    """First what says that there is something to go on from: folders that are half removed count for nothing."""
    removals = [(folder / layout.PROGRESS).remove_file for folder in folders] + [folder.remove for folder in folders]
    for remove in removals:
        try:
            remove()
        except StorageError as error:  # not worth failing a job that may have published already
            log(error.message)


def _prefix(job_id: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "_", job_id)[:80] + f"-{hashlib.sha256(job_id.encode()).hexdigest()[:8]}-"
