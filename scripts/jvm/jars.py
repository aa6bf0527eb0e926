"""Jars from Maven Central, fetched once into ``.work`` by the Ivy that is among Spark's jars."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

HERE = Path(__file__).parent
WORK = HERE.parents[1] / ".work"
_TITLES = {
    "kafka": "Apache Kafka (about 40 MB)",
    "delta": "Delta Lake (about 10 MB)",
    "iceberg": "Iceberg (about 50 MB)",
    "hadoop": "Hadoop (about 70 MB)",
    "s3a": "Hadoop's S3A (about 16 MB)",
}


def fetch_jars(name: str) -> Path:
    """Return the folder of the jars that ``<name>.xml`` beside this file asks for."""
    import pyspark

    request = HERE / f"{name}.xml"
    wanted = WORK / f"{name}-{uuid.uuid5(uuid.NAMESPACE_OID, request.read_text()).hex[:12]}"
    if wanted.exists():
        return wanted
    print(f"setup: fetching {_TITLES[name]}", file=sys.stderr)
    ivy = next(Path(pyspark.__file__).parent.glob("jars/ivy-*.jar"))
    WORK.mkdir(exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=WORK))
    pattern = f"{partial}/[artifact]-[revision].[ext]"
    command = [find_java_tool("java"), "-jar", ivy, "-warn", "-ivy", request, "-confs", "default", "-retrieve", pattern]
    done = subprocess.run(list(map(str, command)), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode or not list(partial.glob("*.jar")):
        shutil.rmtree(partial)
        raise SystemExit(
            f"setup: {_TITLES[name]} could not be fetched from Maven Central:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )
    with contextlib.suppress(OSError):  # another process was first
        partial.rename(wanted)
    shutil.rmtree(partial, ignore_errors=True)
    return wanted


def find_java_tool(name: str) -> str:
    """Return the path of a program of the Java that the environment names, or else its name."""
    home = os.environ.get("JAVA_HOME")
    return f"{home}/bin/{name}" if home else name
