"""The resources that Spark has assigned to a task, such as graphics cards, and the variable by which libraries see these alone.

Libraries read ``CUDA_VISIBLE_DEVICES`` when they first use a device, and keep to it until the process ends. A script has a
process of its own. A Python worker of Spark, in which functions run, may serve several tasks one after the other.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

GPU = "gpu"
DEVICES = "CUDA_VISIBLE_DEVICES"
_HOST_DEVICES = os.environ.get(DEVICES)  # of the executor; show_devices changes the variable later


def assigned_resources() -> dict[str, tuple[str, ...]]:
    """Return the addresses of each resource of this process's Spark task, by the resource's name; empty outside of a task."""
    if "pyspark" not in sys.modules:
        return {}
    from pyspark import TaskContext

    context = TaskContext.get()
    return {} if context is None else {name: tuple(resource.addresses) for name, resource in context.resources().items()}


def device_variables(resources: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """Return the environment variable that shows libraries the graphics cards of a task; empty if Spark assigns none.

    If the executor itself sees some of its host's cards only, addresses are positions among these, as in PySpark's own
    ``TorchDistributor``.
    """
    if GPU not in resources:
        return {}
    visible = (_HOST_DEVICES or "").split(",") if _HOST_DEVICES else []
    addresses = resources[GPU]
    if visible and all(address.isdecimal() and int(address) < len(visible) for address in addresses):
        addresses = tuple(visible[int(address)] for address in addresses)
    return {DEVICES: ",".join(addresses)}


def show_devices() -> None:
    """Show the libraries of this process the graphics cards of its task, for those that have not used a device yet."""
    os.environ.update(device_variables(assigned_resources()))
