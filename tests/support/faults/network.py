"""Partitions in a network of this process and its children alone: packets of some ports of loopback get lost."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterable, Iterator

PRIVATE = "MLSQL_FAULTS_NETWORK"  # in the environment of a campaign that has a network and mounts of its own
COMMAND = ("unshare", "--net", "--mount")  # as root


def prepare() -> None:
    """Make loopback work in a new network, with rules that come before those of local addresses."""
    _ip("link", "set", "lo", "up")
    _ip("rule", "add", "pref", "10", "lookup", "local")
    _ip("rule", "del", "pref", "0")


def is_private() -> bool:
    """Return whether this process has a network of its own."""
    return PRIVATE in os.environ


@contextlib.contextmanager
def partition(ports: Iterable[int]) -> Iterator[None]:
    """Lose every packet from and to some TCP ports during the block; connections last until their ends give up."""
    rules = [("pref", "5", "ipproto", "tcp", side, str(port), "unreachable") for port in ports for side in ("sport", "dport")]
    for rule in rules:
        _ip("rule", "add", *rule)
    try:
        yield
    finally:
        for rule in rules:
            _ip("rule", "del", *rule)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
