"""The scripts that the project of a training has for register and predict, which run them unless they name others."""

from __future__ import annotations

from mlsql_runtime.errors import ScriptNotFound
from mlsql_runtime.plan import NO_ACCESS, ScriptUse, StorageAccess, get_builtin_name
from mlsql_runtime.script.bundle import ScriptBundle, bundle_project, read_bundle
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.manifest import Manifest
from mlsql_runtime.store.project_files import read_project_files


def read_script(script_path: str | None, statement: str, root: Location, manifest: Manifest) -> ScriptBundle:
    """Return the script of a statement; without a path, the one in the project that the version keeps.

    :param statement: ``register`` or ``predict``.
    :raises ScriptNotFound: when there is none; see also :func:`read_bundle`.
    :raises IntegrityError: when the kept project is not the one that the manifest names.
    """
    if script_path is not None:
        return read_bundle(script_path, statement, root.access)
    if get_builtin_name(manifest.script.name) is not None:
        return read_bundle(manifest.script.name, statement)
    files = read_project_files(root, manifest)
    if files is None:
        raise ScriptNotFound(
            f"no script is given, and version {manifest.version} of {root.uri} does not contain the project that trained it; "
            "name a script as pythonScriptPath",
            path=root.uri,
        )
    return bundle_project(files, (layout.version_dir(root, manifest.version) / layout.PROJECT).uri, statement)


def find_script(script_path: str | None, statement: str, training: ScriptUse, access: StorageAccess = NO_ACCESS) -> ScriptBundle:
    """Return the script of a statement; without a path, the one in the project of a training that has not run yet.

    :raises ScriptNotFound: when there is none; see also :func:`read_bundle`.
    """
    path = script_path or str(training.path)
    if script_path is not None or get_builtin_name(path) is not None:
        return read_bundle(path, statement, access)
    return bundle_project(read_bundle(path, training.role, access).files, path, statement)
