"""The original's row protocol, emulated: for each row, a function and its arguments to a Python worker, one answer back.

For each row go over a socket, each with its length before it: the pickled function, the pickled row, the pickled
``[model path]``, the pickled parameters. A long-lived worker unpickles the function, calls it, and sends its pickled answer.
A worker for each core, as Spark's tasks have.

This is less than the original does: there the JVM also pickled the row, started a thread for it, and shook hands with
``pyspark.worker``. Here rows are pickled before the clock starts.
"""

from __future__ import annotations

import pickle
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import BinaryIO

import numpy as np

_LENGTH = struct.Struct(">I")


def _framed(message: bytes) -> bytes:
    return _LENGTH.pack(len(message)) + message


def _read(stream: BinaryIO) -> bytes:
    header = stream.read(_LENGTH.size)
    return stream.read(_LENGTH.unpack(header)[0]) if header else b""


class Worker:
    """A process that scores row by row."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection, self._stream = connection, connection.makefile("rb")

    def answers(self, requests: Sequence[bytes]) -> list[bytes]:
        """One after the other: the next is sent when there is an answer to the one before."""
        given = []
        for request in requests:
            self._connection.sendall(request)
            given.append(_read(self._stream))
        return given


@contextmanager
def workers(count: int) -> Iterator[list[Worker]]:
    """So many workers; they end with this block."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        made = []
        for _ in range(count):
            command = [sys.executable, __file__, str(listener.getsockname()[1])]
            process = stack.enter_context(subprocess.Popen(command))
            stack.callback(process.terminate)
            made.append(Worker(stack.enter_context(listener.accept()[0])))
        yield made


def requests(function: bytes, vectors: Sequence[bytes], model_dir: str) -> list[bytes]:
    """Return the bytes that go over the socket, for each of the pickled vectors."""
    constants = _framed(pickle.dumps([model_dir])) + _framed(pickle.dumps({}))
    return [_framed(function) + _framed(vector) + constants for vector in vectors]


def score(among: Sequence[Worker], asked: Sequence[bytes]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the responses to all requests, with an equal share of them for each worker."""
    share = -(-len(asked) // len(among))
    parts = [asked[start : start + share] for start in range(0, len(asked), share)]
    with ThreadPoolExecutor(len(among)) as threads:
        given = threads.map(lambda worker, part: worker.answers(part), among, parts)
    return np.array([pickle.loads(answer)[3][0] for part in given for answer in part])


def _serve(port: int) -> None:
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream = connection.makefile("rb")
    while function := _read(stream):
        rows = [_read(stream) for _ in range(3)]
        answer = pickle.loads(function)(0, iter(rows))
        connection.sendall(_framed(pickle.dumps(answer[0])))


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
