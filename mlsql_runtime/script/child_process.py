"""Start a command with a supervisor around it, which ends all that it started, whatever happens to this process."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

import mlsql_runtime

PACKAGE = Path(mlsql_runtime.__file__).absolute().parent  # in a folder, or in the zip that Spark shipped

# Not ``-m``: that would look for modules beside the script first, and one of them may be called signal.py.
SUPERVISE = """
import sys
sys.path[:] = [folder for folder in sys.path if folder]
from mlsql_runtime.script.supervisor import main
sys.exit(main(sys.argv[1:]))
"""


@contextlib.contextmanager
def run_supervised(
    command: Sequence[str], status_file: Path, timeout: float | None, folder: Path, env: Mapping[str, str]
) -> Iterator[IO[bytes]]:
    """What the command prints, errors too, as it comes. No process of it is left at the end of the block.

    :param status_file: where its supervisor says how it ended; missing when that was killed, or could not start it.
    :param timeout: seconds after which it is ended; None for never.
    :param folder: its working directory.
    :param env: with a PYTHONPATH on which the runtime is.
    """
    supervisor = [sys.executable, "-S", "-c", SUPERVISE, str(status_file), str(timeout or 0)]
    child = subprocess.Popen(
        [*supervisor, *command],
        cwd=folder,
        env=env,
        stdin=subprocess.PIPE,  # stays open as long as this process lives: the supervisor's sign of life
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert child.stdout is not None
    assert child.stdin is not None
    try:
        yield child.stdout
    finally:
        child.stdin.close()  # on an exception, the supervisor ends the command
        child.stdout.close()
        child.wait()
