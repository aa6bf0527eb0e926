"""Who runs the command, for the history of functions."""

from __future__ import annotations

import getpass
import os
import socket


def who() -> str:
    """``user@host``."""
    return f"{_user()}@{socket.gethostname()}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as containers have them
        return f"uid {os.getuid()}"
