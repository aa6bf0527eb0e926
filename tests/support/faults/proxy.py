"""A proxy in front of an HTTP server that can be away, answer with an error, hang, or be slow."""

from __future__ import annotations

import http.client
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

SLOW_SECONDS = 1.0
_OF_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "content-length"}


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that are killed reset their connections."""


class FaultyProxy:
    """Use it as a context manager; ``url`` is where it listens. :meth:`set_mode` changes what it does with requests."""

    def __init__(self, target: str) -> None:
        place, proxy = urlsplit(target).netloc, self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _forward(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                mode = proxy._mode
                proxy.affected += mode != "pass"
                if mode == "refuse":
                    self.close_connection = True
                    return
                if mode == "error":
                    self._answer(503, [], b"<Error><Code>ServiceUnavailable</Code></Error>")
                    return
                while proxy._mode == "hang":
                    time.sleep(0.05)
                if mode == "slow":
                    time.sleep(SLOW_SECONDS)
                connection = http.client.HTTPConnection(place)
                headers = {name: value for name, value in self.headers.items() if name.lower() not in _OF_CONNECTION}
                connection.request(self.command, self.path, body, headers | {"Content-Length": str(len(body))})
                response = connection.getresponse()
                self._answer(response.status, response.getheaders(), response.read(), response.getheader("Content-Length"))
                connection.close()

            def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes, length: str | None = None) -> None:
                self.send_response(status)
                for name, value in headers:
                    if name.lower() not in _OF_CONNECTION | {"server", "date"}:
                        self.send_header(name, value)
                self.send_header("Content-Length", length if self.command == "HEAD" and length else str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _forward  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._mode, self.affected = "pass", 0
        self._server = _Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def set_mode(self, mode: str) -> int:
        """Change what happens to requests: ``pass``, ``refuse``, ``error``, ``hang`` until the mode changes, or ``slow``.

        Return how many requests the mode before has affected.
        """
        affected, self.affected = self.affected, 0
        self._mode = mode
        return affected

    def __enter__(self) -> FaultyProxy:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
