"""Run a predict script, and take the function that it gives to ``python_fun``, pickled."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlsql_runtime import codec
from mlsql_runtime.errors import InputError, ScriptFailed
from mlsql_runtime.events import ScriptEvent, emit
from mlsql_runtime.plan import NO_ACCESS, PythonEnv, StorageAccess
from mlsql_runtime.script.bundle import ScriptBundle
from mlsql_runtime.script.process import run_script, scratch_dir
from mlsql_runtime.script.protocol import Handover, ScriptInput, handover_file
from mlsql_runtime.script.resources import download_resources, find_resources
from mlsql_runtime.store.manifest import FitRecord, Manifest
from mlsql_runtime.store.signature import Signature


@dataclass(frozen=True, kw_only=True)
class FunctionScript:
    """A predict script, and the model for which it makes a function.

    :param label: what runs the script, for the log: ``register jack``.
    :param name: the script in errors.
    :param params: its parameters, those of resources included.
    :param options: the options of the statement, as text.
    :param signature: that of the fit group.
    :param on_event: called with each line that the script prints, as an event; by default it goes to the log.
    """

    label: str
    name: str
    bundle: ScriptBundle
    python: PythonEnv
    manifest: Manifest
    fit: FitRecord
    signature: Signature | None
    params: Mapping[str, str]
    options: Mapping[str, str]
    access: StorageAccess = NO_ACCESS
    on_event: Callable[[ScriptEvent], None] | None = None

    def run(self) -> tuple[bytes, Handover]:
        """Run the script in a child process; return the pickle of its function, and how to call it.

        :raises ScriptFailed: when the script fails.
        :raises InputError: when it ends without a function.
        """
        params, resources = find_resources(self.params, self.bundle, self.fit.params, self.label, self.access)
        with tempfile.TemporaryDirectory(prefix="mlsql-register-", dir=scratch_dir()) as name:
            folder = Path(name)
            function_file = folder / "function.pickle"
            script_input = ScriptInput(
                role="register",
                fit_params=self.bundle.fill(params, "fitParam.0"),
                system_params=self.python.system_params,
                internal_params={"resource": download_resources(resources, folder, "fitParam.0", self.access)},
                options=self.options,
                train_options=self.manifest.train_options,
                function_file=str(function_file),
                signature=self.signature,
            )
            on_event = self.on_event or (lambda event: emit(event, self.label))
            outcome = run_script(self.bundle, script_input, folder, self.python, on_event)
            if outcome.problem:
                raise ScriptFailed(f"{self.name} failed: {outcome.problem}", tail=list(outcome.tail))
            if not function_file.exists():
                raise InputError(
                    f"{self.name} ended without a function; "
                    "call python_fun.batch_udf(predict_batch) or python_fun.udf(predict) at its end",
                    path=self.bundle.entry,
                )
            written = Path(handover_file(str(function_file))).read_bytes()
            return function_file.read_bytes(), codec.loads(Handover, written, f"the function of {self.name}")
