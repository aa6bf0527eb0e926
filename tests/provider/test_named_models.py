"""Which model paths this Airflow has named, read from tables as Airflow has them, and which of them a user may see."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session
from support.airflow_tables import NOW, add_event, add_xcom, open_tables

from airflow_provider_mlsql.pages import named_models
from airflow_provider_mlsql.pages.access import Viewer
from airflow_provider_mlsql.pages.named_models import NamedModels, find_path
from airflow_provider_mlsql.pages.storage_paths import without_password
from airflow_provider_mlsql.xcom_versions import FAILED_VERSION


@pytest.fixture
def session() -> Iterator[Session]:
    with open_tables() as session:
        yield session


def test_xcoms_and_events_of_assets_name_models(session: Session) -> None:
    model = {"model_path": "/m", "version": 1}
    add_xcom(session, "a", model)
    add_xcom(session, "b", {"train": [model, {"model_path": "s3://b/other", "version": 2}]}, run=2)
    add_xcom(session, "c", {"model_path": "/failed", "version": 3}, run=3, key=FAILED_VERSION)
    add_xcom(session, "d", {"model_path": "/by another key", "version": 3}, run=4, key="other")
    add_xcom(session, "e", {"model_path": "/without a version"}, run=5)
    add_event(session, "f", {"model_path": "/m", "version": 1})
    add_event(session, "g", {"other": "model_path"})
    assert NamedModels().look(session) == {"/m": {"a", "b", "f"}, "s3://b/other": {"b"}, "/failed": {"c"}}


def test_only_what_is_new_is_read_again(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    named = NamedModels()
    add_xcom(session, "a", {"model_path": "/old", "version": 1})
    assert set(named.look(session)) == {"/old"}
    add_xcom(session, "b", {"model_path": "/late", "version": 1}, run=2, at=NOW - timedelta(minutes=1))
    add_xcom(session, "b", {"model_path": "/too old", "version": 1}, run=3, at=NOW - timedelta(hours=1))
    add_xcom(session, "b", {"model_path": "/new", "version": 1}, run=4, at=NOW + timedelta(hours=1))
    assert set(named.look(session)) == {"/old", "/late", "/new"}
    monkeypatch.setattr(named_models, "MAX_PATHS", 3)
    add_xcom(session, "b", {"model_path": "/one too many", "version": 1}, run=5, at=NOW + timedelta(hours=2))
    add_xcom(session, "c", {"model_path": "/new", "version": 1}, run=6, at=NOW + timedelta(hours=2))
    assert named.look(session) == {"/old": {"a"}, "/late": {"b"}, "/new": {"b", "c"}}


def test_what_a_look_has_found_is_not_lost_when_its_next_query_fails(session: Session) -> None:
    named = NamedModels()
    add_xcom(session, "a", {"model_path": "/old", "version": 1}, at=NOW - timedelta(hours=1))
    add_xcom(session, "a", {"model_path": "/new", "version": 2}, run=2)
    session.execute(text("alter table asset_event rename to elsewhere"))
    with pytest.raises(OperationalError, match="asset_event"):
        named.look(session)
    session.execute(text("alter table elsewhere rename to asset_event"))
    assert set(named.look(session)) == {"/old", "/new"}


def test_paths_in_the_configuration_are_named_by_no_dag(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__MLSQL__MODEL_PATHS", "/m/, s3://b/x\n/other,")
    add_xcom(session, "a", {"model_path": "/m", "version": 1})
    assert NamedModels().look(session) == {"/m": {"a"}, "s3://b/x": frozenset(), "/other": frozenset()}


def test_a_path_is_found_by_what_is_shown_of_it() -> None:
    named: dict[str, frozenset[str]] = {"s3://user:secret@b/m": frozenset("a")}
    assert find_path(named, "s3://b/m") == "s3://user:secret@b/m"
    assert find_path(named, "s3://b/n") is None


def test_containers_of_an_azure_account_are_different_places() -> None:
    dev, prod = (f"abfss://{container}@account.dfs.core.windows.net/m" for container in ("dev", "prod"))
    named = {dev: frozenset("a"), prod: frozenset("b")}
    assert [find_path(named, without_password(path)) for path in (dev, prod)] == [dev, prod]


class Reader(Viewer):
    """A user who may read some DAGs."""

    def __init__(self, *dags: str, reads_all: bool = False) -> None:
        self._may_read = dict.fromkeys(dags, True) | {"secret": False}
        self.__dict__["_reads_all_dags"] = reads_all


def test_a_user_sees_the_models_of_readable_dags() -> None:
    named = {"/m": ("secret", "a"), "/secret": ("secret",), "/configured": ()}
    assert Reader("a").select(named) == ["/m"]
    assert Reader("a", reads_all=True).select(named) == ["/m", "/configured"]
    assert Reader().select({"/secret": ("secret",)}) == []
