"""Why a connection cannot be made. kafka-python tells its log, tries again until the time is over, and leaves a thread behind."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mlsql_runtime.kafka.client_errors import LostAtLogin, is_final

_LOGGER = logging.getLogger("kafka")
_LOGGER.addHandler(logging.NullHandler())  # a process without logging is not told of every reconnection
if _LOGGER.level == logging.NOTSET:
    _LOGGER.setLevel(logging.WARNING)  # or each client writes ten lines into a task's log
_ONE_AT_A_TIME = threading.Lock()  # they share kafka-python's logger


@contextmanager
def connecting(seconds: float) -> Iterator[Attempt]:
    """While a client is made, nothing of kafka-python's is logged: what went wrong is in the attempt's ``reasons``."""
    with _ONE_AT_A_TIME:
        attempt = Attempt(seconds)
        propagate, _LOGGER.propagate = _LOGGER.propagate, False
        _LOGGER.addHandler(attempt)
        try:
            yield attempt
        finally:
            _LOGGER.removeHandler(attempt)
            _LOGGER.propagate = propagate


class Attempt(logging.Handler):
    """Collects the exceptions among the log's arguments, and ends the attempt at one that trying again cannot mend.

    A wrong password is tried once, then: many brokers lock accounts after a few.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(logging.WARNING)
        self.network: Any = None
        self.reasons: list[Exception] = []
        self._own = threading.get_ident()
        self._others = {thread.ident for thread in threading.enumerate()} - {self._own}
        self._seconds = seconds
        self._ending: threading.Thread | None = None

    def make_network(self, **config: Any) -> Any:
        """What clients take as ``kafka_client``: makes their network client, which gives up on a silent host in time."""
        from kafka.net.compat import KafkaNetClient

        limit = int(self._seconds * 500)
        limits = {"socket_connection_setup_timeout_ms": limit, "socket_connection_setup_timeout_max_ms": limit}
        self.network = KafkaNetClient(**config | limits)
        return self.network

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread in self._others:  # clients that this process had before log as well
            return
        arguments = record.args if isinstance(record.args, tuple) else ()
        seen = [each for each in arguments if isinstance(each, Exception)]
        # A broker that ends a connection after it told its version does not like what came next.
        if seen and record.name == "kafka.net.connection" and getattr(arguments[0], "broker_version", None):
            seen.append(LostAtLogin(str(seen[0])))
        self.reasons.extend(seen)
        # A producer connects on the caller's own thread, which no other may interrupt.
        if self._ending is None and record.thread != self._own and any(is_final(each) for each in seen):
            self._ending = threading.Thread(target=self.network.close)  # which waits for the thread that logs this
            self._ending.start()

    def give_up(self) -> None:
        """End the thread and the connections of a client that could not be made."""
        if self._ending is not None:
            self._ending.join()
        if self.network is not None:
            self.network.close()
