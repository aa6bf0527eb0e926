"""What a version was trained on, as functions of it must be called: its feature columns, its label and its classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MAX_CLASSES = 1000
MAX_CLASS_LENGTH = 256  # letters of a class; longer texts are no classes
Class = str | int | float | bool  # a value of the label column


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of the training table: its name, and its type in Spark's words, such as ``array<double>`` or ``vector``."""

    name: str
    type: str

    def __str__(self) -> str:
        return f"{self.name} {self.type}"


@dataclass(frozen=True, kw_only=True)
class Signature:
    """``features`` are in the order in which functions take them.

    :param label: None for a table without labels.
    :param classes: the values of the label, in ascending order; None when there are more than ``MAX_CLASSES``, or when they are
        not text of at most ``MAX_CLASS_LENGTH``, whole numbers, booleans or whole floating-point numbers.
    """

    features: tuple[Column, ...]
    label: Column | None = None
    classes: tuple[Class, ...] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the feature columns."""
        return tuple(column.name for column in self.features)

    @property
    def facts(self) -> Mapping[str, str]:
        """Its parts as text, by names for people."""
        facts = {"features": ", ".join(map(str, self.features))}
        if self.label is not None:
            facts["label"] = str(self.label)
        if self.classes is not None:
            facts["classes"] = ", ".join(map(str, self.classes))
        return facts
