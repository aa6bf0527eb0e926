"""The runtime as files that spark-submit takes: a zip for ``--py-files`` and a script that starts the application."""

from __future__ import annotations

import zipfile
from pathlib import Path

import mlsql_runtime

_LAUNCHER = """import sys

from mlsql_runtime.app import main

sys.exit(main())
"""


def write_bundle(folder: Path) -> tuple[Path, Path]:
    """Write both into ``folder``; returns (zip, launcher)."""
    package = Path(mlsql_runtime.__file__).parent
    archive = folder / "mlsql_runtime.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        for file in sorted(package.rglob("*")):
            if file.is_file() and file.suffix != ".pyc":
                target.write(file, file.relative_to(package.parent))
    launcher = folder / "mlsql_job.py"
    launcher.write_text(_LAUNCHER, encoding="utf-8")
    return archive, launcher
