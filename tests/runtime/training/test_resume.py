from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from mlsql_runtime.feed.table_facts import TableFacts, TableIdentity
from mlsql_runtime.store.manifest import FitRecord
from mlsql_runtime.training.group import GroupResult
from mlsql_runtime.training.resume import EarlierAttempts, StagedData

NOW = datetime.now(timezone.utc)
FACTS = TableFacts(rows=3, schema="", columns={}, width=None)
RESULTS = {
    0: GroupResult(
        record=FitRecord(
            alg_index=0,
            status="success",
            score=None,
            metrics={},
            message=None,
            params={},
            started=NOW,
            ended=NOW,
            packages={},
        ),
        tail=(),
    )
}


def data(**identity: Any) -> StagedData:
    return StagedData(table=TableIdentity(facts=FACTS, **identity), validate=None)


@pytest.mark.parametrize("identity", [{"uri": "/m/data"}, {"content": "3 ff"}])
def test_results_count_for_the_same_table(identity: dict[str, str]) -> None:
    assert EarlierAttempts(data(**identity), RESULTS).results_on(data(**identity)) == RESULTS
    assert data(**identity).is_same_as(data(**identity))


@pytest.mark.parametrize(
    ("now", "message"),
    [({"content": "3 0"}, "the table has changed"), ({}, "the table may have changed")],
    ids=["other", "unknown"],
)
def test_results_do_not_count_for_a_table_that_is_another_or_not_known_to_be_the_same(
    now: dict[str, str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {"content": "3 ff"} if now else {}
    assert EarlierAttempts(data(**before), RESULTS).results_on(data(**now)) == {}
    assert not data(**now).is_same_as(data(**before))
    assert not data(**now).table.is_same_as(data(**before).table)
    assert f"{message} since the earlier attempt; all groups are trained again" in capsys.readouterr().out
