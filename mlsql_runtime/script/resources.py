"""Files and folders that parameters of a script name, copied to where it runs."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path

from mlsql_runtime import codec
from mlsql_runtime.errors import FormatError, InputError, StorageError
from mlsql_runtime.events import log
from mlsql_runtime.plan import NO_ACCESS, RESOURCE, StorageAccess
from mlsql_runtime.plan.names import list_resources
from mlsql_runtime.script.bundle import ScriptBundle
from mlsql_runtime.storage.file_lock import FileLock
from mlsql_runtime.storage.location import Location


def split_resources(params: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the parameters that the script gets as they are, and the URIs of its resources by name.

    :raises InputError: for a name that cannot be one of a folder.
    """
    list_resources([params])
    plain = {name: value for name, value in params.items() if not name.startswith(RESOURCE)}
    return plain, {name[len(RESOURCE) :]: uri for name, uri in params.items() if name.startswith(RESOURCE)}


def find_resources(
    params: Mapping[str, str],
    bundle: ScriptBundle,
    trained: Mapping[str, str],
    what: str,
    access: StorageAccess = NO_ACCESS,
) -> tuple[dict[str, str], dict[str, str]]:
    """Do as :func:`split_resources` for a script that uses a model: its resources are those of the training, too.

    They are left out if the script does not mention resources, and if they do not exist any more, which is logged.

    :param trained: the fit parameters of the training.
    :param what: the statement, for the log.
    :param access: connections to storage.
    :raises FormatError: when a resource of the training has a name that no training takes.
    """
    plain, own = split_resources(params)
    if not any(b"resource" in source for name, source in bundle.files.items() if name.endswith(".py")):
        return plain, own
    try:
        _, others = split_resources(trained)
    except InputError as error:
        raise FormatError(f"{what}: in the manifest of the model, {error.message}") from error
    missing = {name: uri for name, uri in others.items() if name not in own and not Location.of(uri, access).exists()}
    for name, uri in missing.items():
        log(f"{what}: the resource {name} of the training is not brought along, because there is nothing at {uri} any more")
    return plain, {name: uri for name, uri in {**others, **own}.items() if name not in missing}


def share_resources(resources: Mapping[str, str], folder: Path, where: str, access: StorageAccess = NO_ACCESS) -> dict[str, str]:
    """Do as :func:`download_resources`, once for all processes of this machine that name the same folder. The others wait.

    :raises StorageError: when the folder belongs to another user.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise StorageError(
            f"{folder} belongs to another user, who could change the resources in it; have it removed", path=str(folder)
        )
    done = folder / "paths.json"
    with FileLock(folder / "lock") as lock:
        lock.acquire()
        paths = read_shared_paths(done)
        if paths is None:
            shutil.rmtree(folder / "resource", ignore_errors=True)  # left by a task that was killed
            part = folder / "paths.json.part"
            paths = download_resources(resources, folder, where, access)
            part.write_text(codec.dumps(paths), encoding="utf-8")
            part.rename(done)
    return paths


def read_shared_paths(path: Path) -> dict[str, str] | None:
    """Return the paths of resources that were downloaded; None when they were not, or when the list of them is damaged."""
    return codec.read_or_none(dict[str, str], path)


def download_resources(
    resources: Mapping[str, str], folder: Path, where: str, access: StorageAccess = NO_ACCESS
) -> dict[str, str]:
    """Copy resources below ``folder``, and return the local path of each by its name.

    :param where: the name of the parameters in errors, such as ``fitParam.0``.
    :param access: connections to storage.
    :raises InputError: when one does not exist.
    """
    paths = {}
    for name, uri in resources.items():
        source, target = Location.of(uri, access), folder / "resource" / name
        if not source.exists():
            raise InputError(f"{where}.{RESOURCE}{name} is {uri}, and there is nothing on {socket.gethostname()}", path=uri)
        source.download(target)
        paths[name] = str(target / source.name) if source.is_file() else str(target)
    return paths
