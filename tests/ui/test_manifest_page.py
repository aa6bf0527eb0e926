"""The page of manifests, as a real API server answers for it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.deployment import Deployment
from support.stores import publish

DAG = "names_models"
HTML = {"Accept": "text/html"}
Named = Callable[..., str]


@pytest.fixture(scope="module")
def named(deployment: Deployment) -> Named:
    """Run a DAG whose tasks return what is given, as the operators do; the address of its pages."""

    def run(one: Any = None, many: Any = ()) -> str:
        name = deployment.run(DAG, {"one": one or {}, "many": list(many)})
        return f"/mlsql/dags/{DAG}/runs/{name}/tasks"

    return run


@pytest.fixture(scope="module")
def without_versions(named: Named) -> str:
    """The address of the pages of a run whose tasks return no versions."""
    return named()


def test_manifests_are_shown_to_those_who_may_see_them(deployment: Deployment, named: Named, tmp_path: Path) -> None:
    hostile = str(tmp_path / "<script>alert(1)</script>")
    publish(hostile, 0.25, 0.75, job="a&b", metrics={"<b>loss": 0.125})
    publish(hostile, 0.5)
    many = [{"model_path": hostile, "version": 1}, {"train": [{"model_path": hostile, "version": n} for n in (1, 2)]}]
    tasks = named({"model_path": hostile, "version": 1}, many)

    answer = deployment.page(f"{tasks}/one/manifest")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["task"]["task_id"] == "one"
    (version,) = answer.json()["versions"]
    assert (version["model_path"], version["version"], version["problem"]) == (hostile, 1, None)
    assert [fit["score"] for fit in version["details"]["fits"]] == [0.25, 0.75]
    assert version["verdict"] == ["No function was registered from this version."]
    page = deployment.page(f"{tasks}/one/manifest", **HTML)
    assert (page.status_code, page.headers["cache-control"]) == (200, "no-store")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "<b>0.75</b>" in page.text
    assert "&lt;script&gt;alert(1)&lt;/<wbr>script&gt;</p>" in page.text
    assert "&lt;b&gt;loss 0.125" in page.text
    assert "a&amp;b" in page.text
    assert "<p>&lt;i&gt;of all mail</p>" in page.text
    assert "<script>" not in page.text
    assert "<b>loss" not in page.text
    for index, versions in ((0, [1]), (1, [1, 2])):
        mapped = deployment.page(f"{tasks}/mapped/manifest?map_index={index}&format=json", **HTML)
        assert [one["version"] for one in mapped.json()["versions"]] == versions

    assert httpx.get(f"{deployment.url}{tasks}/one/manifest").status_code == 401
    stranger = httpx.get(f"{deployment.url}{tasks}/one/manifest", headers=HTML)
    assert stranger.status_code == 401
    assert "Log in to Airflow" in stranger.text
    assert hostile not in stranger.text
    forged = httpx.get(f"{deployment.url}{tasks}/one/manifest", headers={"Authorization": "Bearer made-up"})
    assert forged.status_code in (401, 403)


def test_what_cannot_be_shown_is_explained(deployment: Deployment, named: Named, tmp_path: Path) -> None:
    root = str(tmp_path / "m")
    publish(root, 0.5)
    publish(root, 0.6)
    damaged = str(tmp_path / "damaged")
    publish(damaged, 0.5)
    Path(damaged, "_model_1/manifest.json").write_text("{")
    shutil.rmtree(f"{root}/_model_1")
    paths = [root, "/of/the/worker", damaged, "http://user:secret@127.0.0.1:1/m", "s4://user:secret@host/m"]
    tasks = named(many=[{"model_path": path, "version": 1} for path in paths])
    expected = [
        (410, "no longer holds version 1: a later training with keep_versions"),
        (404, "/of/the/worker holds no model on the API server&#39;s machine"),
        (500, "this is not JSON"),
        (404, "this page does not read http://127.0.0.1:1/m"),
        (404, "this page does not read s4://host/m"),
    ]
    for index, (status, text) in enumerate(expected):
        page = deployment.page(f"{tasks}/mapped/manifest?map_index={index}", **HTML)
        assert page.status_code == status, page.text
        assert text in page.text
        assert "secret" not in page.text


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("one/manifest", "names_models.one has named no model version in run"),
        ("two/manifest", "has no task two"),
        ("one/manifest?map_index=3", "names_models.one has no map index 3 in run"),
    ],
)
def test_tasks_without_a_manifest_are_told_of(deployment: Deployment, without_versions: str, page: str, text: str) -> None:
    answer = deployment.page(f"{without_versions}/{page}")
    assert answer.status_code == 404
    assert text in answer.json()["detail"]
