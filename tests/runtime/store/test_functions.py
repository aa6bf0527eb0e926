from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from mlsql_runtime.errors import VersionNotFound
from mlsql_runtime.store import functions
from mlsql_runtime.store.location import Location
from mlsql_runtime.store.manifest import FunctionRecord
from mlsql_runtime.store.read import verify

Package = Callable[..., FunctionRecord]


def test_a_package_is_read_back_once_it_is_current(root: Location, package: Package) -> None:
    record = package(root, "jack", 3, b"pickled")
    assert functions.read_pointer(root, "jack") is None
    assert functions.functions(root) == []
    functions.point(root, record)
    assert functions.read_function(root, "jack") == record
    assert functions.functions(root) == ["jack"]
    assert (record.pickle.size, record.pickle.sha256) == (7, hashlib.sha256(b"pickled").hexdigest())
    verify(functions.function_dir(root, "jack") / "1", (record.pickle,))


def test_the_pointer_keeps_its_history(root: Location, package: Package) -> None:
    first, second = package(root, "jack", 1), package(root, "jack", 2)
    for record in (first, second, first):
        functions.point(root, record)
    pointer = functions.read_pointer(root, "jack")
    assert pointer is not None
    assert [(move.function_version, move.version) for move in pointer.history] == [(1, 1), (2, 2), (1, 1)]
    assert functions.read_function(root, "jack") == first
    assert functions.read_function(root, "jack", 2) == second


def test_packages_are_numbered_without_gaps_in_use(root: Location, package: Package) -> None:
    assert [package(root, "jack", 1).function_version for _ in range(3)] == [1, 2, 3]
    assert package(root, "jill", 1).function_version == 1


def test_8_threads_make_8_packages(local_root: Location, package: Package) -> None:
    barrier = threading.Barrier(8)

    def make(number: int) -> tuple[int, bytes]:
        barrier.wait()
        pickled = b"pickle %d" % number
        return package(local_root, "jack", 1, pickled).function_version, pickled

    with ThreadPoolExecutor(8) as pool:
        made = dict(pool.map(make, range(8)))
    assert sorted(made) == list(range(1, 9))
    folder = functions.function_dir(local_root, "jack")
    assert {number: (folder / str(number) / "function.pickle").read() for number in made} == made


@pytest.mark.parametrize(
    ("name", "number", "told"),
    [("jill", None, "function 'jill'"), ("jack", 9, "version 9 of function 'jack'"), ("jack", 0, "version 0 of function 'jack'")],
)
def test_a_function_that_is_not_there_names_those_that_are(
    root: Location, package: Package, name: str, number: int | None, told: str
) -> None:
    functions.point(root, package(root, "jack", 1))
    functions.point(root, package(root, "adam", 1))
    with pytest.raises(VersionNotFound) as caught:
        functions.read_function(root, name, number)
    assert told in caught.value.message
    assert "adam, jack" in caught.value.message


def test_a_model_path_without_functions_says_so(root: Location) -> None:
    assert functions.functions(root) == []
    assert functions.pinned_versions(root) == set()
    with pytest.raises(VersionNotFound, match="none"):
        functions.read_function(root, "jack")


def test_a_package_that_is_not_complete_is_not_read(root: Location, package: Package) -> None:
    functions.point(root, package(root, "jack", 1))
    (functions.function_dir(root, "jack") / "2" / "function.pickle").write(b"half")
    with pytest.raises(VersionNotFound):
        functions.read_function(root, "jack", 2)


def test_a_refused_package_leaves_nothing_and_the_current_one_as_it_was(root: Location, package: Package) -> None:
    current = package(root, "jack", 1)
    functions.point(root, current)
    functions.discard(root, package(root, "jack", 2))
    assert functions.read_function(root, "jack") == current
    functions.discard(root, package(root, "jill", 2))
    assert sorted(root.files()) == [
        f"_functions/jack/{name}" for name in ("1/claim.json", "1/function.json", "1/function.pickle", "current.json")
    ]


def test_discarding_the_only_package_leaves_no_folder(local_root: Location, package: Package) -> None:
    functions.discard(local_root, package(local_root, "jack", 1))
    assert local_root.names() == []


def test_only_current_packages_pin_their_versions(root: Location, package: Package) -> None:
    for name, version in [("jack", 1), ("jack", 2), ("jill", 5)]:
        functions.point(root, package(root, name, version))
    package(root, "jill", 7)
    assert functions.pinned_versions(root) == {2, 5}


def test_a_reader_sees_whole_pointers_while_a_writer_moves_them(local_root: Location, package: Package) -> None:
    records = [package(local_root, "jack", 1), package(local_root, "jack", 2)]
    functions.point(local_root, records[0])
    moves = 80

    def write() -> None:
        for turn in range(moves):
            functions.point(local_root, records[turn % 2])

    writer = threading.Thread(target=write)
    writer.start()
    lengths = []
    while writer.is_alive():
        pointer = functions.read_pointer(local_root, "jack")
        assert pointer is not None
        assert functions.read_function(local_root, "jack") in records
        lengths.append(len(pointer.history))
    writer.join()
    assert lengths == sorted(lengths)
    pointer = functions.read_pointer(local_root, "jack")
    assert pointer is not None
    assert len(pointer.history) == moves + 1
