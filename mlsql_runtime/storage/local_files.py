"""How files on local disks, and on file systems that are mounted like one, are created, replaced and linked."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MISSING = (FileNotFoundError, NotADirectoryError)  # after any other error of a look, a file may exist


def exists(path: str) -> bool:
    """Return whether there is something at a path. Unlike os.path.exists, raise the error of a disk that cannot say."""
    try:
        os.stat(path)
    except OSError as error:
        if isinstance(error, MISSING) or error.errno == errno.ENAMETOOLONG:  # nothing can have such a name
            return False
        raise
    return True


def find_files(path: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield each file below a folder, or the file itself, with its size and times. Unlike os.walk, raise every error."""

    def check(error: OSError) -> None:
        if not isinstance(error, MISSING):
            raise error

    if os.path.isfile(path):
        yield path, os.stat(path)
    for folder, folders, files in os.walk(path, onerror=check):
        below = [os.path.join(folder, name) for name in folders]
        for file in [os.path.join(folder, name) for name in files] + [path for path in below if os.path.islink(path)]:
            with contextlib.suppress(FileNotFoundError):  # it was removed meanwhile
                yield file, os.stat(file)


def create_file(fs: Any, path: str, data: bytes) -> None:
    """Write a file that must not exist.

    :raises FileExistsError: when it exists.
    """
    with open(path, "xb") as stream:
        stream.write(data)


def replace_file(fs: Any, path: str, data: bytes) -> None:
    """Write a file beside, and rename it."""
    staged = f"{path}.{uuid.uuid4().hex}.tmp"
    try:
        with open(staged, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(staged, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(staged)


def write_private(fs: Any, path: str, data: bytes) -> None:
    """Write a file that only its owner may read, in a folder of which that is true too."""
    Path(path).parent.chmod(0o700)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
        stream.write(data)


def link_or_copy(source: str, target: Path) -> None:
    """Create a hard link, or a copy across disks and where links are refused."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
