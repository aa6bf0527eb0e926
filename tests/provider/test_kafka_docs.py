"""What docs/how-to/kafka.md shows of the hook runs as it stands."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from broker import Broker
from support.workbench import TESTS


def test_the_hooks_examples_run_one_after_the_other(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_MLSQL_KAFKA_DEFAULT", json.dumps({"conn_type": "mlsql_kafka", "host": broker.bootstrap}))
    text = (TESTS.parent / "docs" / "how-to" / "kafka.md").read_text(encoding="utf-8")
    section = text.partition("\n## The hook\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    assert len(blocks) == 4
    space: dict[str, Any] = {}
    for block in blocks:
        exec(block, space)
    assert space["topic"].changed == {"retention.ms": "3600000"}
    assert (space["group"].state, space["group"].members, space["lag"].total) == ("Empty", (), 0)
    assert space["kafka"].list_topics("orders") == ()
