"""Operator arguments as people give them, rendered from templates perhaps, as the values a plan takes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlsql_runtime.errors import InputError
from mlsql_runtime.plan import TableRef, parse_table_ref
from mlsql_runtime.plan.table_ref import option_text

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator

_NOTHING = (None, "", "None", "null")


def as_int(value: Any, what: str) -> int | None:
    """A whole number, or None for nothing; text as templates render it is fine."""
    if value in _NOTHING:
        return None
    try:
        return int(str(value))
    except ValueError:
        raise InputError(f"{what} is {value!r}; expected a whole number") from None


def as_float(value: Any, what: str) -> float | None:
    """A number, or None for nothing."""
    if value in _NOTHING:
        return None
    try:
        return float(str(value))
    except ValueError:
        raise InputError(f"{what} is {value!r}; expected a number") from None


def as_options(value: Mapping[str, Any] | None, what: str) -> dict[str, str]:
    """A dict of option texts."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InputError(f"{what} is a {type(value).__name__}; expected a dict")
    return {str(key): option_text(item) for key, item in value.items()}


def as_groups(value: Any) -> tuple[dict[str, str], ...]:
    """``fit_params``: a list of dicts, one dict, or JSON text of either; nothing is one empty group."""
    if isinstance(value, str) and value not in _NOTHING:
        value = _json(value, "fit_params")
    if value in _NOTHING:
        return ({},)
    groups = [value] if isinstance(value, Mapping) else value
    if not isinstance(groups, Sequence):
        raise InputError(f"fit_params is a {type(value).__name__}; expected a list of dicts, one for each fit group")
    return tuple(as_options(group, f"fit_params[{index}]") for index, group in enumerate(groups))


def as_table(value: Any, what: str, extra: tuple[str, ...] = ()) -> TableRef:
    """A table in storage: ``format.`path```, a dict, or JSON text of one."""
    return parse_table_ref(as_value(value, what), what, extra)


def as_value(value: Any, what: str) -> Any:
    """JSON text as its value; everything else as it is."""
    return _json(value, what) if isinstance(value, str) and value.lstrip()[:1] in ("{", "[") else value


def _json(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise InputError(f"{what} is {text!r}, which is not JSON ({error})") from None


def script_path(operator: BaseOperator, path: str) -> str:
    """A relative script path, from the DAG file's folder if there is such a script, else from the working directory."""
    dag = operator.get_dag()
    if "://" in path or os.path.isabs(path) or dag is None:
        return path
    beside = os.path.join(os.path.dirname(dag.fileloc), path)
    return beside if os.path.exists(beside) else path
