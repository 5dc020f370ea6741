"""The options of a mailer: who may write them where, which one wins, what the engine gets.

The same names stand in MAILERS' OPTIONS (or a backend's keyword arguments) and in
SMTPAUTH["DEFAULTS"]; Django's EMAIL_* settings fill nine of them. The first that says something
wins: keyword arguments or OPTIONS, EMAIL_* written by the site, SMTPAUTH["DEFAULTS"], Django's
own default.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from django.core.exceptions import ImproperlyConfigured

from ..conf import is_explicit, mail_setting, mailers_configured, smtpauth_settings
from ..secrets.client_certificate import ClientCertificate
from ..smtp.content import Chunking
from ..smtp.endpoint import LMTP_PORT, TLS_NEEDS_A_NAME, Endpoint, is_path
from ..smtp.sasl.credentials import Credentials
from ..smtp.timeouts import Timeouts
from ..smtp.tls import Security, TLSOptions
from .option_values import READERS, InvalidOption, hidden, hidden_settings, read
from .options import DSN, Recipients
from .passwords import AccessToken, Password
from .proxies import Proxy
from .trust_store import os_context

#: Django's settings for the plain server, by option.
EMAIL_SETTINGS = {
    "host": "EMAIL_HOST",
    "port": "EMAIL_PORT",
    "username": "EMAIL_HOST_USER",
    "password": "EMAIL_HOST_PASSWORD",
    "use_tls": "EMAIL_USE_TLS",
    "use_ssl": "EMAIL_USE_SSL",
    "timeout": "EMAIL_TIMEOUT",
    "ssl_keyfile": "EMAIL_SSL_KEYFILE",
    "ssl_certfile": "EMAIL_SSL_CERTFILE",
}

#: Options that describe a server. A backend built with one of them uses the plain settings'
#: server (or the given host) and no account, which brings its own.
SERVER_OPTIONS = (
    "host",
    "port",
    "username",
    "password",
    "use_tls",
    "use_ssl",
    "security",
    "verify",
    "allow_auth_without_tls",
    "protocol",
    "access_token",
)

#: Options that answer the same question: one of them replaces the other of a lower place.
RIVALS = (
    ("ca_file", "trust_store"),
    ("ssl_certfile", "client_certificate"),
    ("ssl_keyfile", "client_certificate"),
    ("password", "access_token"),
)

_EXTERNAL = "EXTERNAL"

BOTH_KINDS_OF_TLS = (
    "EMAIL_USE_TLS/EMAIL_USE_SSL are mutually exclusive, so only set one of those settings to "
    "True."
)


@dataclass(frozen=True)
class MailerOptions:
    """What a site may say about a mailer; None where it said nothing.

    host: an IP address, a name as A-label, or the path of a Unix socket.
    username: '' stands for no log-in.
    use_tls, use_ssl: Django's names for security 'starttls' and 'implicit_tls'; None as soon
    as `security` is given, which says the same.
    timeout: seconds, or "bulk" for the long limits of RFC 5321 4.5.3.2.
    deadline: seconds for opening, and for each message.
    recipients, dsn, require_tls: for messages that do not say it themselves (MessageOptions).
    proxy: what the server is reached through; '' stands for none.
    access_token: stands in the place of password; one of the two.
    The others are described at Endpoint and TLSOptions.

    Raises InvalidOption when the options contradict each other.
    """

    account: str | None = None
    host: str | None = None
    port: int | None = None
    username: str | None = None
    password: Password | None = None
    use_tls: bool | None = None
    use_ssl: bool | None = None
    timeout: float | Literal["bulk"] | None = None
    ssl_keyfile: str | None = None
    ssl_certfile: str | None = None
    security: Security | None = None
    ca_file: str | None = None
    verify: bool | None = None
    tls_minimum: str | None = None
    auth_mechanisms: tuple[str, ...] | None = None
    allow_auth_without_tls: bool | None = None
    ehlo_name: str | None = None
    source_address: str | None = None
    deadline: float | None = None
    pipelining: bool | None = None
    max_unanswered: int | None = None
    protocol: Literal["smtp", "lmtp"] | None = None
    bdat: Chunking | None = None
    recipients: Recipients | None = None
    dsn: DSN | None = None
    require_tls: bool | None = None
    proxy: Proxy | Literal[""] | None = None
    tls_pin: tuple[str, ...] | None = None
    trust_store: Literal["openssl", "os"] | None = None
    client_certificate: ClientCertificate | None = None
    access_token: AccessToken | None = None

    def __post_init__(self) -> None:
        if self.use_tls and self.use_ssl:
            raise InvalidOption(BOTH_KINDS_OF_TLS)
        if is_path(self.host or "") and self.effective_security is not Security.NONE:
            raise InvalidOption(f"host: {TLS_NEEDS_A_NAME.format(self.host)}")
        for one, other in RIVALS:
            if getattr(self, one) and getattr(self, other):
                raise InvalidOption(f"{one} and {other} exclude each other. Keep one of the two.")
        if self.security is None:
            return
        for name, kind in (("use_tls", Security.STARTTLS), ("use_ssl", Security.IMPLICIT_TLS)):
            flag = getattr(self, name)
            if flag is not None and flag != (self.security is kind):
                raise InvalidOption(
                    f"security={self.security.value!r} contradicts {name}={flag}. Keep one of "
                    "the two: use_tls is security='starttls', use_ssl is 'implicit_tls'."
                )
            object.__setattr__(self, name, None)

    @property
    def effective_security(self) -> Security:
        """When TLS begins; as with Django, not at all when no option asks for it."""
        if self.security is not None:
            return self.security
        if self.use_ssl:
            return Security.IMPLICIT_TLS
        return Security.STARTTLS if self.use_tls else Security.NONE

    @property
    def server_options(self) -> list[str]:
        """The names of the given options that describe a server."""
        return [name for name in SERVER_OPTIONS if getattr(self, name) is not None]

    def over(self, lower: MailerOptions) -> MailerOptions:
        """These options, completed by `lower` where they say nothing.

        `use_tls` and `use_ssl` are completed one by one, as Django does, so that both may
        become True: InvalidOption. What is given replaces its lower RIVALS.
        """
        if self == NOTHING_SAID:
            return lower
        if self.security is not None:
            lower = replace(lower, use_tls=None, use_ssl=None)
        elif lower.security is not None and (self.use_tls, self.use_ssl) != (None, None):
            lower = self._without_security(lower)
        for one, other in RIVALS:
            if getattr(self, one):
                lower = replace(lower, **{other: None})
            if getattr(self, other):
                lower = replace(lower, **{one: None})
        given = {name: getattr(self, name) for name in OPTIONS}
        return replace(lower, **{k: value for k, value in given.items() if value is not None})

    def _without_security(self, lower: MailerOptions) -> MailerOptions:
        """`lower` in Django's words, less what these options replace."""
        switched_on = self.use_tls or self.use_ssl
        return replace(
            lower,
            security=None,
            use_tls=lower.security is Security.STARTTLS and not switched_on,
            use_ssl=lower.security is Security.IMPLICIT_TLS and not switched_on,
        )


#: The names of all options.
OPTIONS = tuple(field_.name for field_ in fields(MailerOptions))

NOTHING_SAID = MailerOptions()


def parse(given: Mapping[str, Any], name_of: Callable[[str], str] = str) -> MailerOptions:
    """MailerOptions from what a site wrote; None means: not said. Secrets come `hidden()`.

    name_of: how the site calls an option. Raises InvalidOption, for unknown names as well.
    """
    unknown = sorted(set(given) - set(READERS))
    if unknown:
        names = ", ".join(name_of(name) for name in unknown)
        raise InvalidOption(f"Unknown option {names}. Known are: {', '.join(OPTIONS)}.")
    return MailerOptions(**{k: read(k, value, name_of(k)) for k, value in given.items()})


def backend_options(given: Mapping[str, Any], alias: str | None = None) -> MailerOptions:
    """The options a backend was built with, alone: nothing is completed from settings.

    alias: the mailer's name under MAILERS. Raises InvalidMailer there, else InvalidOption.
    """
    given = hidden(given)
    try:
        options = parse(given)
        _refuse_account_with_server(options)
    except InvalidOption as error:
        raise in_mailer(error, alias) from None
    return options


def effective_options(options: MailerOptions, alias: str | None = None) -> MailerOptions:
    """A backend's options completed by the plain settings; errors as `backend_options()`."""
    try:
        return options.over(plain_settings())
    except InvalidOption as error:
        raise in_mailer(error, alias) from None


def in_mailer(error: InvalidOption, alias: str | None) -> ImproperlyConfigured:
    """The error as Django reports it for this mailer: InvalidMailer under MAILERS."""
    if alias is None:
        return error
    from django.core.mail import InvalidMailer

    text = str(error)
    if text == BOTH_KINDS_OF_TLS:
        text = (
            "The 'use_ssl' and 'use_tls' OPTIONS are incompatible. Set at most one of them to "
            "True."
        )
    return InvalidMailer(text, alias=alias)


def default_options() -> MailerOptions:
    """SMTPAUTH["DEFAULTS"]. Raises InvalidOption."""
    return parse(_hidden_defaults(), 'SMTPAUTH["DEFAULTS"]["{}"]'.format)


def _hidden_defaults() -> dict[str, Any]:
    if not isinstance(smtpauth_settings.DEFAULTS, Mapping):
        kind = type(smtpauth_settings.DEFAULTS).__name__
        raise InvalidOption(f'SMTPAUTH["DEFAULTS"] must be a dict, not {kind}.')
    return hidden_settings(smtpauth_settings.DEFAULTS)


def email_settings() -> MailerOptions:
    """The EMAIL_* settings that the site itself wrote; none of them under MAILERS."""
    if mailers_configured():
        return NOTHING_SAID
    given = hidden_settings(
        {
            option: mail_setting(name)
            for option, name in EMAIL_SETTINGS.items()
            if is_explicit(name)
        }
    )
    return parse(given, EMAIL_SETTINGS.__getitem__)


def plain_settings() -> MailerOptions:
    """The server of the settings: EMAIL_* over SMTPAUTH["DEFAULTS"] over Django's default.

    Without a host (MAILERS, or an empty EMAIL_HOST) there is none. Raises InvalidOption.
    """
    plain = email_settings().over(default_options())
    if plain.host is None and not mailers_configured() and not is_explicit("EMAIL_HOST"):
        return replace(plain, host="localhost")
    return plain


def endpoint(options: MailerOptions, label: str = "") -> Endpoint:
    """The engine's value for a server given by options; `host` must be there.

    label: how errors call the server; host:port when empty. Raises InvalidOption.
    """
    return build_endpoint(options, label, _credentials(options))


def _credentials(options: MailerOptions) -> Credentials | None:
    username, password, token = options.username, options.password, options.access_token
    if token and username is None:
        raise InvalidOption("access_token needs username: whose token it is.")
    if username and token:
        return Credentials(username, token.reveal, kind="token")
    return Credentials(username, password.reveal) if username and password else None


def build_endpoint(
    options: MailerOptions,
    label: str,
    credentials: Credentials | None,
    ca_text: str | None = None,
) -> Endpoint:
    """The engine's value, with credentials and CA text from elsewhere (an account).

    Without credentials a client certificate logs in where auth_mechanisms names EXTERNAL.
    Raises InvalidOption.
    """
    if not options.host:
        raise InvalidOption("host is missing.")
    tls = _tls_options(options, ca_text)
    if _EXTERNAL in (options.auth_mechanisms or ()) and tls.has_client_certificate:
        credentials = credentials or Credentials(options.username or "", kind="certificate")
    elif options.auth_mechanisms == (_EXTERNAL,):
        raise InvalidOption(
            "auth_mechanisms names EXTERNAL alone, which logs in with a client certificate: give "
            "ssl_certfile or client_certificate."
        )
    return Endpoint(
        host=options.host,
        port=port_of(options),
        security=options.effective_security,
        tls=tls,
        credentials=credentials,
        label=label,
        ehlo_name=options.ehlo_name or "",
        auth_mechanisms=options.auth_mechanisms,
        allow_auth_without_tls=bool(options.allow_auth_without_tls),
        timeouts=_timeouts(options.timeout),
        deadline=options.deadline,
        pipelining=options.pipelining is not False,
        max_unanswered=options.max_unanswered or 1,
        source_address=options.source_address,
        protocol=options.protocol or "smtp",
        bdat=options.bdat or "never",
    )


def port_of(options: MailerOptions) -> int:
    """The port given, or the one that goes with the kind of TLS."""
    if options.port:
        return options.port
    if options.protocol == "lmtp":
        return LMTP_PORT
    # EMAIL_PORT's default is 25 for EMAIL_USE_TLS too; MAILERS goes by the kind of TLS.
    if options.use_tls and not mailers_configured():
        return Security.NONE.default_port
    return options.effective_security.default_port


def _timeouts(timeout: float | Literal["bulk"] | None) -> Timeouts:
    return Timeouts.BULK if timeout == "bulk" else Timeouts.of(timeout)


def _tls_options(options: MailerOptions, ca_text: str | None) -> TLSOptions:
    if options.ssl_keyfile and not options.ssl_certfile:
        raise InvalidOption("ssl_keyfile needs ssl_certfile: a key alone identifies nobody.")
    if options.tls_pin and not options.effective_security.ensures_tls:
        raise InvalidOption(
            f"tls_pin needs TLS, but security is {options.effective_security.value!r}. Use "
            "'starttls' or 'implicit_tls', or leave out tls_pin."
        )
    return TLSOptions(
        ca_file=None if ca_text else options.ca_file,
        ca_text=ca_text,
        verify=options.verify is not False,
        minimum=options.tls_minimum or "1.2",
        certificate_file=options.ssl_certfile,
        key_file=options.ssl_keyfile,
        client_certificate=options.client_certificate,
        pins=options.tls_pin or (),
        new_context=os_context if options.trust_store == "os" and not ca_text else None,
    )


def _refuse_account_with_server(options: MailerOptions) -> None:
    if options.account and options.server_options:
        raise InvalidOption(
            f"account={options.account!r} can't stand with {', '.join(options.server_options)}: "
            "an account brings its own server. Leave out one or the other."
        )
