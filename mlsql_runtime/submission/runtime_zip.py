"""The runtime and what scripts import, as files: a zip for ``--py-files`` of spark-submit, and the launcher of the driver."""

from __future__ import annotations

import importlib.util
import marshal
import zipfile
from importlib.machinery import SourceFileLoader
from pathlib import Path

import mlsql_runtime

_LAUNCHER = """import sys

if __name__ == "__main__":  # else it is a process that the driver has started
    sys.path += {paths}
    from mlsql_runtime.app import main

    sys.exit(main())
"""


def write_runtime(folder: Path) -> tuple[Path, Path]:
    """Write the zip and the launcher of an application into ``folder``, and return their paths.

    The zip has bytecode beside each module. Python stores none for modules in a zip, so every process of the job would compile
    them again. A Python of another version ignores the bytecode.
    """
    root = find_root()
    archive = folder / "mlsql_runtime.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as target:
        for package in (mlsql_runtime.__name__, *mlsql_runtime.HELPERS):
            for file in sorted((root / package).rglob("*")):
                if file.is_file() and file.suffix != ".pyc":
                    name = file.relative_to(root).as_posix()
                    target.write(file, name)
                    if file.suffix == ".py":
                        target.writestr(f"{name}c", read_bytecode(file))
    return archive, write_launcher(folder)


def write_launcher(folder: Path, *paths: Path) -> Path:
    """Write the launcher into ``folder``, and return its path.

    :param paths: where the driver finds packages that its Python does not find by itself.
    """
    launcher = folder / "mlsql_job.py"
    launcher.write_text(_LAUNCHER.format(paths=[str(path) for path in paths]), encoding="utf-8")
    return launcher


def find_root() -> Path:
    """Return the folder of this runtime's packages."""
    return Path(mlsql_runtime.__file__).parents[1]


def read_bytecode(module: Path) -> bytes:
    """Return a module's bytecode for a zip.

    Of the forms of PEP 552, it is the one with a digest of the source: a zip rounds times.
    """
    code = SourceFileLoader(module.stem, str(module)).get_code(module.stem)  # from __pycache__, where that is current
    unchecked = (0b01).to_bytes(4, "little")
    return importlib.util.MAGIC_NUMBER + unchecked + importlib.util.source_hash(module.read_bytes()) + marshal.dumps(code)
