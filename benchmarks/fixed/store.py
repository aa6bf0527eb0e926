"""The costs of reading a model path, by the number of its versions and the size of its models; on S3, the number of requests."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import fsspec
from measure import Timed, interleaved
from trained import manifest

from mlsql_runtime import codec
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.pruning import prune
from mlsql_runtime.store.publish import claim_version
from mlsql_runtime.store.staging import open_staging
from mlsql_runtime.store.summary import summarize
from mlsql_runtime.store.version_condition import VersionCondition
from mlsql_runtime.store.version_watch import VersionSearch, VersionWatch
from mlsql_runtime.store.versions import open_store, read_manifest, read_states

VERSIONS = (1, 100, 10_000)
SIZES = {"1 MB": 10**6, "1 GB": 10**9}
OTHERS = ("claim.json", "logs/0.log", "meta/0/part-0.parquet", "meta/1/part-0.parquet", "meta/samples.parquet")
MODEL = "model/0/model.pickle"
Look = Callable[[Location], object]


def _first_look(root: Location) -> object:
    watch = VersionWatch(root)
    watch.refresh()
    return VersionSearch(VersionCondition()).answer(watch)


def _publish(root: Location) -> object:
    """Do what a training does in the store, then remove the version, so that each round finds the same."""
    with open_staging(root, "job") as stage:
        stage.check()
        with claim_version(root, "job") as draft:
            (draft.folder / MODEL).write(b"model")
            draft.publish(manifest(draft.version, draft.file_entries()))
    prune(root, None)
    return draft.folder.remove()


LOOKS: Mapping[str, Look] = {
    "the newest version": read_manifest,
    "a version by its number": lambda root: read_manifest(root, 1),
    "the state of every version": read_states,
    "prune: nothing to remove": lambda root: prune(root, 10**6),
    "stage, claim, publish, prune": _publish,
    "first look of a sensor": _first_look,
    "`mlsql models list`, the newest 20": lambda root: summarize(open_store(root.uri), limit=20),
}
OF_FILES = ("stage, claim, publish, prune",)  # it writes a model
AGAIN = "a later look of a sensor, for a training that does not come"


def contents(number: int) -> Iterator[tuple[str, bytes]]:
    """Return the files of a version, relative to the model path, without its model."""
    for name in OTHERS:
        yield layout.version_file(number, name), b"{}"
    yield layout.version_file(number, layout.MANIFEST), codec.dumps(manifest(number)).encode()


def fill(folder: Path, count: int, size: int) -> None:
    """Write that many versions, each with a model of that many zero bytes, which take no room on a disk with sparse files."""
    for number in range(1, count + 1):
        for name, content in contents(number):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        model = folder / layout.version_file(number, MODEL)
        model.parent.mkdir(parents=True)
        with model.open("wb") as file:
            file.truncate(size)


def seconds(root: Location) -> dict[str, Timed]:
    """Return the times of each read, by rounds."""
    watch, search = VersionWatch(root), VersionSearch(VersionCondition(job_id="another"))
    watch.refresh()
    search.answer(watch)

    def again(_: Location) -> object:
        watch.refresh()
        return search.answer(watch)

    return interleaved({**LOOKS, AGAIN: again}, lambda: root)


def on_disk() -> dict[str, dict[str, Timed]]:
    """Return seconds by number of versions, and by size of the models of a hundred versions."""
    taken = {}
    with tempfile.TemporaryDirectory() as name:
        for count in VERSIONS:
            fill(Path(name) / str(count), count, 1000)
            taken[f"{count:,}"] = seconds(Location.of(f"{name}/{count}"))
        for size, length in SIZES.items():
            fill(Path(name) / size.replace(" ", ""), 100, length)
            taken[size] = seconds(Location.of(f"{name}/{size.replace(' ', '')}"))
    return taken


@contextmanager
def s3() -> Iterator[Callable[[str, int], Location]]:
    """Run an S3 server in this process, and provide a function that writes a model path with that many versions."""
    from moto.s3.models import s3_backends
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # else a line for each request
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    os.environ |= {"AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    fsspec.filesystem("s3").mkdir("models")
    backend = s3_backends["123456789012"]["aws"]

    def make(name: str, count: int) -> Location:
        for number in range(1, count + 1):
            for path, content in (*contents(number), (layout.version_file(number, MODEL), b"model")):
                backend.put_object("models", f"{name}/{path}", content)
        return Location.of(f"s3://models/{name}")

    try:
        yield make
    finally:
        server.stop()


def on_s3() -> dict[str, dict[str, int]]:
    """Return the requests by number of versions."""
    counted = {}
    with s3() as make:
        for count in VERSIONS:
            root = make(str(count), count)
            root.exists()  # connects
            sent: list[str] = []
            root.fs.s3.meta.events.register_first("before-send.s3", lambda event_name, sent=sent, **_: sent.append(event_name))
            counted[f"{count:,}"] = {}
            for name, look in LOOKS.items():
                sent.clear()
                look(root)
                counted[f"{count:,}"][name] = len(sent)
    return counted
