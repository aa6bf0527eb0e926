"""Claims: small files that take a number, for a version or for a function package, so that no other process takes it too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from mlsql_runtime import codec
from mlsql_runtime.errors import FormatError, StorageError
from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The claim of a version. All fields are optional: readers use what a claim says and never depend on it.

    :param created: when the number was taken.
    :param training: the same in all attempts of one training, and different for each training of the job.
    :param attempt: different in each attempt.
    """

    job_id: str | None = None
    created: datetime | None = None
    training: str | None = None
    attempt: str | None = None


def read_claim(folder: Location) -> Claim:
    """Read the claim in a version's folder; a claim that is missing or damaged is an empty one."""
    place = folder / layout.CLAIM
    try:
        return codec.loads(Claim, place.read_or_none() or b"", place.uri)
    except FormatError:
        return Claim()


def claim_number(taken: list[int], folder_of: Callable[[int], Location], claim: bytes) -> tuple[int, Location]:
    """Take the next free number by creating a claim in its folder exclusively.

    :param taken: the numbers that are known to be taken.
    :returns: the number and its folder.
    """
    number = max(taken, default=0) + 1
    while True:
        folder = folder_of(number)
        try:
            (folder / layout.CLAIM).create(claim)
            return number, folder
        except FileExistsError:
            number += 1
        except StorageError:
            folder.remove_if_empty()
            raise
