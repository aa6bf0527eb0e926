"""The Python of a script: an interpreter, packages for it, archives that contain it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mlsql_runtime.errors import InputError, StorageError
from mlsql_runtime.plan.options import check_options, format_options, option, own_options
from mlsql_runtime.plan.parsers import FLAGS, MAPPING, POSITIVE, TEXT, Parser, Resolver, parse_json, whole

#: The end of errors about another Python for a function.
FUNCTION_PYTHON_HELP = (
    "a registered function runs in the executors' own Python; set Spark's property spark.pyspark.python to the one that it needs "
    "(and spark.archives to bring it along), of the driver's minor version"
)
ARCHIVES = (".tar.gz", ".tgz", ".tar", ".zip", ".jar")  # that Spark unpacks
MAX_SEED = 2**32 - 1  # what PYTHONHASHSEED and NumPy take
_PREFIX = "systemParam."
_UNREADABLE = ("envs", "requirements")  # in the system parameters: names, a digest
_INTERPRETER = ("path", "requirements", "archives")
# Settings of Python, of numeric libraries and of the dynamic linker. Nobody can tell whether another variable holds a secret.
_NEVER_SECRET = re.compile(
    r"(?!.*(?i:token|secret|pass|credential|key))(?!TF_(VAR|CLI)_)"  # TF_ is Terraform's, too
    r"(PYTHON\w*|PATH|LD_LIBRARY_PATH|LANG|LC_\w+|TZ|(TF|OMP|MKL|OPENBLAS|NUMEXPR|BLIS|KERAS|XLA|CUDA|TORCH|JOBLIB)_\w+)"
)
# Those that name files of one installation of Python, which break another.
_OF_INSTALLATION = re.compile(r"PYTHON(HOME|EXECUTABLE|PLATLIBDIR|USERBASE)|LD_\w+|DYLD_\w+|VIRTUAL_ENV|CONDA_PREFIX")
_USER = re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]*:)?//(?P<user>[^/\s]+)@", re.IGNORECASE)
_OF_CONTAINERS = ("abfs:", "abfss:", "wasb:", "wasbs:")  # <container>@<account>
_OF_ORACLE = re.compile(r"(?P<before>jdbc:oracle:\w+:)[^/@\s]*/\S*@", re.IGNORECASE)
_QUERY = re.compile(r"//\S+\?")
_CONTINUED = re.compile(r"\\\n")
_ELSEWHERE = re.compile(r"(-|\.\.?(/|$)|file:)")  # options, and paths that mean something on one machine only


def _is_version(version: str) -> bool:
    if not re.fullmatch(r"\d+(\.\d+){0,2}", version):
        return False
    if version.split(".")[0] == "2":
        raise InputError(
            f"pythonVer is {version!r}, but PySpark dropped Python 2 and runs on Python 3 only; "
            "port the script, and set pythonVer to '3' or leave it out"
        )
    return True


def _to_requirements(value: Any, name: str, resolver: Resolver) -> str | None:
    given = parse_json(value)
    if isinstance(given, str):
        return _read_requirements(given, resolver) if given.strip() else None
    if not isinstance(given, Sequence):
        raise ValueError
    return "\n".join(map(str, given)) or None


def _read_requirements(path: str, resolver: Resolver) -> str:
    path = resolver.resolve_path(path)
    try:
        content = resolver.read_file(path)
        if content is None:
            raise InputError(f"requirements file {path} does not exist; check requirements", path=path)
        return content.decode()
    except (StorageError, ValueError) as error:  # not UTF-8, or not a path
        raise InputError(f"{path} cannot be read as a requirements file: {error}; check requirements", path=path) from error


def _to_archives(value: Any, name: str, resolver: Resolver) -> tuple[str, ...]:
    given = parse_json(value)
    parts = given.split(",") if isinstance(given, str) else given
    if not isinstance(parts, Sequence):
        raise ValueError
    split = [str(part).strip().partition("#") for part in parts if str(part).strip()]
    return tuple(f"{resolver.resolve_path(path)}{mark}{folder}" for path, mark, folder in split)


def _to_version(value: Any, name: str, resolver: Resolver) -> str:
    """Return a version as text; templates that render to native objects, and YAML, make the number 3.1 of 3.10."""
    return f"{value:.2f}" if isinstance(value, float) else str(value)


_VERSION = Parser("version prefix", "a version prefix such as '3' or '3.11'", _to_version, _is_version)
_REQUIREMENTS = Parser(
    "path of a requirements file, or list of packages",
    "the path of a requirements file, or a list of packages",
    _to_requirements,
    lambda text: text is None or bool(parse_requirements(text)),
)
_ARCHIVES = Parser(
    "`<path>#<name>`, one or several",
    "text such as 'env.tar.gz#env', or a list of such",
    _to_archives,
    lambda archives: all(map(get_archive_name, archives)),
    ",".join,
)


@dataclass(frozen=True, kw_only=True)
class PythonEnv:
    """The interpreter of a script and its environment: the options ``systemParam.…``.

    ``requirements`` is the text of a requirements file: the script runs in an environment of these packages, which each node
    builds with the interpreter and keeps.
    """

    path: str | None = option(
        "systemParam.pythonPath",
        Parser("path", "a path", TEXT.convert),
        None,
        "Interpreter that runs the script; by default that of the job, for a batch script that of the training. "
        "``<name>/bin/python`` is the one in the archive ``<name>``.",
        argument="python_path",
    )
    version: str | None = option(
        "systemParam.pythonVer",
        _VERSION,
        None,
        "Version prefix that the interpreter must have, such as ``3.11``.",
        argument="python_ver",
    )
    flags: tuple[str, ...] = option(
        "systemParam.pythonParam",
        FLAGS,
        (),
        "Flags of the interpreter, such as ``-X dev`` or ``-u,-O``.",
        argument="python_param",
    )
    envs: Mapping[str, str] = option("systemParam.envs", MAPPING, {}, "Environment variables of the script.", argument="envs")
    timeout: float | None = option(
        "systemParam.timeout", POSITIVE, None, "Seconds after which a run of the script is ended.", argument="timeout", unit="s"
    )
    seed: int | None = option(
        "systemParam.seed",
        whole(0, MAX_SEED),
        None,
        "Seed of hashes, ``random`` and NumPy in the script, which reads it with ``mlsql.seed()``; without it they are random.",
        argument="seed",
    )
    requirements: str | None = option(
        "systemParam.requirements",
        _REQUIREMENTS,
        None,
        "A requirements file, or a list of packages. Each node builds an environment with them for the script, and keeps it for "
        "later jobs.",
        argument="requirements",
    )
    archives: tuple[str, ...] = option(
        "systemParam.archives",
        _ARCHIVES,
        (),
        "Packed environments that Spark brings to every node and unpacks, such as ``env.tar.gz#env``.",
        argument="archives",
    )

    def __post_init__(self) -> None:
        check_options(self)
        if self.requirements is not None and self.is_unpacked:
            raise InputError(
                f"requirements cannot be built with {self.path}, which is in an archive and travels with the job; "
                "install them into the environment before it is packed"
            )

    @property
    def is_unpacked(self) -> bool:
        """Return whether the interpreter is in an archive, so that it exists only after Spark has unpacked it."""
        first, _, rest = (self.path or "").removeprefix("./").partition("/")
        return bool(rest) and first in map(get_archive_name, self.archives)

    @property
    def system_params(self) -> dict[str, str]:
        """These settings under MLSQL's names.

        Environment variables and requirements may hold secrets: of the variables there are only the names, of the requirements
        a digest.
        """
        params = {name.removeprefix(_PREFIX): text for name, text in format_options(self).items()}
        if self.envs:
            params["envs"] = ",".join(sorted(self.envs))
        if self.requirements is not None:
            params["requirements"] = f"sha256:{_digest(self.requirements)}"
        return params

    @classmethod
    def from_system_params(cls, params: Mapping[str, str], envs: Mapping[str, str], requirements: str | None) -> PythonEnv:
        """Return the settings of :attr:`system_params`, with the variables and the requirements that were kept beside them."""
        texts = {f"{_PREFIX}{name}": text for name, text in params.items() if name not in _UNREADABLE}
        options = {name: each for name, each in own_options(cls).items() if each.name in texts}
        values = {name: each.parser.parse(texts[each.name], each.name) for name, each in options.items()}
        return cls(**values, envs=envs, requirements=requirements)

    @property
    def kept_envs(self) -> dict[str, str]:
        """The environment variables whose values may be kept: those that never hold secrets."""
        return {name: value for name, value in self.envs.items() if _NEVER_SECRET.fullmatch(name)}

    @property
    def kept_requirements(self) -> str | None:
        """The requirements, unless a URL in them has a user, a password or a query, which may be a signature."""
        text = self.requirements
        return None if text is None or hide_passwords(text) != text or _QUERY.search(text) else text

    @property
    def has_interpreter(self) -> bool:
        """Whether the interpreter or its packages are named; by default they are those of the job."""
        return any(getattr(self, name) for name in _INTERPRETER)

    def or_of_training(self, training: PythonEnv) -> PythonEnv:
        """Return these settings with those of a training for what they leave out: interpreter and packages, flags, variables.

        With an interpreter or packages of its own, a statement has nothing of those of the training, nor the variables of
        :meth:`find_unsuitable_envs`.
        """
        unsuitable = self.find_unsuitable_envs(training)
        training = replace(training, envs={name: text for name, text in training.envs.items() if name not in unsuitable})
        shared = ("flags", "envs") if self.has_interpreter else (*_INTERPRETER, "version", "flags", "envs")
        return replace(self, **{name: getattr(training, name) for name in shared if not getattr(self, name)})

    def find_unsuitable_envs(self, training: PythonEnv) -> tuple[str, ...]:
        """Return the environment variables of a training that are about its interpreter, if these settings name another one."""
        own, other = ((each.path or "python", each.requirements, each.archives) for each in (self, training))
        if own == other or not self.has_interpreter or self.envs:
            return ()
        return tuple(name for name in training.envs if _OF_INSTALLATION.fullmatch(name))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def parse_requirements(requirements: str) -> tuple[str, ...]:
    """Return the packages of a requirements file's text, one for each line, without comments.

    :raises InputError: without packages, and for a line that is an option or a local path.
    """
    lines = _CONTINUED.sub(" ", requirements).splitlines()
    found = tuple(line for line in (re.sub(r"(^|\s)#.*", "", line).strip() for line in lines) if line)
    for line in found:
        if _ELSEWHERE.match(line):
            raise InputError(
                f"requirements has the line {hide_passwords(line)!r}; expected packages only, such as 'scikit-learn==1.5.2': "
                "nodes read no other files, and take packages from where their own configuration of pip or uv says"
            )
    if not found:
        raise InputError("requirements names no package; name one, or leave it out")
    return found


def hide_passwords(text: str, instead: str = "***@") -> str:
    """Return a text to show, with stars for users and passwords in its URLs."""

    def hide(found: re.Match[str]) -> str:
        scheme = found["scheme"] or ""
        is_container = scheme.lower() in _OF_CONTAINERS and ":" not in found["user"]
        return found[0] if is_container else f"{scheme}//{instead}"

    return _USER.sub(hide, _OF_ORACLE.sub(rf"\g<before>{instead}", text))


def get_archive_name(archive: str) -> str:
    """Return the folder in which Spark unpacks an archive, below the working directory of tasks.

    :raises InputError: when Spark would not unpack it, or the name is not one of a folder.
    """
    path, _, name = archive.partition("#")
    if hide_passwords(archive) != archive:
        raise InputError(
            f"archives has {hide_passwords(archive)!r} with a user or a password, which would be on command lines and in "
            "manifests; leave them out, and let the cluster's configuration have them"
        )
    if not path.lower().endswith(ARCHIVES):
        raise InputError(f"archives has {archive!r}; expected <path>#<name>, with a path that ends in {', '.join(ARCHIVES)}")
    name = name or path.rsplit("/", 1)[-1]
    if "," in archive or "/" in name or name in (".", ".."):
        raise InputError(f"archives has {archive!r}; expected <path>#<name>, without commas, and with a name without slashes")
    return name


def merge_archives(archives: Iterable[str], others: str = "") -> str:
    """Return the value of Spark's property ``spark.archives``: ``others``, which it has, and then ``archives``, each once.

    :raises InputError: when two would be unpacked in the same folder.
    """
    every = dict.fromkeys([*(text.strip() for text in others.split(",") if text.strip()), *archives])
    by_name: dict[str, str] = {}
    for archive in every:
        other = by_name.setdefault(get_archive_name(archive), archive)
        if other != archive:
            raise InputError(f"archives {other!r} and {archive!r} have one name; give one of them another, behind '#'")
    return ",".join(every)
