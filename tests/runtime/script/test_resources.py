"""The resources of scripts: their names are those of folders, whoever wrote them."""

from __future__ import annotations

import pytest

from mlsql_runtime.errors import FormatError, InputError
from mlsql_runtime.script.bundle import ScriptBundle
from mlsql_runtime.script.resources import find_resources, split_resources

BUNDLE = ScriptBundle("predict.py", {"predict.py": b"mlsql.resource('words')"})


@pytest.mark.parametrize("name", ["../escaped", "a/b", "..", "", "n" * 300, "a\0b"])
def test_a_name_that_leads_out_of_the_folder_is_refused(name: str) -> None:
    params = {f"resource.{name}": "/data/words.txt"}
    with pytest.raises(InputError, match="expected a name for the resource"):
        split_resources(params)
    with pytest.raises(FormatError, match="predict: in the manifest of the model, fitParam"):
        find_resources({}, BUNDLE, params, "predict")
