"""What the looks at a model path with 10,000 versions cost on HDFS, beside the same looks at local files.

``make bench`` runs it and writes ``benchmarks/results/storage.md``. It starts a NameNode and two DataNodes of its own.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import timeit
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from measure import machine, table
from trained import manifest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts" / "jvm"))

from hadoop import HdfsProcesses  # noqa: E402

from mlsql_runtime import codec  # noqa: E402
from mlsql_runtime.storage.location import Location  # noqa: E402
from mlsql_runtime.store import layout  # noqa: E402
from mlsql_runtime.store.summary import summarize  # noqa: E402
from mlsql_runtime.store.versions import open_store, read_manifest, read_states  # noqa: E402

RESULTS = Path(__file__).parent / "results" / "storage.md"
VERSIONS = 10_000
WRITERS = 32
ROUNDS = 2


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


class CountingClient:
    """A client of hdfs-native that counts its requests. Folders are listed a thousand entries at a time."""

    def __init__(self, client: Any) -> None:
        self._client, self.requests = client, 0

    def __getattr__(self, name: str) -> Any:
        self.requests += 1
        return getattr(self._client, name)

    def list_status(self, path: str) -> list[Any]:
        found = list(self._client.list_status(path))
        self.requests += 1 + len(found) // 1000
        return found


def time_looks(root: Location) -> dict[str, float]:
    """Return the median seconds of each look, after one that is not timed."""
    taken = {}
    for name, look in LOOKS.items():
        look(root)
        taken[name] = statistics.median(timeit.repeat(lambda look=look: look(root), number=1, repeat=ROUNDS))
    return taken


def count_requests(root: Location) -> dict[str, int]:
    """Return the requests of each look."""
    client = root.fs.client
    counted = {}
    for name, look in LOOKS.items():
        root.fs.client = CountingClient(client)
        look(root)
        counted[name] = root.fs.client.requests
    root.fs.client = client
    return counted


def main() -> None:
    """Measure, and write the results."""
    with tempfile.TemporaryDirectory(prefix="mlsql-storage-") as name, HdfsProcesses(Path(name) / "hdfs") as processes:
        disk, hdfs = Location.of(f"{name}/models"), Location.of(f"{processes.hdfs.uri}/models")
        fill(disk)
        fill(hdfs)
        on_disk, on_hdfs, requests = time_looks(disk), time_looks(hdfs), count_requests(hdfs)
    rows = [
        [
            look,
            f"{on_disk[look] * 1e3:,.1f} ms",
            f"{on_hdfs[look] * 1e3:,.1f} ms",
            f"{on_hdfs[look] / on_disk[look]:,.1f}",
            f"{requests[look]:,}",
            f"{on_disk[look] / requests[look] * 1e6:,.0f} µs",
            f"{on_hdfs[look] / requests[look] * 1e6:,.0f} µs",
        ]
        for look in LOOKS
    ]
    header = ["look", "local disk", "HDFS", "HDFS / disk", "requests", "disk, per request", "HDFS, per request"]
    text = f"""# Storage

`make bench` wrote this: {machine("hdfs-native", "fsspec")}; NameNode and two DataNodes on the same machine.
Medians of {ROUNDS} times on a model path with {VERSIONS:,} versions.

{table(header, rows)}
Requests are those to the NameNode; a manifest is one to a DataNode, too. Of many files, 16 are looked at or read at once.
Listing a folder and reading a manifest take one to a little more than three times as long as on the disk. To ask whether a
file exists takes longer by an order of magnitude, because on the disk that is a call of the kernel, and on HDFS a request to
another process. Only pruning, and errors about a missing version, ask for the state of every version.
"""
    RESULTS.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
