"""Paths that are literal, and paths that are patterns."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlsql_runtime.errors import InputError
from mlsql_runtime.storage.location import Location
from mlsql_runtime.storage.patterns import escape, escape_existing, find_paths

FILES = (
    *("a1/x.csv", "a1/y.csv", "a1/_z.csv", "a1/.x.csv", "a2/x.csv", "b [1]/x.csv", "b [1]/sub/x.csv", "b 1/x.csv"),
    *("c{d}e/x.csv", "f*/x.csv", "f1/x.csv", "q?/x.csv", "back\\slash/x.csv", "10.0/x.csv", "10x0/x.csv"),
)


@pytest.fixture(scope="module", params=["local", "s3"])
def tree(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Location]:
    """A folder with the files, in each kind of storage, which the tests only read."""
    with pytest.MonkeyPatch.context() as environment:
        root = str(tmp_path_factory.mktemp("tree"))
        if request.param == "s3":
            bucket, variables = request.getfixturevalue("_s3_bucket")
            for name, value in variables.items():
                environment.setenv(name, value)
            root = f"{bucket}/{uuid.uuid4().hex}"
        for name in FILES:
            (Location.of(root) / name).write(b"x")
        yield Location.of(root)


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("a1/x.csv", ["a1/x.csv"]),
        ("a1", ["a1"]),
        ("a3", []),
        ("a*/x.csv", ["a1/x.csv", "a2/x.csv"]),
        ("a*/*.csv", ["a1/x.csv", "a1/y.csv", "a2/x.csv"]),
        ("a?", ["a1", "a2"]),
        ("a[12]/y*", ["a1/y.csv"]),
        ("a[0-1]", ["a1"]),
        ("a[^1]", ["a2"]),
        ("a[!1]", ["a2"]),
        ("{a1,b 1}/x.csv", ["a1/x.csv", "b 1/x.csv"]),
        ("{a1/y,b 1/x}.csv", ["a1/y.csv", "b 1/x.csv"]),
        ("{a{1,2},nothing}/x.csv", ["a1/x.csv", "a2/x.csv"]),
        ("b [1]", ["b [1]"]),
        ("b [1]/*.csv", ["b [1]/x.csv"]),
        ("b [1]/*/x.csv", ["b [1]/sub/x.csv"]),
        ("b \\[1\\]/x.csv", ["b [1]/x.csv"]),
        ("c{d}e/x.csv", ["c{d}e/x.csv"]),
        ("c\\{d\\}e", ["c{d}e"]),
        ("f*", ["f*"]),
        ("f\\*", ["f*"]),
        ("f[*]/x.csv", ["f*/x.csv"]),
        ("q?/x.csv", ["q?/x.csv"]),
        ("back\\slash/x.csv", ["back\\slash/x.csv"]),
        ("1*.0/x.csv", ["10.0/x.csv"]),
    ],
)
def test_what_a_path_finds(tree: Location, pattern: str, found: list[str]) -> None:
    assert [place.path.removeprefix(f"{tree.path}/") for place in find_paths(tree / pattern)] == found


@pytest.mark.parametrize("pattern", ["a[", "a[1", "a{1,2", "a[]", "a*{", "a[[]1[]]"])
def test_what_is_neither_a_path_nor_a_pattern(tree: Location, pattern: str) -> None:
    with pytest.raises(InputError, match=re.escape(f"does not exist, and '{pattern}' is not a pattern either")):
        find_paths(tree / pattern)


def test_a_path_below_the_root() -> None:
    assert Location.of("/etc") in find_paths(Location.of("/et[c]"))


def test_escaped_paths_match_themselves_alone(tree: Location) -> None:
    for name in {name.partition("/")[0] for name in FILES}:
        assert [place.name for place in find_paths(tree / escape(name))] == [name]


@pytest.mark.parametrize(
    ("path", "escaped"),
    [
        ("/data/a", "/data/a"),
        ("/data/b [1]", "/data/b \\[1\\]"),
        ("/data/b [1]/*.csv", "/data/b \\[1\\]/*.csv"),
        ("/data/n [1]/*.csv", "/data/n [1]/*.csv"),
        ("file:///data/b [1]", "file:///data/b \\[1\\]"),
    ],
)
def test_the_part_that_exists_is_literal_for_spark(path: str, escaped: str) -> None:
    assert escape_existing(path, lambda name: name.removeprefix("file://") in ("/data", "/data/b [1]")) == escaped


def test_nothing_is_asked_of_storage_for_a_plain_path() -> None:
    assert escape_existing("/data/a b", lambda name: pytest.fail("asked")) == "/data/a b"


def test_a_working_directory_with_brackets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "w [1]").mkdir()
    (tmp_path / "w [1]/x.csv").touch()
    monkeypatch.chdir(tmp_path / "w [1]")
    assert [place.name for place in find_paths(Location.of("*.csv"))] == ["x.csv"]
