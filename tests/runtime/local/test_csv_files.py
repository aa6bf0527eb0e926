"""CSV files give the same columns, rows and files by way of Spark and without it."""

from __future__ import annotations

import bz2
import gzip
from pathlib import Path

import pytest
from support.both_ways import BothWays, assert_same

CSV: dict[str, tuple[str, dict[str, str]]] = {
    "plain": ("a,b\n1,x\n", {}),
    "header": ("a,b\n1,x\n", {"header": "TRUE"}),
    "odd names": ("x y,c.d,ü`,日本\n1,x,2,y\n", {"header": "true"}),
    "numbered names": ("a,a,,A\n1,2,3,4\n", {"header": "true"}),
    "empties": ('a,,c\n"",b,c\n', {}),
    "null value": ('NA,"NA",x\n,y,z\n', {"nullValue": "NA"}),
    "quotes": ('"a",b\n"x,y","z"\n', {}),
    "doubled quotes, meant": ('"a""b",c\n"x,""y""",d\n"""",e\n', {"escape": '"'}),
    "other quotes": ("'a,b',c\n\"d,e\n", {"quote": "'"}),
    "backslashes": ("C:\\new,d\\,e\n\\,\\n,f\n", {}),
    "blank lines": ("\n\na,b\n\n   \n1,2\n", {"header": "true"}),
    "blanks": (" a , b \n c,d \n", {}),
    "byte order mark": ("\ufeffa,b\n1,2\n", {"header": "true"}),
    "carriage returns": ('a,b\r\n1,"2"\r\n \r\n', {"header": "true"}),
    "semicolons": ("a;b\n1;ü\n", {"sep": ";"}),
    "tabs": ("a\tb\n1\t2\n\t\n", {"delimiter": "\\t"}),
    "no quotes": ('"a",b\n', {"quote": ""}),
    "one column": ("a\n\n  \nb\n", {"header": "true"}),
    "only a header": ("a,b\n", {"header": "true"}),
    "types": (
        "i,l,d,b,dt,s,n,m\n1,3000000000,1.5,true,2024-05-01,x,,1\n2,4,1e5,FALSE,2024-05-02,3,,x\n,,,,,,,\n",
        {"header": "true", "inferSchema": "true"},
    ),
    "times": (
        "a,b,c\n2024-05-01T12:00:00,2024-05-01 12:00:00.123456,1900-01-01 00:00:00\n2024-12-01 12:00:00,2024-10-27T02:30:00,\n",
        {"header": "true", "inferSchema": "true"},
    ),
    "texts of digits": ("a,b,c\n12 A,1.2.3,2024/05/01\n13 B,4.5.6,1-2\n", {"header": "true", "inferSchema": "true"}),
}


@pytest.mark.parametrize(("text", "options"), CSV.values(), ids=CSV)
def test_csv(both: BothWays, tmp_path: Path, text: str, options: dict[str, str]) -> None:
    (tmp_path / "x.csv").write_bytes(text.encode())
    assert_same(both, "csv", tmp_path / "x.csv", options)


def test_csv_files_with_headers_of_their_own_compressed(both: BothWays, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a.csv").write_text("a,b\n1,2\n3,4\n")
    (folder / "b.csv.gz").write_bytes(gzip.compress(b"a,b\n5,6\n") + gzip.compress(b"7,8\n"))
    (folder / "c.csv.bz2").write_bytes(bz2.compress(b'a,b\n"9",\n'))
    (folder / "d.csv").write_text("")
    assert_same(both, "csv", folder, {"header": "true"})
