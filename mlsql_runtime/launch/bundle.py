"""The runtime, with what scripts import, as files that spark-submit takes: a zip for ``--py-files`` and a script to start."""

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
    root = Path(mlsql_runtime.__file__).parents[1]
    archive = folder / "mlsql_runtime.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        for package in (mlsql_runtime.__name__, *mlsql_runtime.HELPERS):
            for file in sorted((root / package).rglob("*")):
                if file.is_file() and file.suffix != ".pyc":
                    target.write(file, file.relative_to(root))
    launcher = folder / "mlsql_job.py"
    launcher.write_text(_LAUNCHER, encoding="utf-8")
    return archive, launcher
