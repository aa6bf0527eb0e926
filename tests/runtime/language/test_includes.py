"""include: files beside the script, and no others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlsql_runtime.errors import InputError, Origin
from mlsql_runtime.language import check_script, compile_script
from mlsql_runtime.plan import Load


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A script's folder, and a file outside of it."""
    inside = tmp_path / "inside"
    (inside / "lib").mkdir(parents=True)
    (tmp_path / "secret.mlsql").write_text("set stolen='1';")
    return inside


def refused(text: str, folder: Path | None) -> InputError:
    (error,) = check_script(text, folder=folder)
    return error


@pytest.mark.parametrize(
    "written", ["local.`lib/a.mlsql`", "PROJECT.`lib/a.mlsql`".lower(), "`lib/a.mlsql`", "'lib/a.mlsql'", "file.`./lib//a.mlsql`"]
)
def test_a_file_beside_the_script(folder: Path, written: str) -> None:
    (folder / "lib" / "a.mlsql").write_text("\ufeffset path='/d';\n load csv.`${path}` as ${name};\n")
    made = compile_script(f"set name='t'; include {written};\nload csv.`${{path}}` as u;", folder=folder)
    assert made.statements == (Load(table="t", format="csv", path="/d"), Load(table="u", format="csv", path="/d"))
    assert [(Path(origin.file).name, origin.line) for origin in made.origins] == [("a.mlsql", 2), ("script.mlsql", 2)]


def test_includes_inside_includes_start_at_the_script_folder(folder: Path) -> None:
    (folder / "lib" / "a.mlsql").write_text("include `lib/b.mlsql`;")
    (folder / "lib" / "b.mlsql").write_text("load csv.`x` as t;")
    assert len(compile_script("include `lib/a.mlsql`; include `lib/b.mlsql`;", folder=folder).statements) == 2


def test_errors_name_the_included_file(folder: Path) -> None:
    (folder / "lib" / "a.mlsql").write_text("load csv.`x` as t;\nsave u as csv.`/o`;")
    assert refused("include `lib/a.mlsql`;", folder).origin == Origin("lib/a.mlsql", 2, 6)


@pytest.mark.parametrize(
    "path",
    [
        "../secret.mlsql",
        "lib/../../secret.mlsql",
        "lib/../lib/a.mlsql",
        "/etc/passwd",
        "file:///etc/passwd",
        "${up}/secret.mlsql",
    ],
)
def test_paths_out_of_the_folder(folder: Path, path: str) -> None:
    error = refused(f"set up='..'; include local.`{path}`;", folder)
    assert "leads out of the script's folder" in error.message
    assert error.origin is not None
    assert error.origin.column == 28


def test_links_out_of_the_folder(folder: Path) -> None:
    (folder / "link.mlsql").symlink_to(folder.parent / "secret.mlsql")
    (folder / "up").symlink_to(folder.parent)
    for path in ("link.mlsql", "up/secret.mlsql"):
        assert "a link out of the script's folder" in refused(f"include `{path}`;", folder).message


def test_links_inside_the_folder(folder: Path) -> None:
    (folder / "lib" / "a.mlsql").write_text("load csv.`x` as t;")
    (folder / "link.mlsql").symlink_to(folder / "lib" / "a.mlsql")
    assert len(compile_script("include `link.mlsql`;", folder=folder).statements) == 1


def test_a_script_in_a_linked_folder(folder: Path, tmp_path: Path) -> None:
    (folder / "a.mlsql").write_text("load csv.`x` as t;")
    (tmp_path / "other").symlink_to(folder)
    assert len(compile_script("include `a.mlsql`;", folder=tmp_path / "other").statements) == 1


def test_files_that_include_each_other(folder: Path) -> None:
    (folder / "a.mlsql").write_text("include `b.mlsql`;")
    (folder / "b.mlsql").write_text("\n include `lib/../a.mlsql`;".replace("lib/../", "./"))
    error = refused("include `a.mlsql`;", folder)
    assert "'./a.mlsql' includes itself" in error.message
    assert error.origin == Origin("b.mlsql", 2, 10)


def test_files_that_multiply(folder: Path) -> None:
    for index in range(12):
        (folder / f"{index}.mlsql").write_text(f"include `{index + 1}.mlsql`;" * 3)
    (folder / "12.mlsql").write_text("")
    found = check_script("include `0.mlsql`;", folder=folder)
    assert 0 < len(found) <= 100
    assert "more than 256 times" in found[0].message


def test_files_too_deep(folder: Path) -> None:
    for index in range(20):
        (folder / f"{index}.mlsql").write_text(f"include `{index + 1}.mlsql`;")
    assert "more than 16 deep" in refused("include `0.mlsql`;", folder).message


def test_what_cannot_be_read(folder: Path) -> None:
    os.mkfifo(folder / "fifo")
    (folder / "binary").write_bytes(b"\xff\xfe")
    (folder / "circle").symlink_to("circle")
    with (folder / "large").open("wb") as file:
        file.truncate(5 << 20)
    for path, message in [
        ("missing.mlsql", "there is no such file"),
        ("lib", "there is no such file"),
        ("fifo", "there is no such file"),
        ("binary", "cannot be read as UTF-8"),
        ("circle", "include of 'circle'"),
        ("large", "larger than 4 MiB"),
        ("x" * 5000, "cannot be read"),
        ("a\0b", "is not a path"),
        (" ", "is not a path"),
    ]:
        assert message in refused(f"include `{path}`;", folder).message


def test_nothing_after_a_missing_file_is_an_error(folder: Path) -> None:
    assert "there is no such file" in refused("include `missing.mlsql`; save t as csv.`${x}`;", folder).message


def test_without_a_folder() -> None:
    assert "this script has no folder" in refused("include `a.mlsql`;", None).message


def test_other_places() -> None:
    error = refused("include hdfs.`/a.mlsql`;", Path("/nowhere"))
    assert "include from 'hdfs' is not supported" in error.message
    assert error.origin is not None
    assert error.origin.column == 9
