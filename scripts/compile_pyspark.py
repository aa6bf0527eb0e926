"""Put bytecode beside the modules in the zip of the installed PySpark.

spark-submit and Spark's Python workers import PySpark from this zip, and would compile its modules in every process.
"""

import sys
import zipfile
from pathlib import Path

from mlsql_runtime.submission.runtime_zip import read_bytecode


def main(package: Path) -> None:
    """Write the zip of a PySpark package again, with the bytecode of those modules that are the same in the package."""
    archive = package / "python" / "lib" / "pyspark.zip"
    made = archive.with_suffix(".new")
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as target:
        for name in source.namelist():
            content, module = source.read(name), package.parent / name
            if name.endswith(".pyc"):
                continue
            target.writestr(name, content)
            if name.endswith(".py") and module.is_file() and module.read_bytes() == content:
                target.writestr(f"{name}c", read_bytecode(module))
    made.replace(archive)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
