"""Questions that a user would ask: the search of the site finds the page with the answer first."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import unescape
from pathlib import Path

import pytest
from lunr import get_default_builder
from lunr.index import Index
from lunr.stop_word_filter import WORDS

# A question, as somebody types it into the search, and the page that answers it.
QUESTIONS = {
    "first model in a dag": "tutorial/first-dag.html",
    "install extras s3 hdfs": "how-to/install.html",
    "branch on score": "how-to/branch-on-a-score.html",
    "roll back to an older model": "how-to/gate-and-roll-back.html",
    "backfill several days": "how-to/backfill.html",
    "a model for each segment": "how-to/model-per-segment.html",
    "human approval before register": "how-to/approval.html",
    "why was my model refused": "how-to/read-a-refusal.html",
    "debug failed fit group": "how-to/debug-a-failed-group.html",
    "train through kafka": "how-to/kafka.html",
    "yarn queue keytab": "how-to/clusters.html",
    "kubernetes cluster mode": "how-to/clusters.html",
    "install packages for a script on the hosts": "how-to/environments.html",
    "minio credentials connection": "how-to/storage-connections.html",
    "iceberg delta table": "how-to/tables.html",
    "gpu graphics card": "how-to/gpu.html",
    "export to mlflow": "how-to/mlflow.html",
    "wait for a new version sensor": "how-to/wait-for-a-version.html",
    "min_score only_if_better arguments": "reference/operators.html",
    "try a training script": "how-to/fit.html",
    "exit code": "reference/cli.html",
    "TrainingFailed": "reference/errors.html",
    "xcom of the train operator": "reference/payloads.html",
    "does a retry resume": "explanation/retries.html",
    "how fast are predictions": "explanation/performance.html",
    "supported airflow python versions": "reference/versions.html",
}


@dataclass
class Search:
    """The site's search as Material for MkDocs does it in the browser: lunr, each word as a prefix, and sums for each page.

    A section counts more if it has more of the words, and a page more than its sections.
    """

    index: Index
    texts: Mapping[str, str]

    @classmethod
    def of(cls, site: Path) -> Search:
        document = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
        separator = re.compile(document["config"]["separator"])
        builder = get_default_builder()
        builder.pipeline.remove(builder.pipeline.registered_functions["stemmer"])
        builder.pipeline.remove(builder.pipeline.registered_functions["trimmer"])
        builder.b(0)
        builder.ref("location")
        for name, settings in document["config"]["fields"].items():
            builder.field(name, boost=settings["boost"])
        texts = {}
        for entry in document["docs"]:
            words = {name: clean(str(entry.get(name, "")), separator) for name in document["config"]["fields"]}
            texts[entry["location"]] = " ".join(words.values()).lower()
            builder.add({"location": entry["location"], **words}, {"boost": entry.get("boost", 1)})
        return cls(builder.build(), texts)

    def find_pages(self, question: str) -> list[str]:
        """Return the pages, the best one first."""
        words = [word for word in question.lower().split() if word not in WORDS]
        scores: dict[str, float] = {}
        for hit in self.index.search(" ".join(f"{word}*" for word in words)):
            page, _, section = hit["ref"].partition("#")
            found = sum(re.search(rf"\b{re.escape(word)}", self.texts[hit["ref"]]) is not None for word in words)
            score = hit["score"] * (1 + ((not section) + found / len(words)) ** 2)
            scores[page] = max(score, scores.get(page, 0))
        return sorted(scores, key=lambda page: -scores[page])


def clean(text: str, separator: re.Pattern[str]) -> str:
    return " ".join(separator.split(unescape(re.sub(r"<[^>]+>", " ", text))))


@pytest.fixture(scope="module")
def search(site: Path) -> Search:
    return Search.of(site)


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_search_finds_the_page_with_the_answer_first(search: Search, question: str) -> None:
    found = search.find_pages(question)
    assert found[:1] == [QUESTIONS[question]], found[:4]
