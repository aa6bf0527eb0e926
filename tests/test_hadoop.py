"""HDFS and YARN of the tests, which are also those of `make hadoop`."""

from __future__ import annotations

import ipaddress
import os

import httpx
import psutil
from hadoop import Hdfs
from support.reaper import find_processes
from support.shared_run import RUN
from support.yarn import Applications


def test_hdfs_keeps_a_file(hdfs: Hdfs) -> None:
    url = f"http://127.0.0.1:{hdfs.web_port}/webhdfs/v1/kept/file?user.name=root"
    httpx.put(f"{url}&op=CREATE", content=b"kept", follow_redirects=True).raise_for_status()
    assert httpx.get(f"{url}&op=OPEN", follow_redirects=True).raise_for_status().content == b"kept"


def test_all_daemons_listen_on_loopback_addresses_only(yarn: Applications) -> None:
    found = [process for process in find_processes(RUN, os.environ[RUN]) if "org.apache.hadoop." in " ".join(process.cmdline())]
    mains = {argument.rpartition(".")[2] for process in found for argument in process.cmdline() if "apache.hadoop" in argument}
    assert mains >= {"NameNode", "DataNode", "ResourceManager", "NodeManager"}
    addresses = {
        each.laddr.ip for process in found for each in process.net_connections("inet") if each.status == psutil.CONN_LISTEN
    }
    assert addresses
    assert all((ipaddress.ip_address(each.removeprefix("::ffff:"))).is_loopback for each in addresses)
