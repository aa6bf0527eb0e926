"""What takes a version number: a small file that says who took it, when, and for which training."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timezone

from mlsql_runtime.storage.location import Location
from mlsql_runtime.store import layout


@dataclass(frozen=True, kw_only=True)
class Claim:
    """``training`` tells one training of a job from another one of it, and is the same in all attempts of the job; ``attempt``
    is another one in each. ``created`` is when the number was taken. A claim is a courtesy, not a document: what it does not
    say is None.
    """

    job_id: str | None = None
    created: datetime | None = None
    training: str | None = None
    attempt: str | None = None

    def dump(self) -> bytes:
        claimed = None if self.created is None else self.created.isoformat()
        document = {"job_id": self.job_id, "claimed": claimed, "training": self.training, "attempt": self.attempt}
        return json.dumps(document).encode()


def read_claim(folder: Location) -> Claim:
    """The claim in a version's folder."""
    try:
        document = json.loads((folder / layout.CLAIM).read_or_none() or b"{}")
        created = datetime.fromisoformat(document["claimed"])
        training, attempt = document.get("training"), document.get("attempt")
        return Claim(
            job_id=str(document["job_id"]),
            created=created if created.tzinfo else created.replace(tzinfo=timezone.utc),
            training=None if training is None else str(training),
            attempt=None if attempt is None else str(attempt),
        )
    except (ValueError, KeyError, TypeError):
        return Claim()
