"""Random scripts in the MLSQL language, and what has to hold for each: it compiles or is refused, and soon.

``scripts(seed)`` gives the same scripts for the same seed. Shared by the tests and ``benchmarks/language.py``.
"""

from __future__ import annotations

import importlib.util
import itertools
import random
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from mlsql_runtime.errors import InputError
from mlsql_runtime.language import check_script, compile_script

ROOT = Path(__file__).parents[2]
LANGUAGE = ROOT / "tests" / "runtime" / "language"
LONGEST = 4000  # characters of a script that is mutated
INCLUDED = {"a.mlsql": "set a='x';\nload csv.`/b` as data;\n", "self.mlsql": "include 'self.mlsql';", "b/wrong.mlsql": "sve t;"}
VARIABLES = {"a": "x", "days": "1", "empty": "", "quote": "'\"`;", "pythonScriptPath": "t.py", "pythonPredictScriptPath": "p.py"}
#: One of every kind; ``{n}`` is a number.
STATEMENTS = """
-- data, as they come: 数据
set day{n}="2024-05-{n}" where type="defaultParam";
set spark.sql.a{n}='1' where type="conf";
connect jdbc where url="jdbc:h2:mem:{n}" and driver="org.h2.Driver" as db{n};
load libsvm.`/data/${day{n}}/sample_libsvm_data.txt` where numFeatures='692' as data{n};
load jdbc.`db{n}.people` as people{n};
train data{n} as PythonAlg.`/models/{n}` where
    pythonScriptPath="train.py" /* relative */
    and `fitParam.0.batchSize`="1000" and `fitParam.1.batchSize`="100"
    and validateTable="data{n}" and systemParam.envs='''{"A": "${day{n}}"}''';
register PythonAlg.`/models/{n}` as jack{n} options pythonScriptPath="predict.py" and minScore="0.5";
select jack{n}(features) as p, 'it''s' as s, count(*) over (partition by label) from data{n} where label > 0 as new{n};
predict new{n} as PythonAlg.`/models/{n}` where pythonScriptPath="batch.py" as predicted{n};
save overwrite predicted{n} as parquet.`/out/{n}` where compression='zstd' partitionBy a, b;
"""
WORDS = (
    *("load", "save", "train", "run", "predict", "register", "connect", "set", "include", "select", "with", "insert", "!show"),
    *("as", "where", "options", "and", "partitionBy", "overwrite", "append", "errorIfExists", "ignore", "from", "data", "t"),
    *("csv", "jdbc", "jsonStr", "csvStr", "modelParams", "PythonAlg", "local", "type", "conf", "sql", "shell", "defaultParam"),
    *("`/m`", "`a.b`", "``", "'x'", '"x"', "'true'", "'false'", "'1'", "'-1'", "'1e999'", "'{}'", "'[[[['", "'a.mlsql'"),
    *("'self.mlsql'", "'b/wrong.mlsql'", "'../x'", "'\\0'", "'''", '"""', "'", '"', "`", "/*", "*/", "--", "\\", "${a}", "${x}"),
    *(
        "${",
        "}",
        "\\${",
        "${empty}",
        "${quote}",
        ".",
        ",",
        "=",
        ";",
        "(",
        ")",
        "\n",
        "\r\n",
        "\t",
        "\0",
        "\ufeff",
        "表",
        "\U0001f600",
    ),
    *("\u2028", "\ud800", "\udcff", "ⅷ", "²", "٣", "İ", "r'", 'R"', "pythonScriptPath='/t.py'", "fitParam.0.a='1'"),
    *("fitParam.9999.a='1'", "fitParam..a='1'", "validateTable='data'", "enableDataLocal='false'", "kafkaParam.topic='t'"),
    *("kafkaParam.bootstrap.servers='b:1'", "kafkaParam.reuse='true'", "systemParam.envs='{\"A\": 1}'", "keepVersions='2'"),
    *(
        "dataLocalFormat='csv'",
        "modelVersion='1'",
        "algIndex='0'",
        "sampleTable='data'",
        "url='jdbc:x'",
        "fileNum='2'",
        "9" * 5000,
    ),
)
_TOKENS = re.compile(r"\w+|\s+|.", re.DOTALL)


@dataclass(frozen=True)
class Examples:
    """Scripts that are worth mutating: those that compile, and those that do not."""

    right: tuple[str, ...]
    wrong: tuple[str, ...]

    def any(self, chance: random.Random) -> str:
        return chance.choice(self.right if chance.random() < 0.6 else self.wrong)


def examples() -> Examples:
    """The script from the field, the documentation's, one with everything; and all the wrong ones of the tests."""
    documentation = (ROOT / "docs" / "reference" / "language.md").read_text(encoding="utf-8")
    right = [(LANGUAGE / "seed.mlsql").read_text(encoding="utf-8"), *re.findall(r"```sql\n(.*?)```", documentation, re.DOTALL)]
    right += [STATEMENTS.replace("{n}", "1"), "include 'a.mlsql'; select * from data as t; save t as csv.`/c`;"]
    errors = _module(LANGUAGE / "test_errors.py")
    wrong = [text.replace(errors.MARK, "") for text, _ in errors.WRONG]
    wrong += re.findall(r"`([^`\n]*(?:`[^`\n]+`[^`\n]*)*;)`", documentation)
    return Examples(tuple(right), tuple(text for text in wrong if len(text) <= LONGEST))


def _module(path: Path) -> ModuleType:
    """A test's module, wherever this is imported from."""
    spec = importlib.util.spec_from_file_location(f"fuzzed_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def scripts(seed: int, examples: Examples) -> Iterator[str]:
    """Random scripts without end: one in five of random words, the others mutations of ``examples``."""
    chance = random.Random(seed)
    while True:
        if chance.random() < 0.2:
            yield _random(chance)
            continue
        text = examples.any(chance)
        for _ in range(chance.choice((1, 1, 1, 2, 8))):
            text = chance.choice(_MUTATIONS)(chance, text, examples)[:LONGEST]
        yield text


def _random(chance: random.Random) -> str:
    between = chance.choice((" ", "", "\n"))
    return between.join(_piece(chance) for _ in range(chance.randrange(40)))


def _piece(chance: random.Random) -> str:
    return chance.choice(WORDS) if chance.random() < 0.9 else _character(chance)


def _character(chance: random.Random) -> str:
    return chr(chance.choice((chance.randrange(128), chance.randrange(0x3000), chance.randrange(0x110000))))


def _span(chance: random.Random, text: str) -> tuple[int, int]:
    begin = chance.randrange(len(text) + 1)
    return begin, min(len(text), begin + int(chance.expovariate(0.1)) + 1)


def _flip_character(chance: random.Random, text: str, _: Examples) -> str:
    begin, _end = _span(chance, text)
    return text[:begin] + _character(chance) + text[begin + 1 :]


def _flip_bit(chance: random.Random, text: str, _: Examples) -> str:
    raw = bytearray(text.encode("utf-8", "surrogatepass"))
    if raw:
        raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
    return raw.decode("utf-8", chance.choice(("replace", "surrogateescape", "ignore")))


def _delete(chance: random.Random, text: str, _: Examples) -> str:
    begin, end = _span(chance, text)
    return text[:begin] + text[end:]


def _duplicate(chance: random.Random, text: str, _: Examples) -> str:
    begin, end = _span(chance, text)
    return text[:end] + text[begin:end] * chance.choice((1, 1, 2, 50)) + text[end:]


def _insert(chance: random.Random, text: str, _: Examples) -> str:
    begin, _end = _span(chance, text)
    return text[:begin] + f" {_piece(chance)} " + text[begin:]


def _replace_token(chance: random.Random, text: str, _: Examples) -> str:
    tokens = _TOKENS.findall(text) or [""]
    tokens[chance.randrange(len(tokens))] = _piece(chance)
    return "".join(tokens)


def _shuffle(chance: random.Random, text: str, _: Examples) -> str:
    tokens = _TOKENS.findall(text)
    begin = chance.randrange(len(tokens) + 1)
    window = tokens[begin : begin + chance.choice((3, 10, 1000))]
    chance.shuffle(window)
    return "".join([*tokens[:begin], *window, *tokens[begin + len(window) :]])


def _splice(chance: random.Random, text: str, examples: Examples) -> str:
    other = examples.any(chance)
    return text[: chance.randrange(len(text) + 1)] + other[chance.randrange(len(other) + 1) :]


def _follow(chance: random.Random, text: str, examples: Examples) -> str:
    return f"{text}\n{examples.any(chance)}"


_MUTATIONS = (_flip_character, _flip_bit, _delete, _duplicate, _insert, _replace_token, _shuffle, _splice, _follow)


def compiles(text: str, folder: Path) -> bool:
    """Whether a script compiles; both ways of asking answer the same, and say where.

    :raises AssertionError: otherwise. Whatever else the compiler raises is raised.
    """
    errors = check_script(text, folder=folder, variables=VARIABLES)
    for error in errors:
        assert type(error) is InputError
        assert error.origin is not None
        assert error.origin.line >= 1
        assert error.origin.column >= 1
    try:
        compile_script(text, folder=folder, variables=VARIABLES)
    except InputError:
        assert errors
        return False
    assert not errors
    return True


@dataclass
class Tally:
    """What came of many scripts. ``limit`` is how many seconds of the processor one may take, for benchmarks."""

    limit: float | None = None
    compiled: int = 0
    refused: int = 0
    slowest: str = ""
    seconds: float = 0.0

    def add(self, text: str, folder: Path) -> None:
        """Try one script.

        :raises AssertionError: when it fails otherwise than with an InputError, or takes too long; with the script.
        """
        took, good = _tried(text, folder)
        if self.limit is not None and took > self.limit:  # or the machine was busy: a slow script is slow again
            took = min(took, *(_tried(text, folder)[0] for _ in range(3)))
        assert self.limit is None or took <= self.limit, f"{took:.1f} s for {len(text)} characters: {text!r}"
        self.compiled += good
        self.refused += not good
        if took > self.seconds:
            self.slowest, self.seconds = text, took


def _tried(text: str, folder: Path) -> tuple[float, bool]:
    begun = time.process_time()
    try:
        good = compiles(text, folder)
    except Exception as error:
        raise AssertionError(f"{type(error).__name__}: {error}, for {text!r}") from error
    return time.process_time() - begun, good


def write_included(folder: Path) -> None:
    """The files that random scripts may include."""
    for name, text in INCLUDED.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def run(amount: int, seed: int, folder: Path, limit: float | None = None) -> Tally:
    """Try that many scripts."""
    write_included(folder)
    tally = Tally(limit)
    for text in itertools.islice(scripts(seed, examples()), amount):
        tally.add(text, folder)
    return tally
