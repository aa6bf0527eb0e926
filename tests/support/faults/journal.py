"""The journal of a campaign: what came of each case."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.faults.cases import Case

DRAWS = 2  # raise it when seeds begin to mean other cases: records of earlier ones do not count any more


@dataclass
class Record:
    """What came of a case, as the journal keeps it.

    :param struck: for each fault, what it did and when; None when the try was over before.
    :param tries: how each try has ended: ``succeeded``, ``killed``, or the class of its error.
    :param skipped: why the case was not run on this machine.
    """

    seed: int
    job: str
    place: str
    storage: str
    faults: list[str]
    struck: list[str | None] = field(default_factory=list)
    tries: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    skipped: str | None = None
    seconds: float = 0.0
    draws: int = DRAWS

    @classmethod
    def of(cls, case: Case) -> Record:
        """Return the record of a case that has not run yet."""
        return cls(case.seed, case.job.name, case.place, case.storage, [fault.name for fault in case.faults])

    def show(self) -> str:
        """Return what came of the case, in a line for people."""
        case = f"{self.seed}: {self.job}, {self.place}, {self.storage}; {' and '.join(self.faults)}"
        if self.skipped is not None:
            return f"{case}: skipped, {self.skipped}"
        struck = ", ".join(each or "not reached" for each in self.struck)
        return f"{case} ({struck}): {', '.join(self.tries)}, {len(self.violations)} violations, {self.seconds:.0f} s"


@dataclass(frozen=True)
class Finding:
    """How a bug on purpose was found.

    :param only: the pattern that its cases had to match, if it was looked for in some of them.
    :param cases: how many ran.
    :param seed: of the case that had a violation; None if none had.
    """

    bug: str
    only: str | None = None
    cases: int = 0
    seed: int | None = None
    violation: str = ""


class Journal:
    """The records of a campaign, a line of JSON each; a later record of a case replaces an earlier one."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def add(self, record: Record | Finding) -> None:
        """Add a record, without the fields that are empty."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        is_cut = self._file.exists() and not self._file.read_bytes().endswith(b"\n")  # its writer was killed
        document = {name: value for name, value in dataclasses.asdict(record).items() if value not in ([], None, "")}
        with self._file.open("a", encoding="utf-8") as file:
            file.write("\n" * is_cut + json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n")

    def read_all(self) -> list[Record]:
        """Return all records of these draws, oldest first. A line that was cut off is passed over."""
        return [record for record in self._parse(Record) if record.draws == DRAWS]

    def read(self) -> dict[int, Record]:
        """Return the newest record of each seed."""
        return {record.seed: record for record in self.read_all()}

    def read_findings(self) -> list[Finding]:
        """Return the newest finding of each bug in all cases, and in those of a pattern."""
        return list({(finding.bug, finding.only): finding for finding in self._parse(Finding)}.values())

    def _parse(self, kind: type[Any]) -> list[Any]:
        lines = self._file.read_text(encoding="utf-8").splitlines() if self._file.exists() else []
        found = (_parse(line, kind) for line in lines)
        return [record for record in found if record is not None]


def _parse(line: str, kind: type[Any]) -> Any:
    try:
        return kind(**json.loads(line))
    except (ValueError, TypeError):
        return None


def list_open_seeds(seeds: Iterable[int], journal: Iterable[Record]) -> list[int]:
    """Return those of some seeds whose cases have not run, or had violations."""
    done = {record.seed for record in journal if not record.violations and record.skipped is None}
    return [seed for seed in seeds if seed not in done]
