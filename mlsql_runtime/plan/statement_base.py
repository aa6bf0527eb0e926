"""What a statement says of itself, so that nothing but the engine asks of what type it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from mlsql_runtime.plan.python_env import PythonEnv

if TYPE_CHECKING:
    from mlsql_runtime.plan.feeds import KafkaFeed
    from mlsql_runtime.plan.tables import FunctionRef

ScriptRole = Literal["train", "register", "predict"]


@dataclass(frozen=True, kw_only=True)
class ScriptUse:
    """A script that a statement names: what it is for, the Python it runs with, and the parameters of each of its runs.

    ``is_run`` is False when the statement only asks whether the script could run.
    """

    path: str
    role: ScriptRole
    python: PythonEnv = field(default_factory=PythonEnv)
    params: tuple[Mapping[str, str], ...] = ()
    is_run: bool = True

    @property
    def is_function(self) -> bool:
        """Whether the script makes a function, which runs in the executors' own Python."""
        return self.role == "register"


@dataclass(frozen=True, kw_only=True)
class FitUse:
    """Which trained model a statement needs: of a version, None for the newest, the fit group, None for the best."""

    version: int | None
    alg_index: int | None


@dataclass(frozen=True, kw_only=True)
class TopicUse:
    """A Kafka feed of a training, with what tells its topics and groups from those of other trainings."""

    feed: KafkaFeed
    model_path: str
    readers: int


class StatementBase:
    """The questions that every statement answers. The answers here are those of a statement that has nothing to say."""

    tag: ClassVar[str]

    @property
    def title(self) -> str:
        """What the statement does, in short, without its options: they may be secrets."""
        raise NotImplementedError

    @property
    def defines(self) -> str | None:
        """The table that the statement makes for those after it."""
        return None

    @property
    def reads(self) -> tuple[str, ...]:
        """Tables that the statement needs, as far as fields name them."""
        return ()

    @property
    def reads_files(self) -> str | None:
        """The path of data in one of Spark's file formats; None for other sources and for several paths in braces."""
        return None

    @property
    def writes_files(self) -> str | None:
        """The path to which the statement writes data."""
        return None

    @property
    def script(self) -> ScriptUse | None:
        """The script that the statement names."""
        return None

    @property
    def archives(self) -> tuple[str, ...]:
        """Packed environments that Spark has to unpack on every node."""
        return ()

    @property
    def resources(self) -> Mapping[str, str]:
        """Files and folders that scripts get, by the name of the option."""
        return {}

    @property
    def model_root(self) -> str | None:
        """The model path that the statement names."""
        return None

    @property
    def makes_version(self) -> bool:
        """Whether the statement makes a version of the model at ``model_root``."""
        return False

    @property
    def stages_files(self) -> bool:
        """Whether the statement keeps files below ``model_root`` until it has ended."""
        return False

    @property
    def makes_function(self) -> str | None:
        """The name of the function that the statement registers below ``model_root``."""
        return None

    @property
    def needs_fit(self) -> FitUse | None:
        """The trained model below ``model_root`` that has to be there."""
        return None

    @property
    def needs_functions(self) -> tuple[FunctionRef, ...]:
        """Registered functions that have to be there."""
        return ()

    @property
    def topic(self) -> TopicUse | None:
        """The Kafka topic through which data reach the script."""
        return None

    @property
    def secret_values(self) -> Mapping[str, str]:
        """Values that may be secrets, by name: environment variables of scripts, options of Spark's readers and writers."""
        return {}

    def with_script(self, path: str) -> Any:
        """Return the statement with its script at another path."""
        raise NotImplementedError

    def with_author(self, author: str | None) -> Any:
        """Return the statement with its author, if the history of a function keeps one."""
        return self
