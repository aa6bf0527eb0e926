"""The preflight statement, for ``mlsql doctor`` and the hook's connection test: check the hosts, run nothing."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from mlsql_runtime.plan import Preflight
from mlsql_runtime.preflight.host_check import HostNeeds
from mlsql_runtime.preflight.hosts import check_hosts
from mlsql_runtime.result import PreflightResult
from mlsql_runtime.script.bundle import ScriptBundle, read_bundle
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout
from mlsql_runtime.store.staging import open_staging
from mlsql_runtime.store.versions import open_model_path

if TYPE_CHECKING:
    from mlsql_runtime.run_context import RunContext

_NO_SCRIPT = ScriptBundle("script.py", {"script.py": b""})


def preflight(statement: Preflight, context: RunContext) -> PreflightResult:
    """Return what every host has and lacks. Problems are part of the result here, not an error."""
    path = statement.script_path
    bundle = _NO_SCRIPT if path is None else read_bundle(context.locate_script(path), statement.runs, context.access)
    is_function = statement.runs == "register"
    needs = HostNeeds.of_function(bundle) if is_function else HostNeeds.of_script(bundle, statement.python)
    needs = replace(needs, paths=tuple(Location.of(path).path for path in statement.paths))
    with ExitStack() as cleanup:
        if statement.model_path is not None:
            root = open_model_path(statement.model_path, context.access)
            stage = cleanup.enter_context(open_staging(root, context.job_id, "preflight"))
            needs = replace(needs, seen=(stage.folder / layout.CLAIM).uri, access=context.access)
        return check_hosts(context, needs)
