"""How the servers of scripts/jvm start, seen on a process that is not a JVM."""

from __future__ import annotations

from pathlib import Path

import pytest
from daemon import Daemon, find_free_ports, wait_until


def test_of_several_daemons_the_one_that_ends_is_named_with_its_last_lines(tmp_path: Path) -> None:
    lasting = Daemon(["sleep", "600"], tmp_path / "lasting.log")
    ending = Daemon(["bash", "-c", "for n in {1..30}; do echo line $n >&2; done; exit 3"], tmp_path / "ending.log")
    for each in (lasting, ending):
        each.start()
    try:
        with pytest.raises(RuntimeError, match=r"the pair did not start(.|\n)*ending\.log:\nline 11\n(.|\n)*line 30$") as found:
            wait_until(lambda: False, "the pair", [lasting, ending])
        assert "lasting.log" not in str(found.value)
    finally:
        ending.stop()
        lasting.stop()


def test_free_ports_are_none_that_the_system_gives_to_clients() -> None:
    ports = find_free_ports(50)
    first, _ = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    assert len(set(ports)) == 50
    assert max(ports) < first
