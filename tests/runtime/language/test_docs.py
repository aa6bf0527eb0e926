"""What docs/language.md shows is so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mlsql_runtime.language import check_script

TEXT = (Path(__file__).parents[3] / "docs" / "language.md").read_text(encoding="utf-8")
(SCRIPT,) = re.findall(r"```sql\n(.*?)```", TEXT, re.DOTALL)
(PYTHON,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def test_the_script_compiles() -> None:
    found: dict[str, Any] = {"text": SCRIPT}
    exec(PYTHON, found)
    tags = [statement.tag for statement in found["compiled"].statements]
    assert tags == ["load", "train", "register", "select", "save"]


def test_the_error_is_what_a_mistake_gives() -> None:
    wrong = SCRIPT.replace("    pythonScriptPath", "    and pythonScriptpath", 1).replace(
        "where\n", 'where pythonScriptPath="t.py"\n'
    )
    (error,) = check_script(wrong, name="train.mlsql")
    shown = re.search(r"\n\n((?:    .*\n)+)", TEXT)
    assert shown is not None
    assert error.message == re.sub("^    ", "", shown[1], flags=re.MULTILINE).rstrip("\n")
