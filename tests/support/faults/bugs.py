"""Bugs that are put into a copy of the code on purpose, to see whether a campaign finds them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("mlsql_runtime", "airflow_provider_mlsql", "mlsql", "mlsql_model", "python_fun")
_ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Bug:
    """A text of a file, and what replaces it."""

    file: str
    old: str
    new: str


BUGS = {
    "manifest before data": Bug(
        "mlsql_runtime/store/publish.py",
        "        (self.folder / layout.MANIFEST).replace(codec.dumps(manifest).encode())\n",
        "        import time\n"
        "        models = [each.path for each in manifest.files if each.path.startswith('model/')]\n"
        "        contents = {path: (self.folder / path).read() for path in models}\n"
        "        for path in models:\n"
        "            (self.folder / path).remove_file()\n"
        "        (self.folder / layout.MANIFEST).replace(codec.dumps(manifest).encode())\n"
        "        for path, content in contents.items():\n"
        "            time.sleep(1.0)\n"
        "            (self.folder / path).write(content)\n",
    ),
    "no topic is removed": Bug(
        "mlsql_runtime/kafka/run_topic.py",
        "            delete_topics(admin, list_topics(admin, _topic_prefix(feed, owner)))\n",
        "            list_topics(admin, _topic_prefix(feed, owner))\n",
    ),
    "a process is forgotten": Bug(
        "mlsql_runtime/submission/processes.py",
        "    return [process for process, found in _all_marked() if found == mark]\n",
        "    return [process for process, found in _all_marked() if found == mark][:-1]\n",
    ),
    # Which the end of a job makes good, by its mark, unless a script is killed whose child holds its output.
    "a supervisor forgets a process": Bug(
        "mlsql_runtime/script/supervisor.py",
        "descendants(me)",
        "descendants(me)[:-1]",
    ),
}


def write_copy(name: str, folder: Path) -> None:
    """Copy the packages into a folder, with a bug."""
    bug = BUGS[name]
    for package in PACKAGES:
        shutil.copytree(_ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    file = folder / bug.file
    text = file.read_text()
    assert bug.old in text, f"{bug.file} does not have the text that the bug {name} replaces"
    file.write_text(text.replace(bug.old, bug.new))
