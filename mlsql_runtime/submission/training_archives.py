"""The archives with the Python of trainings, which batch scripts without a Python of their own need."""

from __future__ import annotations

from collections.abc import Iterator

from mlsql_runtime.plan import NO_ACCESS, Plan, StorageAccess
from mlsql_runtime.store.versions import open_model_path, read_manifest


def find_training_archives(plan: Plan, access: StorageAccess = NO_ACCESS) -> Iterator[str]:
    """Yield the archives of the trainings of earlier jobs whose Python a statement of the plan uses.

    :param access: connections to storage.
    :raises VersionNotFound: when there is no such version.
    """
    trained = set()
    for outline in (statement.outline for statement in plan.statements):
        if outline.model_root is None or (script := outline.script) is None:
            continue
        root = open_model_path(outline.model_root, access)
        if outline.makes_version:
            trained.add(root.uri)
        elif outline.needs_fit and root.uri not in trained and not script.is_function and not script.python.has_interpreter:
            yield from read_manifest(root, outline.needs_fit.version).python.archives
