"""Servers that speak the protocols of Azure's and Google's storage, on 127.0.0.1, with objects in memory."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

from daemon import find_free_ports
from npm_package import fetch_npm_package, find_node

READY_SECONDS = 60.0
AZURITE = "3.35.0"
_ACCOUNT = "devstoreaccount1"  # Azurite's own, with a key that everybody knows
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@contextmanager
def azurite(folder: Path) -> Iterator[str]:
    """Run Azurite, Microsoft's emulator of Azure Blob Storage, and provide a connection string."""
    (port,) = find_free_ports(1)
    main = fetch_npm_package("azurite", AZURITE, "190 MB") / "dist" / "src" / "blob" / "main.js"
    options = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--inMemoryPersistence", "--disableTelemetry", "--silent"]
    command = [find_node() / "bin" / "node", main, *options, "--skipApiVersionCheck"]
    with (
        (folder / "azurite.log").open("w") as log,
        subprocess.Popen(list(map(str, command)), cwd=folder, stdout=log, stderr=log) as process,
    ):
        try:
            _wait_until_open(port, process)
            endpoint = f"http://127.0.0.1:{port}/{_ACCOUNT}"
            yield f"DefaultEndpointsProtocol=http;AccountName={_ACCOUNT};AccountKey={_KEY};BlobEndpoint={endpoint};"
        finally:
            process.terminate()


def _wait_until_open(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        time.sleep(0.1)
    raise RuntimeError("Azurite did not start")


@contextmanager
def google_emulator(heeds_conditions: bool) -> Iterator[str]:
    """Run gcp-storage-emulator with the bucket ``models``, and provide its address.

    :param heeds_conditions: whether it heeds ``ifGenerationMatch=0`` as Google's storage does. The emulator alone does not.
    """
    from gcp_storage_emulator import server as emulator
    from gcp_storage_emulator.handlers import objects

    if heeds_conditions:
        for _, handlers in emulator.HANDLERS:
            if handlers.get("POST") is objects.insert:
                handlers["POST"] = _insert
    (port,) = find_free_ports(1)
    server = emulator.create_server("127.0.0.1", port, in_memory=True, default_bucket="models")
    server.start()
    yield f"http://127.0.0.1:{port}"
    server.stop()


def _insert(request: Any, response: Any, storage: Any) -> None:
    """Insert an object unless the condition says that there must be none. The emulator handles one request at a time."""
    from gcp_storage_emulator.exceptions import NotFound
    from gcp_storage_emulator.handlers import objects

    if request.query.get("ifGenerationMatch") == ["0"]:
        name = request.query["name"][0] if "name" in request.query else request.data["meta"]["name"]
        with contextlib.suppress(NotFound):
            storage.get_file_obj(request.params["bucket_name"], name)
            response.status = HTTPStatus.PRECONDITION_FAILED
            return
    objects.insert(request, response, storage)
