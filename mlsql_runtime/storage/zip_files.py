"""Read a project from a zip, without files that would be written outside of the project's folder."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib

from mlsql_runtime.errors import InputError
from mlsql_runtime.storage.relative_paths import is_plain

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # those that zipfile unpacks piece by piece
_DAMAGED = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError)
_REGULAR = (0, stat.S_IFREG, stat.S_IFDIR)  # 0: zips made on systems that know no types


def read_zip(data: bytes, where: str, limit: int, is_kept: bool = False) -> dict[str, bytes]:
    """Return the content of each file by its relative path; a single folder around all files is left out.

    :param where: the zip's path, for errors.
    :param limit: bytes that all files together may have.
    :param is_kept: whether it is the zip of a version, where nothing is left out, and names are those of files on Linux.
    :raises InputError: when it is not a zip, is damaged, encrypted or too large, or has links or paths out of the project.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = [info for info in archive.infolist() if not info.filename.endswith("/")]
            for info in infos:
                _check(info, where, is_kept)
            size = sum(info.file_size for info in infos)
            if size > limit:
                raise InputError(
                    f"{where} holds {size >> 20} MiB when it is unpacked; at most {limit >> 20} MiB travel with a job: keep data "
                    "elsewhere and name it as fitParam.<i>.resource.<name>",
                    path=where,
                )
            files = {info.filename: _unpack(archive, info) for info in infos}
    except _DAMAGED as error:
        raise InputError(f"{where} cannot be unpacked: {str(error)[:200]}; create the zip again", path=where) from error
    if len(files) < len(infos) or _overlap(files):
        raise InputError(f"{where} has two entries for one path; create the zip again", path=where)
    return files if is_kept else _without_top(files)


def _unpack(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """Return the content of an entry, of which no more is unpacked than the zip says that there is."""
    with archive.open(info) as file:
        content = file.read(info.file_size)  # which checks its checksum, too
    if len(content) != info.file_size:
        raise EOFError(f"{info.filename} ends early")
    return content


def _check(info: zipfile.ZipInfo, where: str, is_kept: bool) -> None:
    name = info.filename
    if not is_plain(name) or not (is_kept or ("\\" not in name and ":" not in name.partition("/")[0])):
        raise InputError(
            f"{where} has the entry {name[:100]!r}, which leads out of the project or is not a plain path; create the zip "
            "from inside the project's folder",
            path=where,
        )
    if stat.S_IFMT(info.external_attr >> 16) not in _REGULAR:
        raise InputError(f"{where} has the entry {name!r}, which is a link; put the file itself into the zip", path=where)
    if info.flag_bits & 0x1:
        raise InputError(f"{where} is encrypted; create the zip without a password", path=where)
    if info.compress_type not in _METHODS:
        raise InputError(f"{where} has the entry {name!r} compressed in a rare way; create the zip with deflate", path=where)


def _overlap(files: dict[str, bytes]) -> bool:
    """Return whether a path is both a file and a folder."""
    folders = {name[:at] for name in files for at, letter in enumerate(name) if letter == "/"}
    return not folders.isdisjoint(files)


def _without_top(files: dict[str, bytes]) -> dict[str, bytes]:
    """Leave out the name of the folder that a zip was made of, which precedes every path."""
    files = {name: content for name, content in files.items() if not name.startswith("__MACOSX/")}
    tops = {name.partition("/")[0] for name in files}
    if len(tops) == 1 and all("/" in name for name in files):
        return {name.partition("/")[2]: content for name, content in files.items()}
    return files
