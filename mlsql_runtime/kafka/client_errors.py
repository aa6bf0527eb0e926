"""Errors of kafka-python as ours: what was tried, on which brokers, what they said, and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from mlsql_runtime.errors import KafkaRefused, KafkaUnavailable, MLSQLError, did_you_mean
from mlsql_runtime.kafka.settings import KafkaSettings


@contextmanager
def explained(settings: KafkaSettings, doing: str) -> Iterator[None]:
    """Raise errors of kafka-python within as ours. ``doing`` begins the sentence: ``create topic t``."""
    from kafka.errors import KafkaError

    try:
        yield
    except KafkaError as error:
        raise explain(error, settings, doing) from error
    except RuntimeError as error:
        if "controller" not in str(error):
            raise
        raise KafkaUnavailable(f"{doing} on {settings.servers}: the cluster has no controller now; try again") from error


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


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint at what else ``name`` may mean; a large cluster's names are not all listed."""
    names = sorted(known)
    hint = did_you_mean(name, names)
    return hint if len(names) <= 10 or "did you mean" in hint else f"; there are {len(names)} others"


def raise_all(errors: Sequence[MLSQLError], **facts: Any) -> None:
    """Raise the errors of several items as one, which is of the first one's class. No errors, nothing raised."""
    if errors:
        raise type(errors[0])("; ".join(error.message for error in errors), **errors[0].facts | facts)


def explain(error: Exception, settings: KafkaSettings, doing: str, reasons: Iterable[Exception] = ()) -> MLSQLError:
    """``error`` as ours; ``reasons`` are what went wrong on the way, of which the most telling one is named."""
    from kafka import errors

    where = f"{doing} on {settings.servers}"
    cause = max([error, *reasons], key=_telling)
    refused = _refused_connection(cause, settings)
    if refused is not None:
        return KafkaRefused(f"{where}: {refused}")
    if isinstance(cause, errors.AuthorizationError):
        return KafkaRefused(f"{where}: {client(settings)} is not allowed to ({_said(cause)}); have an ACL for it added")
    if isinstance(cause, (errors.NonEmptyGroupError, errors.GroupSubscribedToTopicError)):
        return KafkaRefused(f"{where}: the group has members that read; end them first", error=type(cause).__name__)
    if isinstance(cause, errors.UnknownTopicOrPartitionError):
        return KafkaRefused(f"{where}: there is no such topic or partition; check its name, or create it")
    if isinstance(cause, (errors.KafkaTimeoutError, errors.KafkaConnectionError, errors.NodeNotReadyError)):
        return KafkaUnavailable(f"{where}: {_unreachable(cause)}; check the address and that the broker runs")
    if isinstance(cause, errors.RetriableError):
        return KafkaUnavailable(f"{where}: the broker cannot now ({_name(cause)}); try again")
    return KafkaRefused(f"{where}: the broker refuses: {_said(cause)}", error=type(cause).__name__)


def client(settings: KafkaSettings) -> str:
    """Who asks, in a sentence."""
    return f"user '{settings.user}'" if settings.user else "this client"


class LostAtLogin(Exception):
    """A broker ended a connection after it had told its version.

    kafka-python drops an answer that arrives together with the end of the connection, such as that to a wrong password.
    """


def is_final(error: Exception) -> bool:
    """Whether connecting again cannot end otherwise."""
    return _telling(error) >= 4


def _telling(error: Exception) -> int:
    """A dropped connection says less than a refused password, though both are seen when one is wrong."""
    from kafka import errors

    text = str(error)
    if isinstance(error, (errors.SaslAuthenticationFailedError, errors.UnsupportedSaslMechanismError)):
        return 5
    if isinstance(error, errors.IllegalSaslStateError) or "CERTIFICATE_VERIFY_FAILED" in text:
        return 4
    if isinstance(error, LostAtLogin) or "Handshake failed" in text or "SSL" in text:
        return 3
    if "DNS" in text or "ECONN" in text or "EHOSTUNREACH" in text:
        return 2
    return 1 if _is_dropped(text) else 0


def _refused_connection(cause: Exception, settings: KafkaSettings) -> str | None:
    """Why login or TLS fails, None when it is not that."""
    from kafka import errors

    text = str(cause)
    mechanism = settings.values.get("sasl_mechanism")
    if isinstance(cause, errors.SaslAuthenticationFailedError):
        return f"the broker does not accept the password of {client(settings)}; check login and password"
    if isinstance(cause, errors.UnsupportedSaslMechanismError):
        return f"the broker has no SASL mechanism {mechanism}; set sasl_mechanism to one it has"
    if isinstance(cause, errors.IllegalSaslStateError):
        return f"the port takes no login ({settings.protocol} was asked for); check port and security_protocol"
    if isinstance(cause, LostAtLogin) and settings.protocol.startswith("SASL"):
        return (
            f"the broker does not accept the password of {client(settings)}, or not SASL mechanism {mechanism}: "
            "it ends the connection at the login; check login, password and sasl_mechanism"
        )
    if isinstance(cause, LostAtLogin):
        return f"the port wants a login ({settings.protocol} was asked for, which has none); check port and security_protocol"
    if "CERTIFICATE_VERIFY_FAILED" in text:
        why = text.split("certificate verify failed: ")[-1].split(" (_ssl")[0]
        mend = "connect to a name in it, or set ssl_check_hostname to false"
        if "mismatch" not in why:
            mend = "set ssl_cafile to the certificate of its authority"
        return f"the broker's certificate is not trusted ({why}); {mend}"
    if "alert" in text and "SSL" in text:
        return f"the broker ends TLS ({text.split('] ')[-1].split(' (_ssl')[0]}); check ssl_certfile and ssl_keyfile"
    if "Handshake failed" in text:
        return f"the broker does not speak TLS ({settings.protocol} was asked for); check port and security_protocol"
    return None


def _is_dropped(text: str) -> bool:
    return "socket disconnected" in text or "reset by peer" in text


def _unreachable(cause: Exception) -> str:
    text = str(cause)
    if "DNS" in text:
        return "no broker can be reached, its name is unknown (DNS)"
    if "ECONNREFUSED" in text:
        return "no broker can be reached, the connection is refused"
    if _is_dropped(text):
        return "the connection is closed at once, as a broker does when security_protocol is not what its port expects"
    return f"no answer in time ({text})"


def _name(error: Exception) -> str:
    return type(error).__name__.removesuffix("Error")


def _said(error: Exception) -> str:
    """The broker's own words, if there are any, without kafka-python's dump of the request."""
    words = str(error.args[0]) if error.args else ""
    return f"{_name(error)}: {words}" if words and not re.match(r"\w*(Request|Response)\b", words) else _name(error)
