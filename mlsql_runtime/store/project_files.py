"""The files of the project that trained a version, in one zip beside its model."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.manifest import Manifest
from mlsql_runtime.store.verification import verify_files


def pack_files(files: Mapping[str, bytes]) -> bytes:
    """Return a zip of files, the same one for the same files. Hidden files such as ``.env`` are left out: they may hold secrets.

    :param files: contents by relative path.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in sorted(files.items()):
            if not any(part.startswith(".") for part in name.split("/")):
                archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)  # with a constant time
    return buffer.getvalue()


def read_project_files(root: Location, manifest: Manifest) -> dict[str, bytes] | None:
    """Return the files of a version's project by relative path; None if the version keeps none.

    :raises IntegrityError: when the zip is not the one that the manifest names.
    """
    entries = [entry for entry in manifest.files if entry.path == layout.PROJECT]
    if not entries:
        return None
    folder = layout.version_dir(root, manifest.version)
    verify_files(folder, entries)
    with zipfile.ZipFile(io.BytesIO((folder / layout.PROJECT).read())) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}
