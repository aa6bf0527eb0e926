"""``mlsql fit`` in a folder of its own, in this process or as a shell runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from mlsql_runtime.cli.main import main

COMMAND = [sys.executable, "-m", "mlsql_runtime.cli.main", "fit"]
SAVE = "import mlsql, mlsql_model; mlsql_model.sk_save_model({'a': 1});"
GOOD = SAVE + "print('mlsql_validation_score:0.5')"


class FitCommand:
    """A folder for scripts and data, which is the working directory, and one for temporary files of the command."""

    def __init__(self, folder: Path, environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.scratch, self._capsys = folder, folder / "tmp", capsys
        self.scratch.mkdir()
        environment.chdir(folder)
        environment.setenv("TMPDIR", str(self.scratch))
        environment.setattr(tempfile, "tempdir", None)  # so that it is found again
        (folder / "rows.json").write_text('{"features":[1,2],"label":0}\n{"features":[3,4],"label":1}\n')

    def write(self, source: str, name: str = "train.py") -> str:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text(source)
        return str(self.folder / name)

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command in this process; the script has one of its own."""
        self._capsys.readouterr()
        code = main(["fit", *arguments])
        out, err = self._capsys.readouterr()
        return subprocess.CompletedProcess(arguments, code, out, err)

    def in_child(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command as a shell does."""
        return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=100, check=False)

    def report(self, *arguments: str) -> dict[str, Any]:
        """Return the JSON document; standard output holds nothing else."""
        done = self(*arguments, "--json")
        document: dict[str, Any] = json.loads(done.stdout)
        assert done.returncode == (0 if document["status"] == "success" else 1), done.stderr
        return {**document, "stderr": done.stderr}

    @property
    def left(self) -> list[str]:
        return sorted(os.listdir(self.scratch))
