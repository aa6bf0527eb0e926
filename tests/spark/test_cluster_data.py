"""What executors of a standalone cluster do with a table in remote storage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

from support.cluster import Cluster
from support.waiting import wait_until

from mlsql_runtime.storage.location import Location

GROUPS = 6
APPLICATION = f"""
import json, os, sys, tempfile
from pathlib import Path
from pyspark.sql import SparkSession
from mlsql_runtime.feed.files.node_copy import application_dir, bring_files
from mlsql_runtime.storage.location import Location

master, uri = sys.argv[1:]

def group(_):
    folder = Path(tempfile.mkdtemp(dir=application_dir()))
    bring_files(Location.of(uri), folder, is_kept=False)
    file = folder / "part-0.json"
    yield file.read_text(), file.stat().st_ino, str(application_dir())

builder = SparkSession.builder.master(master).config("spark.ui.enabled", "false").config("spark.executor.memory", "600m")
for name, value in os.environ.items():
    if name.startswith("AWS_"):
        builder = builder.config("spark.executorEnv." + name, value)
spark = builder.getOrCreate()
print(json.dumps(spark.sparkContext.parallelize(range({GROUPS}), {GROUPS}).mapPartitions(group).collect()))
spark.stop()
"""


def test_a_node_brings_a_table_once_and_keeps_nothing_after_the_application(
    s3_server: str, cluster: Cluster, tmp_path: Path
) -> None:
    table = Location.of(f"{s3_server}/{uuid.uuid4().hex}/data")
    (table / "part-0.json").write(b"rows")
    program = tmp_path / "application.py"
    program.write_text(APPLICATION)
    env = {**os.environ, "SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(program), cluster.url, table.uri]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr
    texts, inodes, folders = zip(*json.loads(done.stdout), strict=True)
    assert texts == ("rows",) * GROUPS
    assert len(set(zip(folders, inodes, strict=True))) == len(set(folders)) <= 2  # one file on each host
    wait_until(lambda: not any(Path(folder).exists() for folder in folders), "the workers to remove the application's folders")
