"""From what a site wrote to the value of an option, with the cure when it can't be read."""

import ipaddress
import os
from collections.abc import Callable, Mapping
from typing import Any, Literal

from django.core.exceptions import ImproperlyConfigured
from django.utils.functional import Promise

from ..secrets.client_certificate import ClientCertificate
from ..secrets.references import is_reference, secret_from
from ..smtp.tls import Security, read_pin
from .domains import host_name
from .options import DSN
from .passwords import AccessToken, Hidden, Password
from .proxies import Proxy, read_proxy
from .trust_store import require_truststore

TLS_IS_AMBIGUOUS = (
    "'tls' says too little: Django's USE_TLS is 'starttls' (TLS begins on request, usually "
    "port 587), Django's USE_SSL is 'implicit_tls' (TLS from the first octet, usually port 465)."
)


#: Options whose values do not print themselves.
_HIDDEN: dict[str, type[Hidden]] = {
    "password": Password,
    "proxy": Password,
    "access_token": AccessToken,
}


#: Options whose value may be asked for at each log-in.
_ASKED = ("password", "access_token")


class InvalidOption(ImproperlyConfigured, ValueError):
    """An option whose value can't be used; the text names the option and the cure."""


def hidden(given: Mapping[str, Any]) -> dict[str, Any]:
    """A copy whose secrets do not print themselves: an error page shows the frames' variables."""
    return {
        name: _HIDDEN[name](value)
        if name in _HIDDEN and value is not None and not isinstance(value, (Hidden, Proxy))
        else value
        for name, value in given.items()
    }


def hidden_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """As `hidden()`, for what stands in the settings: there `env:NAME` and `file:PATH` name the
    place of a password or token."""
    return hidden(
        {
            name: secret_from(value) if name in _ASKED and is_reference(value) else value
            for name, value in given.items()
        }
    )


def read(option: str, value: Any, name: str) -> Any:
    """The value of one option, None when the site left it open; a secret comes hidden.

    name: how the site calls it, for example `EMAIL_PORT`. Raises InvalidOption.
    """
    if value is None:
        return None
    try:
        return READERS[option](value)
    except ValueError as error:
        # The cause holds the value in its frames, and the value may be a password.
        raise InvalidOption(f"{name}: {error}") from None


def _text(value: Any) -> str:
    if not isinstance(value, (str, Promise)):
        raise ValueError(f"must be text, not {type(value).__name__}.")
    return str(value)


def _text_or_none(value: Any) -> str | None:
    return _text(value).strip() or None


def _password(value: Any) -> Password:
    if not isinstance(value, Password):
        raise TypeError("A secret is hidden before it is read.")
    _refuse_other_kinds(value)
    return value


def _proxy(value: Any) -> Proxy | Literal[""]:
    if isinstance(value, Proxy):
        return value
    url = _password(value)
    if url.is_callable:
        raise ValueError("must be text, not a callable.")
    return read_proxy(url) if url.reveal().strip() else ""


def _access_token(value: Any) -> AccessToken | None:
    if not isinstance(value, AccessToken):
        raise TypeError("An access token is hidden before it is read.")
    _refuse_other_kinds(value)
    return value or None


def _refuse_other_kinds(value: Password | AccessToken) -> None:
    if not value.is_callable and not issubclass(value.kind, (str, Promise)):
        raise ValueError(
            f"must be text, or a callable that returns it, not {value.kind.__name__}."
        )


def _host(value: Any) -> str | None:
    text = _text(value)
    return host_name(text) if text.strip() else None


def _port(value: Any) -> int | None:
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value)
    if value in (0, ""):
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 65536:
        raise ValueError(f"must be a number from 1 to 65535, for example 587, not {value!r}.")
    return value


def _flag(value: Any) -> bool:
    if isinstance(value, str):
        if value.strip().lower() in ("true", "yes", "on", "1"):
            return True
        if value.strip():
            # Django takes every text but the empty one for True: guessing could drop TLS.
            raise ValueError(f"must be True or False, not the text {value!r}.")
        return False
    if value not in (True, False):
        raise ValueError(f"must be True or False, not {value!r}.")
    return bool(value)


def _security(value: Any) -> Security:
    if value == "tls":
        raise ValueError(TLS_IS_AMBIGUOUS + " Write one of these.")
    try:
        return Security(value)
    except ValueError:
        raise ValueError(
            f"must be 'implicit_tls', 'starttls', 'opportunistic' or 'none', not {value!r}."
        ) from None


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"must be a number of seconds, not {value!r}.")
    if not 0 < value < float("inf"):
        raise ValueError(f"must be a positive number of seconds, not {value!r}.")
    return value


def _timeout(value: Any) -> float | str:
    return "bulk" if value == "bulk" else _seconds(value)


def _path(value: Any) -> str | None:
    if not isinstance(value, (str, os.PathLike)):
        raise ValueError(f"must be the path of a file, not {type(value).__name__}.")
    return os.fspath(value) or None


def _tls_minimum(value: Any) -> str:
    if value not in ("1.2", "1.3"):
        raise ValueError(f"must be '1.2' or '1.3', not {value!r}.")
    return str(value)


def _mechanisms(value: Any) -> tuple[str, ...]:
    if isinstance(value, str) or not all(isinstance(name, str) and name for name in value):
        raise ValueError(f"must be a list of names, for example ['PLAIN'], not {value!r}.")
    if not value:
        raise ValueError("must name a mechanism; leave it out to allow all of them.")
    return tuple(name.upper() for name in value)


def _client_name(value: Any) -> str | None:
    name = _text_or_none(value)
    if name and not (name.isascii() and name.isprintable() and " " not in name):
        raise ValueError(f"must be this client's host name in ASCII, not {value!r}.")
    return name


def _ip_address(value: Any) -> str | None:
    text = _text_or_none(value)
    try:
        return str(ipaddress.ip_address(text)) if text else None
    except ValueError:
        raise ValueError(f"must be an IP address of this machine, not {value!r}.") from None


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"must be a whole number from 1 up, not {value!r}.")
    return value


def _one_of(*words: str) -> Callable[[Any], str]:
    def reader(value: Any) -> str:
        if value not in words:
            names = ", ".join(repr(word) for word in words[:-1])
            raise ValueError(f"must be {names} or {words[-1]!r}, not {value!r}.")
        return str(value)

    return reader


def _dsn(value: Any) -> DSN:
    if isinstance(value, DSN):
        return value
    if not isinstance(value, Mapping) or not value.keys() <= {"notify", "ret", "envid"}:
        raise ValueError(f"must be a dict with 'notify', 'ret' and 'envid', not {value!r}.")
    return DSN(**value)


def _pins(value: Any) -> tuple[str, ...]:
    pins = [value] if isinstance(value, str) else value
    if not isinstance(pins, (list, tuple)) or not all(isinstance(pin, str) for pin in pins):
        raise ValueError(f"must be a pin or a list of pins, not {value!r}.")
    if not pins:
        raise ValueError("must name a pin; leave it out to pin nothing.")
    return tuple(read_pin(pin.strip()) for pin in pins)


def _trust_store(value: Any) -> str:
    if value not in ("openssl", "os"):
        raise ValueError(f"must be 'openssl' or 'os', not {value!r}.")
    if value == "os":
        require_truststore()
    return str(value)


def _client_certificate(value: Any) -> ClientCertificate:
    if not isinstance(value, ClientCertificate):
        # What was given may be a key: it is not shown.
        raise ValueError(f"must be a ClientCertificate, not {type(value).__name__}.")
    return value


#: Every option by name, with what reads its value.
READERS: dict[str, Callable[[Any], Any]] = {
    "account": _text_or_none,
    "host": _host,
    "port": _port,
    "username": _text,
    "password": _password,
    "use_tls": _flag,
    "use_ssl": _flag,
    "timeout": _timeout,
    "ssl_keyfile": _path,
    "ssl_certfile": _path,
    "security": _security,
    "ca_file": _path,
    "verify": _flag,
    "tls_minimum": _tls_minimum,
    "auth_mechanisms": _mechanisms,
    "allow_auth_without_tls": _flag,
    "ehlo_name": _client_name,
    "source_address": _ip_address,
    "deadline": _seconds,
    "pipelining": _flag,
    "max_unanswered": _count,
    "protocol": _one_of("smtp", "lmtp"),
    "bdat": _one_of("never", "after_rcpt", "eager"),
    "recipients": _one_of("any", "all"),
    "dsn": _dsn,
    "require_tls": _flag,
    "proxy": _proxy,
    "tls_pin": _pins,
    "trust_store": _trust_store,
    "client_certificate": _client_certificate,
    "access_token": _access_token,
}
