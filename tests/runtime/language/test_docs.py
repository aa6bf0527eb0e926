"""What docs/reference/language.md shows is so."""

from __future__ import annotations

import re
from pathlib import Path

from mlsql_runtime.language import check_script, compile_script

TEXT = (Path(__file__).parents[3] / "docs" / "reference" / "language.md").read_text(encoding="utf-8")
SCRIPT, FROM_TEXT = re.findall(r"```sql\n(.*?)```", TEXT, re.DOTALL)


def test_the_script_compiles() -> None:
    tags = [statement.tag for statement in compile_script(SCRIPT).statements]
    assert tags == ["load", "train", "register", "select", "save"]
    assert [statement.tag for statement in compile_script(FROM_TEXT).statements] == ["load"]


def test_the_error_is_what_a_mistake_gives() -> None:
    wrong = SCRIPT.replace("    pythonScriptPath", "    and pythonScriptpath", 1).replace(
        "where\n", 'where pythonScriptPath="t.py"\n'
    )
    (error,) = check_script(wrong, name="train.mlsql")
    [shown] = re.findall(r"```text\n(train\.mlsql:.*?)\n```", TEXT, re.DOTALL)
    assert error.message == shown
