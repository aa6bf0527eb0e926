"""One fit group in one folder: what its script is told, the run, the verdict. The same on an executor and in ``mlsql fit``."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from mlsql_runtime.errors import InputError
from mlsql_runtime.feed.files.table import TableFiles
from mlsql_runtime.feed.topic.table import TableTopic
from mlsql_runtime.plan import RESOURCE, PythonEnv
from mlsql_runtime.result import FitStatus
from mlsql_runtime.script.bundle import ScriptBundle
from mlsql_runtime.script.process import Outcome, run_script
from mlsql_runtime.script.protocol import PROTOCOL_VERSION, ScriptInput
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.manifest import FitRecord

DATA, VALIDATE, MODEL, LOG = "data", "validate", "model", "log"  # what a group's folder holds, by name


@dataclass(frozen=True, kw_only=True)
class Group:
    """A fit group, whatever brings its data and takes its model."""

    alg_index: int
    fit_params: Mapping[str, str]
    bundle: ScriptBundle
    python: PythonEnv
    system_params: Mapping[str, str]
    task_cpus: int


@dataclass(frozen=True)
class GroupEnd:
    """How a group ended; ``tail`` is the script's last output."""

    record: FitRecord
    tail: tuple[str, ...]


def run_group(
    group: Group,
    folder: Path,
    data: TableFiles | TableTopic,
    validate: TableFiles | None,
    kafka_params: Mapping[str, str],
    on_line: Callable[[str], None],
) -> GroupEnd:
    """Run the group in its folder, leaving ``model/`` and ``log`` in it. A script's failure is an answer, not an exception.

    :param on_line: called with every line of the script as it comes.
    :raises InputError: when a resource is not there.
    """
    script_input = ScriptInput(
        protocol_version=PROTOCOL_VERSION,
        role="train",
        params=_params(group, folder, data, kafka_params),
        data=data,
        validate=validate,
    )
    started = datetime.now(timezone.utc)
    outcome = run_script(group.bundle, script_input, folder, folder / LOG, group.python, on_line, group.task_cpus)
    ended = datetime.now(timezone.utc)
    status, message = _judge(outcome, folder / MODEL)
    record = FitRecord(
        alg_index=group.alg_index,
        status=status,
        score=outcome.answers.score if status == "success" else None,
        metrics=outcome.answers.metrics or {},
        message=message,
        params=dict(group.fit_params),
        started=started,
        ended=ended,
        packages=outcome.packages,
    )
    return GroupEnd(record, outcome.tail)


def _params(
    group: Group, folder: Path, data: TableFiles | TableTopic, kafka_params: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    own = {key: value for key, value in group.fit_params.items() if not key.startswith(RESOURCE)}
    internal = {
        "tempModelLocalPath": str(folder / MODEL),
        "resource": _resources(group, folder),
        "algIndex": str(group.alg_index),
    }
    if isinstance(data, TableFiles):
        internal["tempDataLocalPath"] = data.path
    return {
        "fitParam": own,
        "kafkaParam": dict(kafka_params),
        "internalSystemParam": internal,
        "systemParam": dict(group.system_params),
    }


def _resources(group: Group, folder: Path) -> dict[str, str]:
    """Bring them along; name to local path."""
    resources = {}
    for key, uri in group.fit_params.items():
        if key.startswith(RESOURCE):
            name = key[len(RESOURCE) :]
            source, target = Location.of(uri), folder / "resource" / name
            if not source.exists():
                raise InputError(
                    f"fitParam.{group.alg_index}.{key} is {uri}, and there is nothing on {socket.gethostname()}", path=uri
                )
            source.download(target)
            resources[name] = str(target / source.name) if source.is_file() else str(target)
    return resources


def _judge(outcome: Outcome, model: Path) -> tuple[FitStatus, str | None]:
    """The group's status, and in one sentence what there is to say about it."""
    said = [outcome.problem] if outcome.problem else []
    status: FitStatus = "timeout" if outcome.timed_out else "failed" if outcome.problem else "success"
    if status == "success" and not any(path.is_file() for path in model.rglob("*")):
        status = "failed"
        said.append("it wrote no model: tempModelLocalPath was empty when it ended (save with mlsql_model.sk_save_model)")
    if status == "success" and outcome.answers.score_lines == 0:
        said.append("it printed no mlsql_validation_score, so it has no score")
    said.extend(outcome.notes)
    return status, "; ".join(said) or None
