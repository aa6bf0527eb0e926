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
    """Return the folder of the jars that ``<name>.xml`` beside this file asks for.

    ``@spark@`` stands there for the release of the PySpark that is installed, ``@hadoop@`` for the version of its Hadoop.
    """
    import pyspark

    spark_jars = Path(pyspark.__file__).parent / "jars"
    (hadoop,) = spark_jars.glob("hadoop-client-api-*.jar")
    versions = {"@spark@": ".".join(pyspark.__version__.split(".")[:2]), "@hadoop@": hadoop.stem.rpartition("-")[2]}
    text = (HERE / f"{name}.xml").read_text()
    for mark, version in versions.items():
        text = text.replace(mark, version)
    wanted = WORK / f"{name}-{uuid.uuid5(uuid.NAMESPACE_OID, text).hex[:12]}"
    if wanted.exists():
        return wanted
    print(f"setup: fetching {_TITLES[name]}", file=sys.stderr)
    ivy = next(spark_jars.glob("ivy-*.jar"))
    WORK.mkdir(exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=WORK))
    request = partial / "request.xml"
    request.write_text(text)
    pattern = f"{partial}/[artifact]-[revision].[ext]"
    command = [find_java_tool("java"), "-jar", ivy, "-warn", "-ivy", request, "-confs", "default", "-retrieve", pattern]
    done = subprocess.run(list(map(str, command)), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode or not list(partial.glob("*.jar")):
        shutil.rmtree(partial)
        raise SystemExit(
            f"setup: {_TITLES[name]} could not be fetched from Maven Central:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )
    request.unlink()
    with contextlib.suppress(OSError):  # another process was first
        partial.rename(wanted)
    shutil.rmtree(partial, ignore_errors=True)
    return wanted


def find_java_tool(name: str) -> str:
    """Return the path of a program of the Java that the environment names, or else its name."""
    home = os.environ.get("JAVA_HOME")
    return f"{home}/bin/{name}" if home else name
