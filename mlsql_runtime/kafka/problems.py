"""Errors of kafka-python as ours: what was tried, on which brokers, what they said, and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from mlsql_runtime.errors import KafkaRefused, KafkaUnavailable, MLSQLError
from mlsql_runtime.kafka.settings import KafkaSettings


@contextmanager
def explained(settings: KafkaSettings, doing: str) -> Iterator[None]:
    """Raise errors of kafka-python within as ours. ``doing`` begins the sentence: ``create topic t``."""
    from kafka.errors import KafkaError

    try:
        yield
    except KafkaError as error:
        raise explain(error, settings, doing) from error


def explain_code(code: int, message: str | None, settings: KafkaSettings, doing: str) -> MLSQLError:
    """The error for one item of a broker's answer: its code, and what the broker says of it."""
    from kafka.errors import for_code

    return explain(for_code(code)(message or ""), settings, doing)


def explain_text(text: str, settings: KafkaSettings, doing: str) -> MLSQLError:
    """The error for one item where kafka-python answers ``[Error 40] InvalidConfigurationError: …``, or the class's name."""
    from kafka import errors

    found = re.fullmatch(r"(?:\[Error -?\d+\] )?(\w+)(?:: (.*))?", text, re.DOTALL)
    kind = getattr(errors, found[1], None) if found else None
    if found is None or kind is None:
        return KafkaRefused(f"{doing} on {settings.servers}: the broker refuses: {text}")
    return explain(kind(found[2] if found[2] not in (None, "None") else ""), settings, doing)


def raise_all(errors: Sequence[MLSQLError], **facts: Any) -> None:
    """Raise the errors of several items as one, which is of the first one's class. No errors, nothing raised."""
    if errors:
        raise type(errors[0])("; ".join(error.message for error in errors), **errors[0].facts | facts)


def explain(error: Exception, settings: KafkaSettings, doing: str, reasons: Iterable[Exception] = ()) -> MLSQLError:
    """``error`` as ours; ``reasons`` are what went wrong on the way, of which the most telling one is named."""
    from kafka import errors

    where = f"{doing} on {settings.servers}"
    cause = max([error, *reasons], key=_telling)
    user = f"user '{settings.user}'" if settings.user else "this client"
    if isinstance(cause, errors.SaslAuthenticationFailedError):
        return KafkaRefused(f"{where}: the broker does not accept the password of {user}; check login and password")
    if isinstance(cause, errors.UnsupportedSaslMechanismError):
        given = settings.values.get("sasl_mechanism")
        return KafkaRefused(f"{where}: the broker has no SASL mechanism {given}; set sasl_mechanism to one it has")
    if "CERTIFICATE_VERIFY_FAILED" in str(cause):
        why = str(cause).split("certificate verify failed: ")[-1].split(" (_ssl")[0]
        return KafkaRefused(
            f"{where}: the broker's certificate is not trusted ({why}); set ssl_cafile to its authority's certificate"
        )
    if "Handshake failed" in str(cause):
        return KafkaRefused(
            f"{where}: the broker does not speak TLS ({settings.protocol} was asked for); check port and security_protocol"
        )
    if isinstance(cause, errors.AuthorizationError):
        return KafkaRefused(f"{where}: {user} is not allowed to ({_name(cause)}); have an ACL for it added on the cluster")
    if isinstance(cause, errors.UnknownTopicOrPartitionError):
        return KafkaRefused(f"{where}: there is no such topic or partition; check its name, or create it")
    if isinstance(cause, (errors.KafkaTimeoutError, errors.KafkaConnectionError, errors.NodeNotReadyError)):
        return KafkaUnavailable(f"{where}: {_unreachable(cause)}; check the address and that the broker runs")
    if isinstance(cause, errors.RetriableError):
        return KafkaUnavailable(f"{where}: the broker cannot now ({_name(cause)}); try again")
    return KafkaRefused(f"{where}: the broker refuses: {_said(cause)}", error=type(cause).__name__)


def _telling(error: Exception) -> int:
    """A dropped connection says less than a refused password, though both are seen when one is wrong."""
    from kafka import errors

    text = str(error)
    if isinstance(error, (errors.SaslAuthenticationFailedError, errors.UnsupportedSaslMechanismError)):
        return 4
    if "Handshake failed" in text:
        return 3
    if "DNS" in text or "ECONN" in text or "EHOSTUNREACH" in text:
        return 2
    return 1 if "socket disconnected" in text else 0


def _unreachable(cause: Exception) -> str:
    text = str(cause)
    if "DNS" in text:
        return "no broker can be reached, its name is unknown (DNS)"
    if "ECONNREFUSED" in text:
        return "no broker can be reached, the connection is refused"
    if "socket disconnected" in text:
        return "the broker closes the connection at once, which it does when security_protocol is not what the port expects"
    return f"no answer in time ({text})"


def _name(error: Exception) -> str:
    return type(error).__name__.removesuffix("Error")


def _said(error: Exception) -> str:
    """The broker's own words, if there are any, without kafka-python's dump of the request."""
    words = str(error.args[0]) if error.args else ""
    return f"{_name(error)}: {words}" if words and "Request '" not in words else _name(error)
