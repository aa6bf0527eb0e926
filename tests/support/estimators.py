"""scikit-learn's estimators on the sample and on a table that can be learned."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from sklearn.datasets import load_svmlight_file

from mlsql_runtime.plan import Train
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.manifest import Manifest
from mlsql_runtime.store.versions import read_manifest
from support.workbench import SAMPLE, WIDTH

BUILTIN = "builtin:sklearn"
X, Y = load_svmlight_file(SAMPLE, n_features=WIDTH)
X = X.toarray()
# X is 0 to 199 in no order; y is what can be learned of it, word says it, and text has it among other words
LEARNABLE = """
select vec_dense(array(double(x), double(x * 7 % 13))) as features, double(x > 99) as label, double(x * 3 + 1) as number,
if(x > 99, 'many', 'few') as word,
concat_ws(' ', concat('w', x % 5), if(x > 99, 'rain and clouds', 'sun and sand'), concat('v', x % 7)) as text
from (select id * 73 % 200 as x from range(0, 200, 1, 1))
"""


def group(name: str, **params: str) -> dict[str, str]:
    """Return the parameters of a fit group of a built-in algorithm, of a class by its full name."""
    module, _, cls = name.rpartition(".")
    return {"moduleName": module, "className": cls, **params}


def train_groups(path: Path, script_path: str, *groups: dict[str, str], **fields: Any) -> Train:
    """Return a statement that trains these groups, on the sample unless ``fields`` name another table."""
    whole = {"table": "data", "model_path": str(path), "script_path": script_path, "fit_params": groups, **fields}
    return Train(**whole)


def manifest_of(path: Path) -> Manifest:
    """Return the manifest of the newest version."""
    return read_manifest(Location.of(str(path)))


def model_of(path: Path, alg_index: int) -> Any:
    """Return the model of a group of version 1."""
    return pickle.loads((path / f"_model_1/model/{alg_index}/model.pickle").read_bytes())
