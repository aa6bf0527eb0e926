from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timezone

import pytest

from mlsql_runtime.errors import FormatError, VersionNotFound
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import functions
from mlsql_runtime.store.function_history import read_history
from mlsql_runtime.store.function_records import FunctionRecord, Refusal
from mlsql_runtime.store.functions import KEPT_REFUSALS, add_refusal, list_refused_functions, read_refusals
from mlsql_runtime.store.manifest import FileEntry
from mlsql_runtime.store.verification import verify_files

Package = Callable[..., FunctionRecord]


def test_a_package_is_read_back_once_it_is_current(root: Location, package: Package) -> None:
    record = package(root, "jack", 3, b"pickled")
    assert functions.read_pointer(root, "jack") is None
    assert functions.list_functions(root) == []
    functions.set_current(root, record)
    assert functions.read_function(root, "jack") == record
    assert functions.list_functions(root) == ["jack"]
    assert (record.pickle.size, record.pickle.sha256) == (7, hashlib.sha256(b"pickled").hexdigest())
    verify_files(functions.function_dir(root, "jack") / "1", (record.pickle,))


def test_the_pointer_keeps_its_history(root: Location, package: Package) -> None:
    first, second = package(root, "jack", 1), package(root, "jack", 2)
    for record in (first, second, first):
        functions.set_current(root, record)
    pointer = functions.read_pointer(root, "jack")
    assert pointer is not None
    assert [(move.function_version, move.version) for move in pointer.history] == [(1, 1), (2, 2), (1, 1)]
    assert functions.read_function(root, "jack") == first
    assert functions.read_function(root, "jack", 2) == second


def test_a_package_that_cannot_be_written_leaves_nothing(root: Location) -> None:
    def fail(number: int, pickle: FileEntry) -> FunctionRecord:
        raise RuntimeError("no record")

    with pytest.raises(RuntimeError):
        functions.write_package(root, "jack", b"pickled", fail)
    assert root.list_files() == {}


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


def test_a_function_that_is_not_there_names_those_that_are(root: Location, package: Package) -> None:
    functions.set_current(root, package(root, "jack", 1))
    functions.set_current(root, package(root, "adam", 1))
    for name, number, text in [
        ("jill", None, "function 'jill'"),
        ("jack", 9, "version 9 of function 'jack'"),
        ("jack", 0, "version 0 of function 'jack'"),
    ]:
        with pytest.raises(VersionNotFound) as caught:
            functions.read_function(root, name, number)
        assert text in caught.value.message
        assert "adam, jack" in caught.value.message


def test_a_model_path_without_functions_has_none(root: Location) -> None:
    assert functions.list_functions(root) == []
    assert set(functions.find_versions_in_use(root)) == set()
    with pytest.raises(VersionNotFound, match="none"):
        functions.read_function(root, "jack")


def test_a_package_that_is_not_complete_is_not_read(root: Location, package: Package) -> None:
    functions.set_current(root, package(root, "jack", 1))
    (functions.function_dir(root, "jack") / "2" / "function.pickle").write(b"half")
    with pytest.raises(VersionNotFound):
        functions.read_function(root, "jack", 2)


def test_a_refused_package_leaves_nothing_and_the_current_one_as_it_was(root: Location, package: Package) -> None:
    current = package(root, "jack", 1)
    functions.set_current(root, current)
    functions.remove_package(root, package(root, "jack", 2))
    assert functions.read_function(root, "jack") == current
    functions.remove_package(root, package(root, "jill", 2))
    assert sorted(root.list_files()) == [
        f"_functions/jack/{name}" for name in ("1/claim.json", "1/function.json", "1/function.pickle", "current.json")
    ]


def test_discarding_the_only_package_leaves_no_folder(local_root: Location, package: Package) -> None:
    functions.remove_package(local_root, package(local_root, "jack", 1))
    assert local_root.list_names() == []


def test_only_current_packages_pin_their_versions(root: Location, package: Package) -> None:
    for name, version in [("jack", 1), ("jack", 2), ("jill", 5)]:
        functions.set_current(root, package(root, name, version))
    package(root, "jill", 7)
    assert set(functions.find_versions_in_use(root)) == {2, 5}


def test_a_reader_sees_whole_pointers_while_a_writer_moves_them(local_root: Location, package: Package) -> None:
    records = [package(local_root, "jack", 1), package(local_root, "jack", 2)]
    functions.set_current(local_root, records[0])
    moves = 80

    def write() -> None:
        for turn in range(moves):
            functions.set_current(local_root, records[turn % 2])

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


# -- who, when and why


def test_the_history_says_who_and_why(root: Location, package: Package) -> None:
    first, second = package(root, "jack", 1), package(root, "jack", 2)
    functions.set_current(root, first)
    functions.set_current(root, second, "ann", "score 0.5 is at least 0.4")
    functions.set_current(root, first, "bob@host", "too slow", "rolled back")
    pointer = functions.read_pointer(root, "jack")
    assert pointer is not None
    assert [(move.happened, move.job_id, move.by, move.reason) for move in pointer.history] == [
        ("registered", "job-2", None, None),
        ("registered", "job-2", "ann", "score 0.5 is at least 0.4"),
        ("rolled back", None, "bob@host", "too slow"),
    ]
    document = json.loads((functions.function_dir(root, "jack") / "current.json").read())
    assert document["format_version"] == 1


MOVE = {
    "function_version": 1,
    "version": 3,
    "alg_index": 0,
    "score": 0.5,
    "job_id": "a.b/c/0",
    "at": "2024-05-01T12:00:00+00:00",
}


@pytest.mark.parametrize(
    ("document", "fragment"),
    [
        ({"format_version": 3, "function": "jack", "history": []}, "format_version is 3, this version of mlsql_runtime reads 1"),
        ({"format_version": 1, "function": "jack", "history": [{**MOVE, "of": "x"}]}, "has no field 'of'"),
        ({"format_version": True, "function": "jack", "history": []}, "format_version is True"),
        ({"format_version": 1, "function": "jack", "history": [MOVE]}, "lacks the field 'by'"),
        ({"format_version": 1, "function": "jack", "history": []}, "its history is empty"),
        ([], "format_version is None"),
    ],
)
def test_a_wrong_pointer_is_refused(local_root: Location, document: object, fragment: str) -> None:
    (functions.function_dir(local_root, "jack") / "current.json").write(json.dumps(document).encode())
    with pytest.raises(FormatError) as caught:
        functions.read_pointer(local_root, "jack")
    assert fragment in caught.value.message


def refusal(version: int, hour: int = 0) -> Refusal:
    at = datetime(2026, 1, 1 + hour // 24, hour % 24, tzinfo=timezone.utc)
    return Refusal(version=version, alg_index=0, score=0.1, job_id="j", at=at, by="ann", reason=f"version {version} is worse")


def test_a_refusal_touches_nothing_but_its_own_document(root: Location, package: Package) -> None:
    functions.set_current(root, package(root, "jack", 1))
    before = {name: (root / name).read() for name in root.list_files()}
    add_refusal(root, "jack", refusal(2))
    assert {name: (root / name).read() for name in root.list_files() if name in before} == before
    assert set(root.list_files()) - set(before) == {"_functions/jack/refusals.json"}
    assert set(functions.find_versions_in_use(root)) == {1}
    assert functions.read_function(root, "jack").version == 1
    assert list_refused_functions(root) == []


def test_a_name_that_was_only_refused_is_not_a_function(root: Location, package: Package) -> None:
    add_refusal(root, "jack", refusal(1))
    assert functions.list_functions(root) == []
    assert functions.read_pointer(root, "jack") is None
    assert functions.find_versions_in_use(root) == {}
    assert list_refused_functions(root) == ["jack"]
    with pytest.raises(VersionNotFound):
        functions.read_function(root, "jack")
    functions.remove_package(root, package(root, "jack", 1))  # a registration that failed later
    assert read_refusals(root, "jack") == (refusal(1),)
    (entry,) = read_history(root, "jack").history
    assert (entry.happened, entry.current, entry.reason) == ("refused", False, "version 1 is worse")


def test_the_newest_refusals_are_kept(local_root: Location) -> None:
    for hour in range(KEPT_REFUSALS + 3):
        add_refusal(local_root, "jack", refusal(hour, hour))
    assert [each.version for each in read_refusals(local_root, "jack")] == list(range(3, KEPT_REFUSALS + 3))


def test_refusals_stand_where_they_happened(local_root: Location, package: Package) -> None:
    add_refusal(local_root, "jack", refusal(1))
    functions.set_current(local_root, package(local_root, "jack", 2))
    add_refusal(local_root, "jack", replace(refusal(3), at=datetime(2999, 1, 1, tzinfo=timezone.utc)))
    history = read_history(local_root, "jack").history
    assert [(entry.happened, entry.version, entry.current) for entry in history] == [
        ("refused", 1, False),
        ("registered", 2, True),
        ("refused", 3, False),
    ]


@pytest.mark.parametrize(("field", "value"), [("function", "../../elsewhere"), ("function", "joe"), ("function_version", 2)])
def test_a_package_whose_record_is_of_another_one_is_not_believed(
    local_root: Location, package: Package, field: str, value: object
) -> None:
    functions.set_current(local_root, package(local_root, "jack", 3))
    place = functions.function_dir(local_root, "jack") / "1" / "function.json"
    place.write(json.dumps(json.loads(place.read()) | {field: value}).encode())
    with pytest.raises(FormatError, match=rf"function\.json: {field} is .*, its place says"):
        functions.read_function(local_root, "jack")


def test_a_pointer_of_another_function_is_not_believed(local_root: Location, package: Package) -> None:
    functions.set_current(local_root, package(local_root, "jack", 3))
    place = functions.function_dir(local_root, "jack") / "current.json"
    place.write(place.read().replace(b'"jack"', b'"../jack"'))
    with pytest.raises(FormatError, match=r"function is \.\./jack, its place says jack"):
        functions.read_pointer(local_root, "jack")
