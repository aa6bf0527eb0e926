"""Projects, archives and texts of users: zips, folders, MLproject, scripts, requirements, packed environments; MLSQL itself."""

from __future__ import annotations

import gzip
import io
import random
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mlsql_runtime.exchange.foreign_model import open_foreign_model
from mlsql_runtime.plan import PythonEnv
from mlsql_runtime.plan.options import own_options
from mlsql_runtime.plan.parsers import NO_FILES
from mlsql_runtime.script.bundle import read_bundle
from mlsql_runtime.script.project import read_project
from mlsql_runtime.script.source_code import check_imports, check_syntax, required_modules
from mlsql_runtime.storage.location import Location
from mlsql_runtime.submission.precheck import check_archive
from support import language_fuzz
from support.fuzz.engine import Kind, Mutate, Target
from support.fuzz.mutations import ODD_TEXTS, mutate_bytes, mutate_tar, mutate_zip
from support.fuzz.stores import write_bundle

MLPROJECT = b"""name: tutorial
conda_env: conda.yaml
entry_points:
  main:
    train:
      parameters: &shared
        alpha: {type: float, default: 0.5}
        rounds: int
        when: {type: string, default: 2024-05-01}
      command: "python train.py {alpha} --rounds={rounds} '{alpha} {rounds}'"
    batch_predict:
      parameters: *shared
      command: "python batch.py"
"""
MLMODEL = b"""artifact_path: model
flavors:
  python_function: {loader_module: mlflow.sklearn, model_path: model.pkl, python_version: 3.11.7, env: {virtualenv: p.yaml}}
  sklearn: {pickled_model: model.pkl, serialization_format: cloudpickle, code: null}
run_id: 0123
mlflow_version: 3.1.0
saved_input_example_info: {artifact_path: example.json, pandas_orient: split, type: dataframe}
signature:
  inputs: '[{"type": "double", "name": "x", "required": true}, {"type": "array", "items": {"type": "long"}, "name": "y"}]'
  outputs: '[{"type": "tensor", "tensor-spec": {"dtype": "int64", "shape": [-1]}}]'
"""
TENSOR = b"""flavors:
  pyfunc: {data: data}
signature:
  inputs: '[{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 4]}}]'
"""
SHARED = b"""entry_points:
  train:
    parameters: {a: {type: float, default: 1.0}, b: {type: path, default: x}}
    command: python train.py {a} {b}
"""
SCRIPT = b'''"""Train."""
import mlsql, numpy as np
with open("x") as file:
    from sklearn import linear_model
for rows in mlsql.read_batches(): print(f"mlsql_validation_score:{len(rows)}", r'\\d', """text""", 0x10, 1_000, b"\\x00")
def f(*args, **kwargs): return lambda x: [y for y in {1: 2}.items() if y and (x := y)]
'''
REQUIREMENTS = b"""# packages
scikit-learn==1.5.2
numpy>=2 ; python_version > "3.9"
other @ https://example.org/other-1.0.tar.gz#sha256=0
pandas \\
  ==2.0
"""
YAML_ODDITIES = (
    b"&a [*a, *a]",
    b"2001-99-99",
    b"!!python/object/apply:os.system [id]",
    b"!!int abc",
    b"0b",
    b"? [a, b] : c",
    b"<<: {a: 1}",
    b"{" * 500,
    b"- " * 500,
    b"190:20:30",
    b".inf",
    b"!!binary =",
    b"\t",
    b"%YAML 9.9\n---",
    b"*nothing",
    b"\n".join([b"m0: &m0 {x: 1}", *(b"m%d: &m%d {<<: [*m%d, *m%d]}" % (n, n, n - 1, n - 1) for n in range(1, 30))]),
    b"\n".join(
        [b"a0: &a0 [x, x]", *(b"a%d: &a%d [*a%d, *a%d, *a%d]" % (n, n, n - 1, n - 1, n - 1) for n in range(1, 30)), b"z: *a29"]
    ),
)


def _zip(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _tar(mode: Any) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        info = tarfile.TarInfo("bin/python")
        info.size = 5
        archive.addfile(info, io.BytesIO(b"bytes"))
    return buffer.getvalue()


def mutate_yaml(chance: random.Random, samples: Sequence[bytes]) -> bytes:
    """Exchange a value of YAML for an odd one, or damage its bytes."""
    if chance.random() < 0.5:
        return mutate_bytes(chance, samples)
    text = chance.choice(samples)
    words = [*text.replace(b",", b" , ").split(b" ")]
    place = chance.randrange(len(words))
    odd = chance.choice((*YAML_ODDITIES, *(text.encode("utf-8", "surrogatepass") for text in ODD_TEXTS)))
    words[place] = odd
    return b" ".join(words) if chance.random() < 0.8 else text + b"\n" + odd + b"\n"


def _path(name: str, samples: Sequence[bytes], mutate: Mutate, use: Callable[[Path], Any]) -> Callable[[Path], Target]:
    def make(folder: Path) -> Target:
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)

        def read(case: bytes) -> Any:
            place.write_bytes(case)
            return use(place)

        return Target(samples, mutate, read, folder, where=(str(place), place.name))

    return make


def _bundle(place: Path) -> bool:
    """Read a project in a zip, and write it where a script runs."""
    bundle = read_bundle(str(place), "train")
    required_modules(bundle)
    _ = bundle.facts
    return write_bundle(bundle, place.parent)


def _script(place: Path) -> bool:
    bundle = read_bundle(str(place), "train")
    required_modules(bundle)
    check_imports(bundle, str(place))
    check_syntax(bundle, str(place))
    return True


def _mlproject(place: Path) -> bool:
    project = read_project(place.read_bytes(), str(place))
    for point in project.points.values():
        assert all(len(parameter.default or "") < 1 << 20 for parameter in point.parameters.values())
        point.command_line({name: parameter.default or "7" for name, parameter in point.parameters.items()})
    return True


class _Files:
    """Finds the files that a statement names, as the front doors do."""

    def find_table(self, value: Any, name: str) -> str:
        return NO_FILES.find_table(value, name)

    def resolve_path(self, path: str) -> str:
        return path

    def read_file(self, path: str) -> bytes | None:
        return Location.of(path).read_or_none()


def _requirements(place: Path) -> bool:
    text = own_options(PythonEnv)["requirements"].parser.parse(str(place), "requirements", _Files())
    python = PythonEnv(requirements=text)
    _ = python.system_params, python.kept_requirements
    return True


def _script_text(folder: Path) -> Target:
    """A script in MLSQL. Its cases are those of ``support.language_fuzz``, which also checks where errors are."""
    language_fuzz.write_included(folder)
    good = language_fuzz.examples()

    def mutate(chance: random.Random, samples: Sequence[bytes]) -> bytes:
        text = next(language_fuzz.scripts(chance.randrange(1 << 60), good))
        return text.encode("utf-8", "surrogatepass")

    def read(case: bytes) -> bool:
        return language_fuzz.compiles(case.decode("utf-8", "surrogatepass"), folder)

    return Target([b"load csv.`/b` as data;"], mutate, read, folder)


def _mlmodel(place: Path) -> Any:
    (place.parent / "example.json").write_text('{"columns": ["x", "y"], "data": [[1.5, [1]]]}')
    (place.parent / "requirements.txt").write_text("scikit-learn==1.6.0")
    with open_foreign_model(str(place.parent)) as model:
        return model


PROJECT = {"MLproject": MLPROJECT, "train.py": SCRIPT, "batch.py": SCRIPT, "lib/words.py": b"def read(): pass\n"}
KINDS = (
    Kind("MLSQL", _script_text, 10),
    Kind(
        "project in a zip", _path("p.zip", [_zip(PROJECT), _zip({f"p/{n}": c for n, c in PROJECT.items()})], mutate_zip, _bundle)
    ),
    Kind("MLproject", _path("MLproject", [MLPROJECT, SHARED], mutate_yaml, _mlproject)),
    Kind("MLmodel", _path("model/MLmodel", [MLMODEL, TENSOR], mutate_yaml, _mlmodel)),
    Kind("script", _path("train.py", [SCRIPT], mutate_bytes, _script)),
    Kind("requirements", _path("requirements", [REQUIREMENTS], mutate_bytes, _requirements)),
    Kind(
        "packed environment, tar",
        _path(
            "env.tar.gz",
            [_tar("w:gz"), _tar("w"), _tar("w:bz2"), _tar("w:xz"), gzip.compress(_tar("w"), 1)],
            mutate_tar,
            lambda place: check_archive(f"{place}#env"),
        ),
    ),
    Kind(
        "packed environment, zip",
        _path("env.zip", [_zip({"bin/python": b"x"})], mutate_zip, lambda place: check_archive(f"{place}#env")),
    ),
)
