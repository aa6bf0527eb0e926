"""A real Airflow; and model stores with versions and failures in them, written as training writes them, without training."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from support.airflow import Airflow
from support.deployment import Deployment, deployed
from support.stores import T0, Store
from support.waiting import GatedFileSystem, gated

from mlsql_runtime.storage.location import Location
from mlsql_runtime.store.manifest import FORMAT_VERSION, DataFacts, FailureRecord, FitRecord, Manifest, ScriptFacts
from mlsql_runtime.store.publish import claim_version


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Airflow:
    """One database for all tests: each uses DAGs of its own names, or looks at their newest runs."""
    airflow = Airflow(tmp_path_factory.mktemp("airflow"))
    airflow("db", "migrate")
    return airflow


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A whole Airflow with the example DAGs, for what needs a scheduler or the API: runs side by side, people who answer."""
    with deployed(tmp_path_factory.mktemp("deployment")) as running:
        yield running


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Publish the next version, or a failure; ``created`` is that many days after T0."""

    def add(
        score: float | None = 0.9, job: str = "job", created: int = 0, failure: str | None = None, maximise: bool = True
    ) -> None:
        fit = FitRecord(
            alg_index=0,
            status="success",
            score=score,
            metrics={"loss": 0.1},
            message=None,
            params={},
            started=T0,
            ended=T0,
            packages={},
        )
        day = T0 + timedelta(days=created)
        with claim_version(Location.of(str(tmp_path / "m")), job) as draft:
            if failure is not None:
                record = FailureRecord(
                    format_version=FORMAT_VERSION,
                    job_id=job,
                    version=draft.version,
                    created=day,
                    message=failure,
                    fits=(),
                    tails={"0": ("last words",)},
                )
                draft.fail(record)
                return
            (draft.folder / "model/0/model.pickle").write(b"model")
            draft.publish(
                Manifest(
                    format_version=FORMAT_VERSION,
                    job_id=job,
                    version=draft.version,
                    created=day,
                    script=ScriptFacts(name="t.py", sha256=""),
                    parameters={},
                    greater_is_better=maximise,
                    data=DataFacts(rows=70, validate_rows=30, columns={}, feature_column=None, feature_width=None),
                    fits=(fit,),
                    environment={},
                    files=draft.file_entries(),
                )
            )

    return add


@pytest.fixture
def gate() -> Iterator[type[GatedFileSystem]]:
    """Storage whose listings a test lets through one by one."""
    with gated() as storage:
        yield storage
