"""Write docs/reference/options.md, the options of every statement, from their declarations; ``--print`` only prints it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from mlsql_runtime.plan import Predict, Register, Save, Train
from mlsql_runtime.plan.options import Option, all_options

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "options.md"
_STATEMENTS = (
    ("train, run", Train, "MLSQLTrainOperator"),
    ("register", Register, "MLSQLRegisterOperator"),
    ("predict", Predict, "MLSQLPredictOperator"),
    ("save", Save, "MLSQLPredictOperator"),
)
_HEAD = """# Options

`make reference` writes this page from the declarations of the options in `mlsql_runtime/plan/`. In MLSQL each value is
text in quotes. Operators take values of the types below, or their text, as templates render it. More about the options:
[training](../how-to/training.md), [Kafka](../how-to/kafka.md), [environments](../how-to/environments.md),
[functions](../how-to/functions.md).
"""


def render() -> str:
    """Return the text of the page."""
    tables = (
        f"## {title}\n\n| MLSQL | `{operator}` | type | default | unit | description |\n|---|---|---|---|---|---|\n"
        + "".join(f"{_render_row(option)}\n" for option in all_options(statement))
        for title, statement, operator in _STATEMENTS
    )
    return "\n".join([_HEAD, *tables])


def _render_row(option: Option) -> str:
    argument = "none" if option.argument is None else f"`{option.argument}`"
    if option.key and not option.key.endswith("."):
        argument = f'`{option.argument}["{option.key}"]`'
    kind = option.parser.type if option.prefix is None else f"text; operator: {option.parser.type}"
    if option.argument_parser is not None:
        kind = f"{kind}; operator: {option.argument_parser.type}"
    default = "none" if option.is_optional else f"`{option.parser.format(option.default)}`"
    text = re.sub(r"docs/([\w-]+/([\w-]+))\.md", r"[\2](../\1.md)", option.doc.replace("``", "`"))
    return f"| `{option.name}` | {argument} | {kind} | {default} | {option.unit or ''} | {text} |"


if __name__ == "__main__":
    if "--print" in sys.argv:
        print(render(), end="")
    else:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(render(), encoding="utf-8")
