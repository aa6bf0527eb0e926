"""Errors of storage clients, as one sentence that says what to do about a connection."""

from __future__ import annotations

from mlsql_runtime.plan import StorageConnection

ADVICE = "correct the key of the connection, or give it the permission"


def explain_error(error: BaseException, connection: StorageConnection | None) -> str:
    """Return the end of a sentence about remote storage, such as ``s3://bucket/x cannot be read``.

    :param connection: with which the storage was opened; None: the environment decided.
    """
    is_refused = find_refusal(error) is not None
    if connection is None:
        return f": {error}{'; give the user of this process the permission, or use other credentials' if is_refused else ''}"
    return f" with connection {connection.name}: {describe(error)}{f'; {ADVICE}' if is_refused else ''}"


def find_refusal(error: BaseException) -> str | None:
    """Return what a storage says about a key that is wrong or not allowed to do something; None for other errors."""
    each: BaseException | None = error
    while each is not None:
        code = getattr(each, "status_code", None) or getattr(each, "code", None)
        if isinstance(each, PermissionError) or str(code) in ("401", "403"):
            return describe(each)
        each = each.__cause__ or each.__context__
    return None


def describe(error: BaseException) -> str:
    """Return the first line of an error, for which some clients have no text."""
    text = str(error).strip()
    return text.splitlines()[0].rstrip(".") if text else type(error).__name__
