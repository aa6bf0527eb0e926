"""Files of a stored table on an object store: read in pieces, brought to a node once, and compared with their list."""

from __future__ import annotations

import io
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlsql_runtime.errors import FormatError, IntegrityError
from mlsql_runtime.feed.originals.prepared import OriginalsTable, write_list
from mlsql_runtime.feed.originals.table import FileList, OriginalFile, RowPart
from mlsql_runtime.feed.reader import read_arrow
from mlsql_runtime.feed.table_facts import TableFacts, encode_schema
from mlsql_runtime.parquet_queries.row_groups import DataFile, find_pieces, read_piece
from mlsql_runtime.storage.location import Location

SCHEMA = pa.schema([("x", pa.int64()), ("day", pa.date32()), ("name", pa.string())])


def write_rows(place: Location, start: int, rows: int) -> None:
    stream = io.BytesIO()
    pq.write_table(pa.table({"X": pa.array(range(start, start + rows), pa.int32())}), stream, row_group_size=100)
    place.write(stream.getvalue())


def prepare(stage: Location, places: list[Location], part: RowPart, rows: int) -> OriginalsTable:
    """Return a table of files that have a column in another type and spelling; their folders name another one."""
    files = []
    for index, place in enumerate(places):
        state = place.find_state()
        assert state is not None
        files.append(
            OriginalFile(
                uri=place.uri,
                path=place.path if place.is_local else f"{index}.parquet",
                size=state.size,
                written=state.written,
                rows=300,
                layout=0,
                constants={"1": 19_000 + index},
            )
        )
    listed = FileList(layouts=(("X", None, None),), files=tuple(files))
    digest = write_list(stage / "data-files.json", listed)
    facts = TableFacts(rows=rows, schema=encode_schema(SCHEMA), columns={}, width=None)
    return OriginalsTable(stage / "data-files.json", digest, part, facts, has_json=True)


@pytest.fixture(params=["local", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Location:
    if request.param == "local":
        return Location.of(str(tmp_path / "stored"))
    return Location.of(f"{request.getfixturevalue('s3_server')}/{uuid.uuid4().hex}/stored")


@pytest.fixture
def places(folder: Location, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Location]:
    (tmp_path / "application").mkdir()
    monkeypatch.setenv("SPARK_EXECUTOR_DIRS", str(tmp_path / "application"))
    found = [folder / f"{name}.parquet" for name in "ab"]
    for index, place in enumerate(found):
        write_rows(place, 1000 * index, 300)
    return found


def test_groups_read_rows_from_each_storage(places: list[Location], folder: Location, tmp_path: Path) -> None:
    table = prepare(folder / "stage", places, RowPart(), 600)
    table.check_unchanged()
    for group in ("g0", "g1"):
        (tmp_path / group).mkdir()
        opened = table.open(tmp_path / group / "data", is_kept=False)
        rows = [row for batch in read_arrow(opened) for row in batch.to_pylist()]
        assert [row["x"] for row in rows] == [*range(300), *range(1000, 1300)]
        assert {(row["x"] // 1000, row["day"].isoformat(), row["name"]) for row in rows} == {
            (0, "2022-01-08", None),
            (1, "2022-01-09", None),
        }
        [only_constants] = {tuple(batch.column_names) for batch in read_arrow(opened, ["day"])}
        assert only_constants == ("day",)
        assert sum(batch.num_rows for batch in read_arrow(opened, ["name"])) == 600


def test_a_file_that_is_written_again_or_removed_is_named(places: list[Location], folder: Location, tmp_path: Path) -> None:
    table = prepare(folder / "stage", places, RowPart(), 600)
    (tmp_path / "g").mkdir()
    write_rows(places[1], 5, 299)
    for look in (table.check_unchanged, lambda: table.open(tmp_path / "g" / "data", is_kept=False)):
        with pytest.raises(IntegrityError, match=r"b\.parquet was changed while it was trained from: it had"):
            look()
    places[1].remove()
    with pytest.raises(IntegrityError, match=r"b\.parquet was removed while it was trained from"):
        table.check_unchanged()


def test_a_list_that_somebody_has_changed_is_not_used(places: list[Location], folder: Location, tmp_path: Path) -> None:
    table = prepare(folder / "stage", places, RowPart(), 600)
    table.place.write(b"{}")
    with pytest.raises(IntegrityError, match="is not the list that this training has written"):
        table.open(tmp_path / "data", is_kept=False)


def test_rows_that_are_missing_are_an_error(places: list[Location], folder: Location, tmp_path: Path) -> None:
    (tmp_path / "g").mkdir()
    opened = prepare(folder / "stage", places, RowPart(), 601).open(tmp_path / "g" / "data", is_kept=False)
    with pytest.raises(Exception, match="the table had 601 rows, the script was offered 600"):
        list(read_arrow(opened))
    Path(opened.list_file).write_text("[]")
    with pytest.raises(FormatError):
        list(read_arrow(opened))


def test_pieces_are_read_from_each_storage(places: list[Location]) -> None:
    columns = {1: ("x", pa.int64())}
    files = [(DataFile(place.uri, {}), place) for place in places]
    pieces = find_pieces(files, columns, is_case_sensitive=False, reads_ancient_times=True)
    assert [piece.rows for piece in pieces] == [100] * 6
    found = [rows.columns[1].to_pylist() for rows in read_piece(pieces[4], places[1], {1: pa.int64()}, 60)]
    assert found == [list(range(1100, 1160)), list(range(1160, 1200))]
