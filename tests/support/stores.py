"""Names that tests of the sensor share with the fixture that publishes for them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone

T0 = datetime(2026, 1, 1, tzinfo=timezone.utc)
Store = Callable[..., None]
