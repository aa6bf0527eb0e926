"""Damage to good bytes, by a generator of random numbers: of any bytes, of lines, of JSON, of archives."""

from __future__ import annotations

import copy
import io
import json
import random
import re
import stat
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from typing import Any

LONG = 70_000
_RAW = re.compile(r'"@@(.*?)@@"')
HOSTILE_PATHS = (
    *("../escaped", "a/../../escaped", "/tmp/mlsql-fuzz-escaped", "//tmp/mlsql-fuzz-escaped", "..", ".", "", "/", "a//b", "./a"),
    *("C:\\x", "..\\escaped", "a\\..\\..\\b", "C:/x", "nul\0byte", "n" * 300, "d/" * 200 + "f", "a/" * 30_000 + "f", "~/x"),
    *(
        "TRAIN.PY",
        "Train.py",
        "train.py/",
        "train.py/x",
        "\udc80",
        "\ud800",
        "ⅷ",
        "e\u0301",
        "\u202egpj",
        "a\nb",
        "a\rb",
        "con",
        "-rf",
    ),
    *("file:///etc/passwd", "s3://b/../c", "http://127.0.0.1:9/x", "memory://x", "x::y", "file:/x", "%2e%2e/x"),
)
TIMES = (
    *("2024-05-01", "2024-05-01T12:00:00", "2024-05-01T12:00:00+00:00", "0001-01-01T00:00:00+23:59"),
    *("9999-12-31T23:59:59-23:59", "2024-05-01T12:00:00Z", "20240501T120000"),
)
ODD_TEXTS = (
    *("", " ", "x" * LONG, "\ud800", "\udfff\ud800", "\0", "null", "NaN", "-1", "1e999", "٣", "[" * 2000, "{" * 2000, "9" * 5000),
    *TIMES,
    *("${x}", "{{x}}", "%s%s%n", "<script>alert(1)</script>", "'; drop table t; --", "\x1b[31m", "a\u2028b", "\ufeff", "vector"),
    *HOSTILE_PATHS,
)
ODD_VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        2,
        0.5,
        -0.0,
        1e308,
        5e-324,
        2**31,
        2**63,
        -(2**63),
        10**400,
        [],
        {},
        [[]],
        [None],
        {"": None},
    ),
    *("@@1e999@@", "@@-1e999@@", "@@NaN@@", "@@Infinity@@", "@@" + "7" * 4300 + "@@", "@@" + "7" * 5000 + "@@"),
    *(
        "@@" + "[" * 900 + "]" * 900 + "@@",
        "@@" + "[" * 90_000 + "]" * 90_000 + "@@",
        "@@" + '{"a":' * 900 + "1" + "}" * 900 + "@@",
    ),
    *([1] * 3000, {str(number): number for number in range(3000)}, [[1, 2], [3]], {"kind": "load"}, {"kind": ["x"]}),
    *ODD_TEXTS,
)


def mutate_bytes(chance: random.Random, samples: Sequence[bytes]) -> bytes:
    """Flip, remove, repeat and exchange bytes of a sample."""
    data = bytearray(chance.choice(samples))
    for _ in range(chance.choice((1, 1, 1, 2, 4, 16))):
        data = bytearray(chance.choice(_OF_BYTES)(chance, data, samples))
    return bytes(data[: 1 << 20])


def _place(chance: random.Random, data: bytearray) -> int:
    """Return any place, often one near the begin or the end, where formats have their headers."""
    near = min(len(data), 64)
    return chance.choice((chance.randrange(len(data) + 1), chance.randrange(near + 1), len(data) - chance.randrange(near + 1)))


def _flip(chance: random.Random, data: bytearray, _: Sequence[bytes]) -> bytes:
    if data:
        data[min(_place(chance, data), len(data) - 1)] ^= 1 << chance.randrange(8)
    return data


def _set(chance: random.Random, data: bytearray, _: Sequence[bytes]) -> bytes:
    begin = _place(chance, data)
    raw = chance.choice(
        (b"\0", b"\xff", b"\x7f", b"\x80", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\0", chance.randbytes(4))
    )
    data[begin : begin + len(raw)] = raw
    return data


def _truncate(chance: random.Random, data: bytearray, _: Sequence[bytes]) -> bytes:
    return data[: _place(chance, data)]


def _remove(chance: random.Random, data: bytearray, _: Sequence[bytes]) -> bytes:
    begin = _place(chance, data)
    del data[begin : begin + int(chance.expovariate(0.05)) + 1]
    return data


def _repeat(chance: random.Random, data: bytearray, _: Sequence[bytes]) -> bytes:
    begin = _place(chance, data)
    part = data[begin : begin + int(chance.expovariate(0.02)) + 1]
    return data[:begin] + part * chance.choice((1, 2, 50)) + data[begin:]


def _double(chance: random.Random, data: bytearray, _: Sequence[bytes]) -> bytes:
    return data + data


def _insert(chance: random.Random, data: bytearray, _: Sequence[bytes]) -> bytes:
    begin = _place(chance, data)
    text = chance.choice(ODD_TEXTS).encode("utf-8", "surrogatepass")
    return data[:begin] + chance.choice((text, chance.randbytes(chance.randrange(20)))) + data[begin:]


def _splice(chance: random.Random, data: bytearray, samples: Sequence[bytes]) -> bytes:
    other = chance.choice(samples)
    return data[: _place(chance, data)] + other[chance.randrange(len(other) + 1) :]


def _replace_number(chance: random.Random, data: bytearray, _: Sequence[bytes]) -> bytes:
    """Exchange a number in text, such as one of a CSV."""
    found = list(re.finditer(rb"\d+", data))[:2000]
    if found:
        match = chance.choice(found)
        data[match.start() : match.end()] = chance.choice(_NUMBERS)
    return data


_NUMBERS = (
    b"-1",
    b"0",
    b"1e999",
    b"1e18",
    b"99999999999",
    b"9223372036854775808",
    b"nan",
    b"",
    b"0x10",
    b"1_0",
    b"9" * 400,
    b"-0.0",
)
_OF_BYTES = (_flip, _flip, _set, _truncate, _remove, _repeat, _double, _insert, _splice, _replace_number)


# -- JSON


def mutate_json(chance: random.Random, samples: Sequence[bytes]) -> bytes:
    """Change values, names and structure of a document, its text, or both."""
    if chance.random() < 0.2:
        return mutate_bytes(chance, samples)
    document = json.loads(chance.choice(samples))
    for _ in range(chance.choice((1, 1, 1, 1, 2, 4))):
        document = _change(chance, document, samples)
    text = _RAW.sub(lambda match: match[1], json.dumps(document, ensure_ascii=chance.random() < 0.5))
    if chance.random() < 0.1:
        text = _add_field(chance, text)
    raw = text.encode("utf-8", "surrogatepass")
    return mutate_bytes(chance, [raw]) if chance.random() < 0.1 else raw[: 1 << 20]


def mutate_json_lines(chance: random.Random, samples: Sequence[bytes]) -> bytes:
    """Change one line of JSON lines as :func:`mutate_json` does, keep the others, and sometimes exchange lines."""
    lines = chance.choice(samples).split(b"\n")
    place = chance.randrange(len(lines))
    lines[place] = mutate_json(chance, [line for sample in samples for line in sample.split(b"\n") if line.strip()])
    if chance.random() < 0.1:
        chance.shuffle(lines)
    raw = b"\n".join(lines)
    return mutate_bytes(chance, [raw]) if chance.random() < 0.2 else raw


def _add_field(chance: random.Random, text: str) -> str:
    """Add a field that an object may have already."""
    places = [match.end() for match in re.finditer(r"\{", text)]
    names = re.findall(r'"(\w{1,40})":', text)
    if not places or not names:
        return text
    place = chance.choice(places)
    value = _RAW.sub(lambda match: match[1], json.dumps(chance.choice(ODD_VALUES)))
    return f'{text[:place]}"{chance.choice(names)}": {value}, {text[place:]}'


def _change(chance: random.Random, document: Any, samples: Sequence[bytes]) -> Any:
    holder = {"": document}
    places = list(_walk(holder))
    parent, key = chance.choice(places)
    way = chance.randrange(10)
    if way == 0:
        _drop(parent, key)
    elif way == 1 and isinstance(parent, dict):
        beside = f"{key.partition('.')[0]}.{chance.choice(HOSTILE_PATHS)}"  # a name with a prefix, such as resource.words
        _drop(parent, key, chance.choice((f"{key}x", key.upper(), "", "kind", beside, chance.choice(ODD_TEXTS))))
    elif way == 2 and isinstance(parent, dict):
        parent[chance.choice(("x", "kind", "version", *map(str, parent)))] = _odd(chance)
    elif way == 3:
        other, name = chance.choice(places)
        parent[key] = json.loads(json.dumps(other[name]))
    elif way == 4:
        parent[key] = json.loads(chance.choice(samples))
    elif way == 5 and isinstance(parent[key], list) and len(parent[key]) < 1000:
        parent[key] = parent[key] * chance.choice((0, 2, 2, 100))
    elif way == 6:
        parent[key] = chance.choice(([parent[key]], {"a": parent[key]}, str(parent[key])))
    elif way == 7 and isinstance(parent[key], (int, float)):
        parent[key] = chance.choice(
            (
                -1,
                0,
                2,
                3,
                7,
                parent[key] + 1,
                -parent[key],
                parent[key] / 2 if abs(parent[key]) < 1e300 else 0.5,
                2**31,
                2**63,
                10**18,
            )
        )
    elif way == 8 and isinstance(parent[key], str):
        parent[key] = chance.choice(_alike(parent[key]))
    else:
        parent[key] = _odd(chance)
    return holder.get("")


def _alike(text: str) -> Sequence[str]:
    """Return odd texts for one: for a time odd times, for a path odd paths."""
    if re.match(r"\d{4}-\d\d-\d\dT", text):
        return TIMES
    return HOSTILE_PATHS if "/" in text or "." in text else ODD_TEXTS


def _odd(chance: random.Random) -> Any:
    """Return a copy, which later changes may change."""
    return copy.deepcopy(chance.choice(ODD_VALUES))


def _drop(parent: Any, key: Any, name: str | None = None) -> None:
    value = parent.pop(key)
    if name is not None:
        parent[name] = value


def _walk(document: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the place of every value, as the object or list that holds it and its key there."""
    waiting: list[Any] = [document]
    for holder in waiting:
        for key in list(holder) if isinstance(holder, dict) else range(len(holder)):
            yield holder, key
            if isinstance(holder[key], (dict, list)):
                waiting.append(holder[key])


# -- archives


def mutate_zip(chance: random.Random, samples: Sequence[bytes]) -> bytes:
    """Write the files of a zip again with hostile names, types and sizes, or damage its bytes."""
    if chance.random() < 0.4:
        return mutate_bytes(chance, samples)
    with zipfile.ZipFile(io.BytesIO(chance.choice(samples))) as archive:
        entries = [(info, archive.read(info)) for info in archive.infolist()]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for info, content in _change_entries(chance, entries):
            try:
                archive.writestr(info, content, compresslevel=1)
            except (ValueError, UnicodeError, OverflowError, RuntimeError):  # what zipfile itself does not write
                continue
    raw = buffer.getvalue()
    if chance.random() < 0.2:  # a size or a checksum in the directory that is not that of the content
        place = raw.rfind(b"PK\1\2")
        raw = raw[: place + 16] + chance.randbytes(12) + raw[place + 28 :]
    return mutate_bytes(chance, [raw]) if chance.random() < 0.2 else raw


def _change_entries(chance: random.Random, entries: list[Any]) -> Iterator[tuple[zipfile.ZipInfo, bytes]]:
    changed = chance.randrange(len(entries) + 1)
    for number, (info, content) in enumerate(entries):
        new = zipfile.ZipInfo(info.filename)
        new.compress_type = zipfile.ZIP_DEFLATED
        if number == changed:
            way = chance.randrange(7)
            if way == 0:
                new.compress_type = chance.choice((zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, zipfile.ZIP_STORED))
            elif way == 1:
                new.external_attr = chance.choice((stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, 0xFFFF)) << 16
                content = chance.choice((b"/etc/passwd", b"../x", content))
            elif way == 2:
                content = chance.choice((b"", b"\0" * (40 << 20), b"\xff" * 1000, content * 3))
            else:
                new.filename = chance.choice(HOSTILE_PATHS)
        yield new, content
    if changed == len(entries):
        yield zipfile.ZipInfo(chance.choice((*HOSTILE_PATHS, entries[0][0].filename))), chance.choice((b"", b"x"))


def mutate_tar(chance: random.Random, samples: Sequence[bytes]) -> bytes:
    """Write a tar with hostile entries, or damage one."""
    if chance.random() < 0.6:
        return mutate_bytes(chance, samples)
    buffer, paths = io.BytesIO(), [path for path in HOSTILE_PATHS if len(path) < 1000]  # tarfile takes minutes for longer ones
    kind = chance.choice((tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))
    try:
        with tarfile.open(fileobj=buffer, mode=chance.choice(("w", "w:gz", "w:bz2")), format=kind) as archive:
            for _ in range(chance.randrange(3)):
                info = tarfile.TarInfo(chance.choice(paths))
                info.type = chance.choice((tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, b"x", b"L", b"Z"))
                info.linkname = chance.choice(paths)
                info.size = chance.choice((0, 0, 5, -1, 2**40)) if info.type != tarfile.REGTYPE else 5
                archive.addfile(info, io.BytesIO(b"bytes") if info.type == tarfile.REGTYPE else None)
    except (ValueError, UnicodeError, OverflowError, tarfile.TarError):  # what tarfile itself does not write
        return mutate_bytes(chance, samples)
    return mutate_bytes(chance, [buffer.getvalue()]) if chance.random() < 0.3 else buffer.getvalue()
