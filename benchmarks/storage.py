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


GOAL = 3.0  # times the disk's time for a file or folder, for a request to HDFS
STATES = "the state of every version"  # which pruning asks for, and neither a list nor a choice
LOOKS: Mapping[str, Callable[[Location], object]] = {
    "the numbers of the versions": layout.list_claimed_versions,
    "the newest version": read_manifest,
    STATES: read_states,
    "the best version, from all manifests": find_best,
}


def fill(root: Location) -> None:
    """Write the manifests of all versions."""

    def write(number: int) -> None:
        (root / layout.version_file(number, layout.MANIFEST)).write(codec.dumps(manifest(number)).encode())

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, range(1, VERSIONS + 1)))


class CountingClient:
    """A client of hdfs-native that counts what is looked at, and the requests for it.

    A folder counts once for each thousand entries, which come with one request. A file that is read takes two requests.
    """

    def __init__(self, client: Any) -> None:
        self._client, self.looks, self.requests = client, 0, 0

    def get_file_info(self, path: str) -> Any:
        self._count(1, 1)
        return self._client.get_file_info(path)

    def read(self, path: str) -> Any:
        self._count(1, 2)
        return self._client.read(path)

    def list_status(self, path: str) -> list[Any]:
        found = list(self._client.list_status(path))
        self._count(1 + len(found) // 1000, 1 + len(found) // 1000)
        return found

    def _count(self, looks: int, requests: int) -> None:
        self.looks += looks
        self.requests += requests


def time_looks(root: Location) -> dict[str, float]:
    """Return the median seconds of each look, after one that is not timed."""
    taken = {}
    for name, look in LOOKS.items():
        look(root)
        taken[name] = statistics.median(timeit.repeat(lambda look=look: look(root), number=1, repeat=ROUNDS))
    return taken


def count_requests(root: Location) -> dict[str, CountingClient]:
    """Return the client of each look, which has counted."""
    client = root.fs.client
    counted = {}
    for name, look in LOOKS.items():
        root.fs.client = counted[name] = CountingClient(client)
        look(root)
    root.fs.client = client
    return counted


def main() -> None:
    """Measure, and write the results."""
    with tempfile.TemporaryDirectory(prefix="mlsql-storage-") as name, HdfsProcesses(Path(name) / "hdfs") as processes:
        disk, hdfs = Location.of(f"{name}/models"), Location.of(f"{processes.hdfs.uri}/models")
        fill(disk)
        fill(hdfs)
        on_disk, on_hdfs, counted = time_looks(disk), time_looks(hdfs), count_requests(hdfs)
    each = {look: on_disk[look] / counted[look].looks for look in LOOKS}
    request = {look: on_hdfs[look] / counted[look].requests for look in LOOKS}
    rows = [
        [
            look,
            f"{on_disk[look] * 1e3:,.1f} ms",
            f"{on_hdfs[look] * 1e3:,.1f} ms",
            f"{on_hdfs[look] / on_disk[look]:,.1f}",
            f"{counted[look].looks:,}",
            f"{counted[look].requests:,}",
            f"{each[look] * 1e6:,.0f} µs",
            f"{request[look] * 1e6:,.0f} µs",
        ]
        for look in LOOKS
    ]
    header = ["look", "local disk", "HDFS", "HDFS / disk", "files, folders", "requests", "disk, each", "HDFS, each request"]
    worst = max(request[look] / each[look] for look in LOOKS if look != STATES)
    text = f"""# Storage

`make bench` wrote this: {machine("hdfs-native", "fsspec")}; NameNode and two DataNodes on the same machine.
Medians of {ROUNDS} times on a model path with {VERSIONS:,} versions.

{table(header, rows)}
A file that is read takes a request to the NameNode and one to a DataNode; a folder counts once for each thousand entries. Of many
files, 16 are looked at or read at once. The goal for listing and choosing is that a request takes at most {GOAL:g} times what a
file or folder takes on the disk. The most are {worst:.1f} times: {"reached" if worst <= GOAL else "**not reached**"}.

To ask whether a file exists takes longer, because on the disk that is a call of the kernel, and on HDFS a request to another
process. Only pruning, and errors about a missing version, ask for {STATES}.
"""
    RESULTS.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
