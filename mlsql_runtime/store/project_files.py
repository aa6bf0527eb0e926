"""The files of the project that trained a version, in one zip beside its model."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping

from mlsql_runtime.errors import InputError, IntegrityError
from mlsql_runtime.storage.location import Location
from mlsql_runtime.storage.zip_files import read_zip
from mlsql_runtime.store import layout
from mlsql_runtime.store.manifest import Manifest
from mlsql_runtime.store.verification import verify_files

MAX_BYTES = 64 << 20  # of the files of a project, which travel with a job
# Names of files that contain keys, passwords or tokens; Python's own modules are never among them.
_SECRET_NAME = re.compile(
    r".*\.(pem|key|p12|pfx|p8|jks|keystore|keytab|ppk|kdbx|gpg|env|tfvars|tfstate)"
    r"|id_(rsa|dsa|ecdsa|ed25519)|_netrc|\w*(secrets?|credentials?)(\.(json|ya?ml|toml|ini|cfg|conf|csv|txt|xml|properties))?",
    re.IGNORECASE,
)
_PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY")


def split_private_files(files: Mapping[str, bytes]) -> tuple[dict[str, bytes], list[str]]:
    """Return the files that may be kept with a version, and the names of others: hidden files, and files with keys.

    :param files: contents by relative path.
    """
    private = {name: _is_private(name, content) for name, content in files.items()}
    kept = {name: content for name, content in files.items() if not private[name]}
    return kept, [name for name in files if private[name]]


def _is_private(path: str, content: bytes) -> bool:
    *_, name = parts = path.split("/")
    if any(part.startswith(".") for part in parts):
        return True
    return not name.endswith(".py") and bool(_SECRET_NAME.fullmatch(name) or _PRIVATE_KEY.search(content))


def pack_files(files: Mapping[str, bytes]) -> bytes:
    """Return a zip of files, the same one for the same files.

    :param files: contents by relative path.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)  # with a constant time
    return buffer.getvalue()


def read_project_files(root: Location, manifest: Manifest) -> dict[str, bytes] | None:
    """Return the files of a version's project by relative path; None if the version keeps none.

    :raises IntegrityError: when the zip is not the one that the manifest names, or not one that a training has written.
    """
    entries = [entry for entry in manifest.files if entry.path == layout.PROJECT]
    if not entries:
        return None
    folder = layout.version_dir(root, manifest.version)
    verify_files(folder, entries)
    place = folder / layout.PROJECT
    try:
        return read_zip(place.read(), place.uri, MAX_BYTES, is_kept=True)
    except InputError as error:
        raise IntegrityError(f"{error.message}: no training has written it", path=place.uri) from error
