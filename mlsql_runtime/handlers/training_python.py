"""The interpreter and the environment variables of the training of a version, for register and predict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlsql_runtime.events import log
from mlsql_runtime.plan import PythonEnv, Train
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.manifest import Manifest

if TYPE_CHECKING:
    from mlsql_runtime.run_context import RunContext


def find_training_python(root: Location, manifest: Manifest, context: RunContext) -> PythonEnv:
    """Return the settings of the training: complete in the job of the training, in others as far as they are kept."""
    if context.trained.get(root.uri) == manifest.version:
        for statement in reversed(context.plan.statements[: context.index]):
            if isinstance(statement, Train) and root.at(statement.model_path).uri == root.uri:
                return statement.python
    return manifest.python


def log_what_is_not_kept(what: str, own: PythonEnv, training: PythonEnv, manifest: Manifest) -> None:
    """Log which settings of the training a statement neither has nor gets.

    :param what: the statement in the log.
    """
    names = [name for name in manifest.parameters.get("envs", "").split(",") if name and name not in training.envs]
    if names and not own.envs:
        log(
            f"{what}: version {manifest.version} was trained with {', '.join(names)} in its environment; values that may be "
            "secret are not kept, so give them again as envs (systemParam.envs) if the script needs them"
        )
    if unsuitable := own.find_unsuitable_envs(training):
        log(
            f"{what}: {', '.join(unsuitable)} of the training of version {manifest.version} is not set, because the script runs "
            "with another interpreter; give it as envs (systemParam.envs) if the script needs it"
        )
    if "requirements" in manifest.parameters and training.requirements is None and not own.has_interpreter:
        log(
            f"{what}: version {manifest.version} was trained with requirements that are not kept, so the script runs with the "
            "job's own packages; give requirements (systemParam.requirements) if it needs others"
        )
