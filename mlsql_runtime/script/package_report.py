"""The packages that a script imported, for the record of its model: written when it ends, unless a signal ends it.

Standard library only, and quick: ``importlib.metadata.packages_distributions`` reads the files of every installed package, which
takes 60 times as long where Airflow is installed, and does not tell which part of a namespace package was imported.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from mlsql_runtime import __version__, codec

OWN_NAME = "airflow-provider-mlsql"
_INFO = re.compile(r"(?P<name>.+?)-(?P<version>\d[^-]*)(-.+)?\.(dist|egg)-info")


def report_packages_at_exit(path: str) -> None:
    """Write :func:`imported_packages` to a JSON file when this process ends; its children write nothing."""
    process = os.getpid()

    def write() -> None:
        multiprocessing = sys.modules.get("multiprocessing")
        if os.getpid() != process or (multiprocessing and multiprocessing.parent_process() is not None):
            return
        with contextlib.suppress(Exception):  # a script that has done its work must not fail because of this list
            text = json.dumps(imported_packages())
            Path(f"{path}.new").write_text(text, encoding="utf-8")
            os.replace(f"{path}.new", path)

    atexit.register(write)


def read_package_report(path: Path) -> Mapping[str, str]:
    """Return the packages that a script reported; none when it was killed, or never imported ``mlsql``."""
    return codec.read_or_none(dict[str, str], path) or {}


def imported_packages() -> dict[str, str]:
    """Return the versions of ``python`` and of the distributions of this process's modules, by normalised name."""
    import platform  # at the end of a script, not at its beginning

    found = {OWN_NAME: __version__}
    for folder, files in _imported_files().items():
        found.update(_distributions(folder, files))
    return {"python": platform.python_version(), **dict(sorted(found.items()))}


def _imported_files() -> dict[str, dict[str, str]]:
    """Return the outermost modules that have a file, by folder and name, with the file's path below the folder.

    Of a namespace package, which has no file and may belong to several distributions, these are the modules inside it.
    """
    found: dict[str, dict[str, str]] = defaultdict(dict)
    files = {name: file for name, module in list(sys.modules.items()) if isinstance(file := _file_of(module), str)}
    for name, file in files.items():
        parts = name.split(".")
        is_inner = any(".".join(parts[:at]) in files for at in range(1, len(parts)))
        if is_inner or parts[0] in sys.stdlib_module_names or name.startswith("_"):  # such as _cython, a part of others
            continue
        below = Path(file).parts[-len(parts) - (Path(file).stem == "__init__") :]
        folder = str(Path(*Path(file).parts[: -len(below)]))
        found[folder][name] = "/".join(below)
    return found


def _file_of(module: object) -> object:
    try:
        return getattr(module, "__file__", None)
    except Exception:  # a module may be any object, and raise any error
        return None


def _distributions(folder: str, files: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield names and versions of the distributions in a folder that contain one of the files."""
    try:
        matches = [match for name in os.listdir(folder) if (match := _INFO.fullmatch(name))]
    except OSError:  # a zip, which contains none
        return
    missing = dict(files)
    by_name = {_normalised(match["name"]): match for match in matches}
    for module in list(missing):  # most distributions have the name of their module
        if match := by_name.pop(_normalised(module), None):
            del missing[module]
            yield _normalised(match["name"]), match["version"]
    for name, match in by_name.items():
        if not missing:
            return
        record = _record(Path(folder) / match.string)
        held = [module for module, file in missing.items() if f"\n{file}".encode() in record]
        for module in held:
            del missing[module]
        if held:
            yield name, match["version"]


def _record(info: Path) -> bytes:
    """Return the list of a distribution's files, each after a line end."""
    for name in ("RECORD", "installed-files.txt"):
        with contextlib.suppress(OSError):
            return b"\n" + (info / name).read_bytes().replace(b"../", b"")
    return b""


def _normalised(name: str) -> str:
    """Return a name in the form in which package indexes compare names."""
    return re.sub(r"[-_.]+", "-", name).lower()
