"""Files that give properties and variables to every Spark application of this machine."""

from __future__ import annotations

import os
import re
from pathlib import Path

from mlsql_runtime.spark_versions import find_spark_home

DEFAULTS, VARIABLES = "spark-defaults.conf", "spark-env.sh"


def find_settings(name: str) -> Path | None:
    """Return the file with a name in the folder of Spark's configuration; None if there is none."""
    home = find_spark_home()
    folder = os.environ.get("SPARK_CONF_DIR") or (home and os.path.join(home, "conf"))
    file = Path(folder, name) if folder else None
    return file if file is not None and file.exists() else None


def is_set_by_default(name: str) -> bool:
    """Return whether a property is set for applications that do not set it themselves."""
    file = find_settings(DEFAULTS)
    text = "" if file is None else file.read_text(encoding="utf-8", errors="replace")
    return re.search(rf"^\s*{re.escape(name)}[\s=:]", text, re.MULTILINE) is not None
