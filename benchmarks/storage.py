"""What the looks at a model path with 10,000 versions cost on HDFS, beside the same looks at local files.

``make bench`` runs it and writes ``benchmarks/results/storage.md``. It starts a NameNode and a DataNode of its own. The
NameNode counts the requests; a heartbeat of the DataNode in each second is among them.
"""

from __future__ import annotations

import json
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from measure import Timed, interleaved, machine, table
from trained import manifest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts" / "jvm"))

from hadoop import Hdfs, HdfsProcesses  # noqa: E402

from mlsql_runtime import codec  # noqa: E402
from mlsql_runtime.storage.location import Location  # noqa: E402
from mlsql_runtime.store import layout  # noqa: E402
from mlsql_runtime.store.summary import summarize  # noqa: E402
from mlsql_runtime.store.versions import open_store, read_manifest, read_states  # noqa: E402

RESULTS = Path(__file__).parent / "results" / "storage.md"
VERSIONS = 10_000
WRITERS = 64  # a small file is half a second of waiting on HDFS
ROUNDS = 3


def find_best(root: Location) -> object:
    """Read every manifest, and return the number of the version with the best score."""
    return max(summarize(open_store(root.uri)).versions, key=lambda each: (each.score or 0, each.version)).version


LOOKS: Mapping[str, Callable[[Location], object]] = {
    "the numbers of the versions": layout.list_claimed_versions,
    "the newest version": read_manifest,
    "the state of every version": read_states,
    "the best version, from all manifests": find_best,
}


def fill(root: Location) -> None:
    """Write the manifests of all versions."""

    def write(number: int) -> None:
        (root / layout.version_file(number, layout.MANIFEST)).write(codec.dumps(manifest(number)).encode())

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, range(1, VERSIONS + 1)))


def count_requests(hdfs: Hdfs) -> int:
    """Return how many requests the NameNode has responded to."""
    url = f"http://127.0.0.1:{hdfs.web_port}/jmx?qry=Hadoop:service=NameNode,name=RpcActivityForPort{hdfs.port}"
    with urllib.request.urlopen(url, timeout=10) as response:
        return int(json.load(response)["beans"][0]["RpcProcessingTimeNumOps"])


def measure(hdfs: Hdfs, folder: Path) -> tuple[Mapping[str, Timed], Mapping[str, Timed], Mapping[str, int]]:
    """Return the times on disk and on HDFS, and the requests of one look."""
    disk, remote = Location.of(str(folder / "models")), Location.of(f"{hdfs.uri}/models")
    fill(disk)
    fill(remote)
    requests = {}
    for name, look in LOOKS.items():
        before = count_requests(hdfs)
        look(remote)
        requests[name] = count_requests(hdfs) - before
    return interleaved(LOOKS, lambda: disk, ROUNDS), interleaved(LOOKS, lambda: remote, ROUNDS), requests


def main() -> None:
    """Measure, and write the results."""
    with tempfile.TemporaryDirectory(prefix="mlsql-storage-") as name, HdfsProcesses(Path(name) / "hdfs") as processes:
        disk, remote, requests = measure(processes.hdfs, Path(name))
    rows = [
        [
            look,
            f"{disk[look].median * 1e3:,.1f} ms",
            f"{remote[look].median * 1e3:,.1f} ms",
            f"{remote[look].median / disk[look].median:,.1f}",
            f"{requests[look]:,}",
            f"{remote[look].median / requests[look] * 1e6:,.0f} µs",
        ]
        for look in LOOKS
    ]
    header = ["look", "local disk", "HDFS", "HDFS / disk", "requests to the NameNode", "time per request"]
    text = f"""# Storage

`make bench` wrote this: {machine("hdfs-native", "fsspec")}; NameNode and DataNode on the same machine.
Medians of {ROUNDS} rounds on a model path with {VERSIONS:,} versions.

{table(header, rows)}
A manifest is a request to the NameNode, and one to the DataNode. Of many files, 16 are looked at or read at once.
"""
    RESULTS.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
