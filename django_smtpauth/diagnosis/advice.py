"""What a failed check means to the person who runs the site, and what to change.

The first rule that knows the failure speaks; else the error's own `cure` does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..certificates import EXPIRED, NOT_YET_VALID, OTHER_NAME
from ..conf import mailers_configured
from ..sending.delivery import ALLOW_AUTH_WITHOUT_TLS
from ..sending.guard import NotAllowed
from ..sending.routing import Route, says_no_server
from ..smtp.endpoint import is_path
from ..smtp.errors import (
    AuthenticationRefused,
    ConnectError,
    RecipientsRefused,
    SenderRefused,
    SMTPError,
    TimedOut,
)
from ..smtp.tls import Security

BACKEND = "django_smtpauth.backends.EmailBackend"

EMAIL_EXAMPLE = f"""\
EMAIL_BACKEND = "{BACKEND}"
EMAIL_HOST, EMAIL_PORT, EMAIL_USE_TLS = "smtp.example.com", 587, True
EMAIL_HOST_USER = "you@example.com"
EMAIL_HOST_PASSWORD = os.environ["SMTP_PASSWORD"]"""

MAILERS_EXAMPLE = f"""\
MAILERS = {{
    "default": {{
        "BACKEND": "{BACKEND}",
        "OPTIONS": {{
            "host": "smtp.example.com",
            "security": "starttls",
            "username": "you@example.com",
            "password": os.environ["SMTP_PASSWORD"],
        }},
    }},
}}"""

_UNKNOWN_COMMAND = range(500, 505)
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class Advice:
    """Some sentences for people; settings: lines to paste into settings.py, if that helps."""

    text: str = ""
    settings: str = ""


def advise(error: Exception, route: Route | None = None) -> Advice:
    """What to do about an error that a check met.

    route: the server that was tried; None when there was none to try.
    """
    if says_no_server(error):
        return Advice("In settings.py, for example:", settings_example())
    if isinstance(error, SMTPError) and route is not None:
        for rule in RULES:
            if advice := rule(error, route):
                return advice
    return Advice(getattr(error, "cure", ""))


def settings_example() -> str:
    """The lines that name a server, in the form that this site's settings have."""
    return MAILERS_EXAMPLE if mailers_configured() else EMAIL_EXAMPLE


def _not_allowed(error: SMTPError, _: Route) -> Advice | None:
    if not isinstance(error, NotAllowed):
        return None
    return Advice(error.cure.removesuffix(error.settings).rstrip(), error.settings)


def _proxy(error: SMTPError, route: Route) -> Advice | None:
    if error.reason != "proxy":
        return None
    return Advice(
        "Check the option proxy (address, port, user name, password), and that the proxy lets "
        f"this site connect to {route.endpoint.server}."
    )


def _socket_path(error: SMTPError, route: Route) -> Advice | None:
    path = route.endpoint.host
    if error.stage != "CONNECT" or not is_path(path):
        return None
    return Advice(
        f"Check that a mail server listens at {path}, and that the user that runs this site may "
        "write to it."
    )


def _nobody_here(error: SMTPError, route: Route) -> Advice | None:
    host, port = route.endpoint.address
    if error.stage != "CONNECT" or error.reason or host not in _LOCAL or route.account:
        return None
    if _is_lmtp(route):
        return None
    default = " That is where Django sends mail as long as the settings name no server."
    return Advice(
        f"No mail server listens on this machine at {host}:{port}."
        f"{default if port == 25 else ''} Name the server of your mail provider in settings.py, "
        "for example:",
        settings_example(),
    )


def _unreachable(error: SMTPError, route: Route) -> Advice | None:
    host, port = route.endpoint.address
    if error.stage != "CONNECT":
        return None
    if error.reason == "source-address":
        return Advice("Check the option source_address, or leave it out.")
    if error.reason == "dns":
        return Advice(f"Check the spelling of {host}, and that this machine can look up names.")
    usual = "The usual ports are 587 (STARTTLS) and 465 (implicit TLS)."
    if _is_lmtp(route):
        usual = (
            "LMTP has no port of its own (often it is 24); many servers listen on a Unix socket, "
            "whose path is written in place of the host."
        )
    elif port == 25:
        usual = f"Many hosting providers block port 25. {usual}"
    return Advice(f"Check host and port, and that no firewall is in between. {usual}")


def _other_protocol(error: SMTPError, route: Route) -> Advice | None:
    """LMTP's servers must refuse EHLO, those of SMTP do not know LHLO (RFC 2033 4.1)."""
    if error.stage != "EHLO" or error.reply is None or error.reply.code not in _UNKNOWN_COMMAND:
        return None
    where = "in the account" if route.account else "with the option protocol"
    if _is_lmtp(route):
        return Advice(f"The server does not speak LMTP. Choose SMTP {where}.")
    return Advice(
        "The server refuses the first command of SMTP. If it is the delivery agent of local "
        f"mailboxes, choose LMTP {where}."
    )


def _silent_on_465(error: SMTPError, route: Route) -> Advice | None:
    waits = isinstance(error, (TimedOut, ConnectError)) and error.stage == "GREETING"
    if not waits or route.endpoint.address[1] != 465:
        return None
    if route.endpoint.security is Security.IMPLICIT_TLS:
        return None
    return Advice(
        "On port 465 servers expect TLS from the first octet: use security 'implicit_tls' "
        "(EMAIL_USE_SSL), or port 587."
    )


def _certificate(error: SMTPError, route: Route) -> Advice | None:
    if error.reason != "certificate":
        return None
    code = getattr(error, "verify_code", 0)
    if code in OTHER_NAME:
        return Advice(
            f"If this is the server that you mean, put one of its certificate's names in the "
            f"place of {route.endpoint.host}."
        )
    if code in EXPIRED | NOT_YET_VALID:
        return Advice(
            "Whoever runs the server has to renew its certificate. If it is fine, look at the "
            "clock of this machine."
        )
    where = "in the account's field for it" if route.account else "with the option ca_file"
    return Advice(
        "If the server has a certificate of your own authority, give that authority's PEM "
        f"{where}. If the operating system knows the authority, the option trust_store 'os' asks "
        "it."
    )


def _pin(error: SMTPError, _: Route) -> Advice | None:
    if error.reason != "pin":
        return None
    return Advice(
        "Ask whoever runs the server whether its key was replaced. Only if it was, add the new "
        "pin to the option tls_pin. Otherwise somebody stands between this machine and the server."
    )


def _password_in_clear(error: SMTPError, route: Route) -> Advice | None:
    if error.reason != "auth-without-tls" or route.account:
        return None
    return Advice(
        "Use TLS. Only if the network between this site and the server is trusted (a mail catcher "
        "in a container), write into settings.py:",
        ALLOW_AUTH_WITHOUT_TLS,
    )


_REFUSED_CREDENTIALS = {
    "password": "The server does not take this user name with this password. Many providers want "
    "the whole address as user name, and an app password in place of the mailbox's own.",
    "token": "The server does not take this access token for this user name. It may be expired or "
    "revoked, issued for another mailbox, or without the scope for SMTP; many providers also "
    "switch SMTP log-in off until an administrator allows it for the mailbox.",
    "certificate": "The server does not take this client certificate. Check that it knows its "
    "authority, and that the user name, if one is given, belongs to it.",
}


def _credentials(error: SMTPError, route: Route) -> Advice | None:
    if not isinstance(error, AuthenticationRefused):
        return None
    if error.transient:
        return Advice("The server can't check log-ins at the moment. Try again later.")
    credentials = route.endpoint.credentials
    return Advice(_REFUSED_CREDENTIALS[credentials.kind if credentials else "password"])


def _log_in_needed(error: SMTPError, route: Route) -> Advice | None:
    if route.endpoint.credentials or error.reply is None or error.reply.code != 530:
        return None
    if route.endpoint.security is Security.NONE:
        return Advice(
            "The server wants TLS or a log-in first: use security 'starttls' (EMAIL_USE_TLS) on "
            "port 587, with user name and password."
        )
    return Advice("The server wants a log-in: give user name and password.")


def _sender(error: SMTPError, _: Route) -> Advice | None:
    if not isinstance(error, SenderRefused) or error.transient:
        return None
    return Advice(
        f"The server does not let {error.sender or 'this sender'} send. Set DEFAULT_FROM_EMAIL "
        "to an address that belongs to this log-in, or try one with --from."
    )


def _recipients(error: SMTPError, route: Route) -> Advice | None:
    if not isinstance(error, RecipientsRefused) or error.transient:
        return None
    if _is_lmtp(route):
        return Advice(
            "Connection and dialogue are fine. A server for LMTP delivers to its own mailboxes "
            "only: check that it has one for the recipient."
        )
    if route.endpoint.credentials:
        return Advice("Connection and log-in are fine; the server refuses the recipient.")
    return Advice(
        "The server refuses the recipient. Without a log-in many servers take mail for their "
        "own addresses only: give user name and password."
    )


def _in_doubt(error: SMTPError, _: Route) -> Advice | None:
    if not error.in_doubt:
        return None
    return Advice("The message may have arrived: look into the mailbox before you send again.")


def _is_lmtp(route: Route) -> bool:
    return route.endpoint.protocol == "lmtp"


#: The first one that returns advice speaks.
RULES: tuple[Callable[[SMTPError, Route], Advice | None], ...] = (
    _in_doubt,
    _not_allowed,
    _proxy,
    _socket_path,
    _nobody_here,
    _unreachable,
    _other_protocol,
    _silent_on_465,
    _certificate,
    _pin,
    _password_in_clear,
    _log_in_needed,
    _credentials,
    _sender,
    _recipients,
)
