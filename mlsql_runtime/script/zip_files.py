"""Read a project from a zip, without files that would be written outside of the project's folder."""

from __future__ import annotations

import io
import stat
import zipfile
import zlib

from mlsql_runtime.errors import InputError

_REGULAR = (0, stat.S_IFREG, stat.S_IFDIR)  # 0: zips made on systems that know no types


def read_zip(data: bytes, where: str, limit: int) -> dict[str, bytes]:
    """Return the content of each file by its relative path; a single folder around all files is left out.

    :param where: the zip's path, for errors.
    :param limit: bytes that all files together may have.
    :raises InputError: when it is not a zip, is damaged, encrypted or too large, or has links or paths out of the project.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir()]
            for info in infos:
                _check(info, where)
            size = sum(info.file_size for info in infos)
            if size > limit:
                raise InputError(
                    f"{where} holds {size >> 20} MiB when it is unpacked; at most {limit >> 20} MiB travel with a job: keep data "
                    "elsewhere and name it as fitParam.<i>.resource.<name>",
                    path=where,
                )
            files = {info.filename: archive.read(info) for info in infos}
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{where} cannot be unpacked: {error}; create the zip again", path=where) from error
    if len(files) < len(infos) or _overlap(files):
        raise InputError(f"{where} has two entries for one path; create the zip again", path=where)
    return _without_top(files)


def _check(info: zipfile.ZipInfo, where: str) -> None:
    parts = info.filename.split("/")
    if "\\" in info.filename or ":" in parts[0] or any(part in ("", ".", "..") for part in parts):
        raise InputError(
            f"{where} has the entry {info.filename!r}, which leads out of the project or is not a plain path; create the zip "
            "from inside the project's folder",
            path=where,
        )
    if stat.S_IFMT(info.external_attr >> 16) not in _REGULAR:
        raise InputError(
            f"{where} has the entry {info.filename!r}, which is a link; put the file itself into the zip", path=where
        )
    if info.flag_bits & 0x1:
        raise InputError(f"{where} is encrypted; create the zip without a password", path=where)


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
