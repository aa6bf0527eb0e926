"""Convert errors of kafka-python to ours: what was tried, on which brokers, what they responded, and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any

from mlsql_runtime.errors import KafkaRefused, KafkaUnavailable, MLSQLError, did_you_mean
from mlsql_runtime.kafka.settings import KafkaSettings


class Cause(IntEnum):
    """Why a connection failed. Of several causes of one failure, the greatest is the most specific."""

    UNKNOWN = 0
    DROPPED = 1
    UNKNOWN_HOST = 2
    NOT_LISTENING = 3
    TLS = 4
    LOST_AT_LOGIN = 5
    NO_TLS = 6
    TLS_ALERT = 7
    UNTRUSTED_CERTIFICATE = 8
    NO_LOGIN = 9
    NO_MECHANISM = 10
    WRONG_PASSWORD = 11

    @property
    def is_final(self) -> bool:
        """Whether another attempt must fail as well."""
        return self >= Cause.UNTRUSTED_CERTIFICATE


class LostAtLogin(Exception):
    """A broker closed a connection after it had sent its version.

    kafka-python drops a response that arrives together with the end of the connection, such as the one to a wrong password.
    """


# kafka-python turns the errors of sockets and of TLS into text; there is nothing else to tell them apart by.
_CAUSES_BY_TEXT = (
    (r"CERTIFICATE_VERIFY_FAILED", Cause.UNTRUSTED_CERTIFICATE),
    (r"SSL.* alert ", Cause.TLS_ALERT),
    (r"Handshake failed", Cause.NO_TLS),
    (r"SSL", Cause.TLS),
    (r"DNS", Cause.UNKNOWN_HOST),
    (r"ECONNREFUSED|EHOSTUNREACH", Cause.NOT_LISTENING),
    (r"socket disconnected|reset by peer|ECONNRESET", Cause.DROPPED),
)


def find_cause(error: Exception) -> Cause:
    """Return the cause of a failed connection that an error of kafka-python stands for."""
    from kafka import errors

    if isinstance(error, errors.SaslAuthenticationFailedError):
        return Cause.WRONG_PASSWORD
    if isinstance(error, errors.UnsupportedSaslMechanismError):
        return Cause.NO_MECHANISM
    if isinstance(error, errors.IllegalSaslStateError):
        return Cause.NO_LOGIN
    if isinstance(error, LostAtLogin):
        return Cause.LOST_AT_LOGIN
    text = str(error)
    return next((cause for pattern, cause in _CAUSES_BY_TEXT if re.search(pattern, text)), Cause.UNKNOWN)


@contextmanager
def wrap_errors(settings: KafkaSettings, doing: str) -> Iterator[None]:
    """Raise errors of kafka-python in the block as ours. ``doing`` begins the message: ``create topic t``."""
    from kafka.errors import KafkaError

    try:
        yield
    except KafkaError as error:
        raise convert_error(error, settings, doing) from error
    except RuntimeError as error:  # kafka-python has no class of its own for a cluster without a controller
        if "controller" not in str(error):
            raise
        raise KafkaUnavailable(f"{doing} on {settings.servers}: the cluster has no controller now; try again") from error


def convert_code(code: int, message: str | None, settings: KafkaSettings, doing: str) -> MLSQLError | None:
    """Return the error for one item of a broker's response, given its code and the broker's message; None for success."""
    from kafka.errors import for_code

    return convert_error(for_code(code)(message or ""), settings, doing) if code else None


def convert_text(text: str | None, settings: KafkaSettings, doing: str) -> MLSQLError | None:
    """Return the error for one item where kafka-python returns text instead of an error; None for ``OK`` and for None.

    The text is ``[Error 40] InvalidConfigurationError: …``, or the name of the error's class alone.
    """
    from kafka import errors

    if text is None or text == "OK":
        return None
    found = re.fullmatch(r"(?:\[Error -?\d+\] )?(\w+)(?:: (.*))?", text, re.DOTALL)
    kind = getattr(errors, found[1], None) if found else None
    if found is None or kind is None:
        return KafkaRefused(f"{doing} on {settings.servers}: the broker refused: {text}")
    return convert_error(kind(found[2] if found[2] not in (None, "None") else ""), settings, doing)


def raise_all(errors: Iterable[MLSQLError | None], **facts: Any) -> None:
    """Raise the errors among these as one, of the first one's class. Return if all items succeeded."""
    failed = [error for error in errors if error is not None]
    if failed:
        raise type(failed[0])("; ".join(error.message for error in failed), **failed[0].facts | facts)


def suggest_name(name: str, known: Iterable[str]) -> str:
    """Return a hint at what else ``name`` may mean. The names of a large cluster are not all listed."""
    names = sorted(known)
    hint = did_you_mean(name, names)
    return hint if len(names) <= 10 or "did you mean" in hint else f"; there are {len(names)} others"


def convert_error(error: Exception, settings: KafkaSettings, doing: str, seen: Iterable[Exception] = ()) -> MLSQLError:
    """Return ``error`` as one of ours. Of it and of the errors ``seen`` before, the message names the most specific one."""
    from kafka import errors

    where = f"{doing} on {settings.servers}"
    telling = max([error, *seen], key=find_cause)
    refusal = _explain_refusal(telling, settings)
    if refusal is not None:
        return KafkaRefused(f"{where}: {refusal}")
    if isinstance(telling, errors.AuthorizationError):
        return KafkaRefused(f"{where}: {client_name(settings)} is not authorized ({_describe(telling)}); ask for an ACL")
    if isinstance(telling, (errors.NonEmptyGroupError, errors.GroupSubscribedToTopicError)):
        return KafkaRefused(f"{where}: the group has active members; stop them first")
    if isinstance(telling, errors.UnknownTopicOrPartitionError):
        return KafkaRefused(f"{where}: there is no such topic or partition; check its name, or create it")
    if isinstance(telling, (errors.KafkaTimeoutError, errors.KafkaConnectionError, errors.NodeNotReadyError)):
        return KafkaUnavailable(f"{where}: {_explain_unavailable(telling)}")
    if isinstance(telling, errors.RetriableError):
        return KafkaUnavailable(f"{where}: the broker is not ready ({_name(telling)}); try again")
    return KafkaRefused(f"{where}: the broker refused: {_describe(telling)}")


def client_name(settings: KafkaSettings) -> str:
    """Return who sends the requests, as messages name it."""
    return f"user '{settings.user}'" if settings.user else "this client"


def _explain_refusal(error: Exception, settings: KafkaSettings) -> str | None:
    """Return why login or TLS fails; None for every other failure."""
    text, mechanism = str(error), settings.values.get("sasl_mechanism")
    match find_cause(error):
        case Cause.WRONG_PASSWORD:
            return f"the broker rejected the password of {client_name(settings)}; check login and password"
        case Cause.NO_MECHANISM:
            return f"the broker does not offer SASL mechanism {mechanism}; set sasl_mechanism to one that it offers"
        case Cause.NO_LOGIN:
            return f"the port takes no login, but security_protocol is {settings.protocol}; check port and security_protocol"
        case Cause.LOST_AT_LOGIN if settings.protocol.startswith("SASL"):
            return (
                f"the broker closed the connection at the login, so it rejected the password of {client_name(settings)} or "
                f"SASL mechanism {mechanism}; check login, password and sasl_mechanism"
            )
        case Cause.LOST_AT_LOGIN:
            return f"the port expects a login, but security_protocol is {settings.protocol}; check port and security_protocol"
        case Cause.UNTRUSTED_CERTIFICATE:
            reason = text.split("certificate verify failed: ")[-1].split(" (_ssl")[0]
            advice = "set ssl_cafile to the certificate of its authority"
            if "mismatch" in reason:
                advice = "connect to a name in it, or set ssl_check_hostname to false"
            return f"the broker's certificate is not trusted ({reason}); {advice}"
        case Cause.TLS_ALERT:
            reason = text.split("] ")[-1].split(" (_ssl")[0]
            return f"the broker ended the TLS handshake ({reason}); check ssl_certfile and ssl_keyfile"
        case Cause.NO_TLS:
            return f"the port does not speak TLS, but security_protocol is {settings.protocol}; check port and security_protocol"
    return None


def _explain_unavailable(error: Exception) -> str:
    match find_cause(error):
        case Cause.UNKNOWN_HOST:
            return "the broker's host name is unknown (DNS); check the address"
        case Cause.NOT_LISTENING:
            failure = "the connection was refused" if "ECONNREFUSED" in str(error) else "the broker's host cannot be reached"
            return f"{failure}; check the address and that the broker runs"
        case Cause.DROPPED:
            return "the broker closed the connection; check that security_protocol is the one of the port"
    return f"no answer in time ({error}); check the address and that the broker runs"


def _name(error: Exception) -> str:
    return type(error).__name__.removesuffix("Error")


def _describe(error: Exception) -> str:
    """Return the error's name and the broker's own words, if there are any, without kafka-python's dump of the request."""
    words = str(error.args[0]) if error.args else ""
    return f"{_name(error)}: {words}" if words and not re.match(r"\w*(Request|Response)\b", words) else _name(error)
