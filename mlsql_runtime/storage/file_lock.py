"""A lock on a file, between the processes of one machine."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from os import PathLike


class FileLock:
    """Closing the lock releases it, and so does the end of the process, however it ends.

    The file stays: removing it would let a third process lock a new file beside one that still holds the old one.

    :raises OSError: when the file cannot be opened or locked.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)  # for reading, too: NFS locks no file that is only written

    def acquire(self, shared: bool = False, on_wait: Callable[[], object] | None = None) -> None:
        """Wait for the lock. A lock that is held already is converted, during which another process may get it.

        :param on_wait: called before waiting, if another process holds the lock.
        """
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(self._file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if on_wait is not None:
                on_wait()
            fcntl.flock(self._file, kind)

    def try_acquire(self) -> bool:
        """Take the lock exclusively, unless another process holds it."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def __enter__(self) -> FileLock:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)
