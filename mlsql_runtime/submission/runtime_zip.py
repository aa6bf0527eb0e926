"""The runtime and what scripts import, as files for spark-submit: a zip for ``--py-files`` and a launcher."""

from __future__ import annotations

import importlib.util
import marshal
import zipfile
from importlib.machinery import SourceFileLoader
from pathlib import Path

import mlsql_runtime

_LAUNCHER = """import sys

from mlsql_runtime.app import main

sys.exit(main())
"""


def write_runtime(folder: Path) -> tuple[Path, Path]:
    """Write the zip and the launcher into ``folder``, and return their paths.

    The zip has bytecode beside each module. Python stores none for modules in a zip, so every process of the job would compile
    them again. A Python of another version ignores the bytecode.
    """
    root = Path(mlsql_runtime.__file__).parents[1]
    archive = folder / "mlsql_runtime.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as target:
        for package in (mlsql_runtime.__name__, *mlsql_runtime.HELPERS):
            for file in sorted((root / package).rglob("*")):
                if file.is_file() and file.suffix != ".pyc":
                    name = file.relative_to(root).as_posix()
                    target.write(file, name)
                    if file.suffix == ".py":
                        target.writestr(f"{name}c", read_bytecode(file))
    launcher = folder / "mlsql_job.py"
    launcher.write_text(_LAUNCHER, encoding="utf-8")
    return archive, launcher


def read_bytecode(module: Path) -> bytes:
    """Return a module's bytecode for a zip.

    Of the forms of PEP 552, it is the one with a digest of the source: a zip rounds times.
    """
    code = SourceFileLoader(module.stem, str(module)).get_code(module.stem)  # from __pycache__, where that is current
    unchecked = (0b01).to_bytes(4, "little")
    return importlib.util.MAGIC_NUMBER + unchecked + importlib.util.source_hash(module.read_bytes()) + marshal.dumps(code)
