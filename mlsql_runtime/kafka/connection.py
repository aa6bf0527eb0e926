"""Connect clients of kafka-python, and say why a connection cannot be made.

kafka-python reports the reason to its log, tries again until the time is over, and leaves a thread behind.
"""

from __future__ import annotations

import logging
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from mlsql_runtime.errors import InputError
from mlsql_runtime.kafka.client_errors import LostAtLogin, convert_error, find_cause
from mlsql_runtime.kafka.settings import KafkaSettings

_LOGGER = logging.getLogger("kafka")
_NO_OUTPUT = logging.NullHandler()
# Attempts read the log of the whole process, one at a time. A signal handler that ends a job connects in the thread that may be
# connecting.
_LOGGER_LOCK = threading.RLock()
_TICK_SECONDS = 0.1
Client = TypeVar("Client")


def connect(
    settings: KafkaSettings, seconds: float, kind: Callable[..., Client], arguments: dict[str, Any]
) -> tuple[Client, Any]:
    """Return a client of class ``kind``, and the network client that it uses.

    :raises KafkaUnavailable: when no broker answers within ``seconds``.
    :raises KafkaRefused: when a broker rejects the credentials, or TLS fails.
    :raises InputError: for certificates or arguments that kafka-python cannot use.
    """
    from kafka.errors import KafkaError

    context = _make_ssl_context(settings)
    with _watch_log(seconds) as attempt:
        try:
            client = kind(
                **settings.client_arguments(),
                **arguments,
                ssl_context=context,
                bootstrap_timeout_ms=int(seconds * 1000),
                kafka_client=attempt.make_network,
            )
            return client, attempt.network
        except KafkaError as error:
            attempt.give_up()
            raise convert_error(error, settings, "connect", attempt.errors) from error
        except Exception as error:  # kafka-python's own checks, for example of a codec whose package is missing
            attempt.give_up()
            raise InputError(f"connect on {settings.servers}: kafka-python refused: {error}") from error


def ticks(seconds: float) -> Iterator[None]:
    """Yield at once, and then ten times a second until ``seconds`` have passed."""
    deadline = time.monotonic() + seconds
    yield
    while time.monotonic() < deadline:
        time.sleep(_TICK_SECONDS)
        yield


class ConnectionAttempt(logging.Handler):
    """Collect the errors that kafka-python logs while a client connects, and end the attempt at one that is final.

    A wrong password is tried once: many brokers lock accounts after a few attempts.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(logging.WARNING)
        self.network: Any = None
        self.errors: list[Exception] = []
        self._thread = threading.get_ident()
        self._older_threads = {thread.ident for thread in threading.enumerate()} - {self._thread}
        self._seconds = seconds
        self._closing: threading.Thread | None = None

    def make_network(self, **config: Any) -> Any:
        """Return the network client for kafka-python's argument ``kafka_client``; it gives up on a silent host in time."""
        from kafka.net.compat import KafkaNetClient

        limit = int(self._seconds * 500)
        limits = {"socket_connection_setup_timeout_ms": limit, "socket_connection_setup_timeout_max_ms": limit}
        self.network = KafkaNetClient(**config | limits)
        return self.network

    def emit(self, record: logging.LogRecord) -> None:
        from kafka.errors import RequestTimedOutError

        if record.thread in self._older_threads:  # other clients of this process log as well
            return
        arguments = record.args if isinstance(record.args, tuple) else ()
        logged = [each for each in arguments if isinstance(each, Exception)]
        # A broker that closes a connection after it sent its version refuses what came next, which is the login. But the client
        # closes the connection itself when a busy broker does not respond in time.
        is_closed = any(not isinstance(each, RequestTimedOutError) for each in logged)
        if is_closed and record.name == "kafka.net.connection" and getattr(arguments[0], "broker_version", None):
            logged.append(LostAtLogin(str(logged[0])))
        self.errors.extend(logged)
        # A producer connects on the caller's own thread, which no other thread may interrupt.
        if self._closing is None and record.thread != self._thread and any(find_cause(each).is_final for each in logged):
            self._closing = threading.Thread(target=self.network.close)  # close waits for the thread that logs this record
            self._closing.start()

    def give_up(self) -> None:
        """End the thread and the connections of a client that could not connect."""
        if self._closing is not None:
            self._closing.join()
        if self.network is not None:
            self.network.close()


@contextmanager
def _watch_log(seconds: float) -> Iterator[ConnectionAttempt]:
    """Pass the records of kafka-python's log to an attempt while the block runs, and to no other handler."""
    with _LOGGER_LOCK:
        _LOGGER.addHandler(_NO_OUTPUT)  # else a process that does not configure logging prints every reconnection
        if _LOGGER.level == logging.NOTSET:
            _LOGGER.setLevel(logging.WARNING)  # else each client writes ten lines into a task's log
        attempt = ConnectionAttempt(seconds)
        propagate, _LOGGER.propagate = _LOGGER.propagate, False
        _LOGGER.addHandler(attempt)
        try:
            yield attempt
        finally:
            _LOGGER.removeHandler(attempt)
            _LOGGER.propagate = propagate


def _make_ssl_context(settings: KafkaSettings) -> ssl.SSLContext | None:
    if not settings.protocol.endswith("SSL"):
        return None
    values = settings.values
    try:
        context = ssl.create_default_context(cadata=values.get("ssl_ca_pem"))
        context.check_hostname = values.get("ssl_check_hostname", "true") == "true"
        if "ssl_cert_pem" in values:
            # ssl reads certificates from files only; this one has mode 0600
            with tempfile.NamedTemporaryFile("w", prefix="mlsql-", suffix=".pem") as file:
                file.write(values["ssl_cert_pem"] + "\n" + values.get("ssl_key_pem", ""))
                file.flush()
                context.load_cert_chain(Path(file.name), password=values.get("ssl_password", ""))
    except (ssl.SSLError, ValueError) as error:
        raise InputError(
            f"connect on {settings.servers}: the certificates cannot be used ({error}); "
            "check ssl_cafile, ssl_certfile, ssl_keyfile and ssl_password"
        ) from error
    return context
