"""The e-mail backend: Django's contract, and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend

from .conf import smtpauth_settings
from .current import chosen_account
from .secrets.client_certificate import ClientCertificate
from .secrets.errors import SecretUnreadable
from .sending import health
from .sending.accounts import Account, account_of
from .sending.delivery import Batch, Lines
from .sending.explaining import explain_failure
from .sending.mailer import backend_options, effective_options, port_of
from .sending.option_values import InvalidOption, hidden
from .sending.options import DSN, MessageOptions
from .sending.routing import AccountNotFound, Hint, Route, find_route, says_no_server
from .smtp.connection import Connection
from .smtp.tls import Security


def _option(name: str) -> property:
    def value(backend: EmailBackend) -> Any:
        return getattr(backend._options, name)

    return property(value, doc=f"The option `{name}` as it is in force without an account.")


def _chosen_by_block() -> tuple[str | Account | None, bool]:
    """The account of the innermost `smtp_account()`, and whether nothing else will do."""
    chosen, only = chosen_account()
    if chosen is None or isinstance(chosen, str):
        return chosen, only
    if not chosen.enabled:
        raise AccountNotFound(f"The account {chosen.slug} is switched off. Enable it to send.")
    return account_of(chosen), only


class EmailBackend(BaseEmailBackend):
    """Sends through the account, host or settings that a message calls for.

    A drop-in for Django's own backend: the same options with the same meaning, `open()`,
    `close()`, context manager and `fail_silently`. After a send `message.smtp_result` tells what
    became of the message (`sending.results.Result`).
    """

    def __init__(
        self,
        host: str | None = None,
        port: int | None = None,
        username: str | None = None,
        password: str | None = None,
        use_tls: bool | None = None,
        fail_silently: bool = False,
        use_ssl: bool | None = None,
        timeout: float | str | None = None,
        ssl_keyfile: str | None = None,
        ssl_certfile: str | None = None,
        *,
        account: str | None = None,
        security: str | None = None,
        ca_file: str | None = None,
        verify: bool | None = None,
        tls_minimum: str | None = None,
        auth_mechanisms: Sequence[str] | None = None,
        allow_auth_without_tls: bool | None = None,
        ehlo_name: str | None = None,
        source_address: str | None = None,
        deadline: float | None = None,
        pipelining: bool | None = None,
        max_unanswered: int | None = None,
        protocol: str | None = None,
        bdat: str | None = None,
        recipients: str | None = None,
        dsn: DSN | Mapping[str, Any] | None = None,
        require_tls: bool | None = None,
        proxy: str | None = None,
        tls_pin: str | Sequence[str] | None = None,
        trust_store: str | None = None,
        client_certificate: ClientCertificate | None = None,
        access_token: str | Callable[[], str] | None = None,
        **kwargs: Any,
    ) -> None:
        # Whatever is raised from here carries this frame to error pages.
        secrets = hidden({"password": password, "proxy": proxy, "access_token": access_token})
        del password, proxy, access_token
        super().__init__(**kwargs)
        self.fail_silently = fail_silently
        self._given = backend_options(
            {
                "account": account,
                "host": host,
                "port": port,
                "username": username,
                "use_tls": use_tls,
                "use_ssl": use_ssl,
                "timeout": timeout,
                "ssl_keyfile": ssl_keyfile,
                "ssl_certfile": ssl_certfile,
                "security": security,
                "ca_file": ca_file,
                "verify": verify,
                "tls_minimum": tls_minimum,
                "auth_mechanisms": auth_mechanisms,
                "allow_auth_without_tls": allow_auth_without_tls,
                "ehlo_name": ehlo_name,
                "source_address": source_address,
                "deadline": deadline,
                "pipelining": pipelining,
                "max_unanswered": max_unanswered,
                "protocol": protocol,
                "bdat": bdat,
                "recipients": recipients,
                "dsn": dsn,
                "require_tls": require_tls,
                "tls_pin": tls_pin,
                "trust_store": trust_store,
                "client_certificate": client_certificate,
                **secrets,
            },
            self._alias,
        )
        self._options = effective_options(self._given, self._alias)
        self._lines = Lines()
        self._is_open = False
        self._lock = threading.RLock()

    host = _option("host")
    username = _option("username")
    timeout = _option("timeout")
    ssl_keyfile = _option("ssl_keyfile")
    ssl_certfile = _option("ssl_certfile")

    @property
    def port(self) -> int:
        """The port in force without an account."""
        return port_of(self._options)

    @property
    def password(self) -> str | None:
        """The password in force without an account."""
        password = self._options.password
        return password.reveal() if password is not None else None

    @property
    def use_tls(self) -> bool:
        """Whether STARTTLS is in force without an account."""
        return self._options.effective_security is Security.STARTTLS

    @property
    def use_ssl(self) -> bool:
        """Whether implicit TLS is in force without an account."""
        return self._options.effective_security is Security.IMPLICIT_TLS

    @property
    def _alias(self) -> str | None:
        return getattr(self, "alias", None)

    @property
    def connection(self) -> Connection | None:
        """The engine's connection that is open, if one is."""
        return next(iter(self._lines), None)

    def route(self, message: EmailMessage | None = None) -> Route:
        """The server for a message, or for none in particular, and by which rule.

        Raises ImproperlyConfigured (InvalidMailer under MAILERS) when there is none.
        """
        options = getattr(message, "smtp_options", None)
        if options is not None and not isinstance(options, MessageOptions):
            raise InvalidOption(
                "message.smtp_options must be MessageOptions(...) of "
                f"django_smtpauth.sending.options, not {type(options).__name__}."
            )
        chooser = smtpauth_settings.chooser
        block, only = _chosen_by_block()
        return find_route(
            Hint(
                options=self._given,
                account=options.account if options is not None else None,
                block=block,
                block_only=only,
                chooser=partial(chooser, message) if chooser and message is not None else None,
                from_email=str(message.from_email) if message is not None else "",
                scope=smtpauth_settings.scope,
                alias=self._alias,
            )
        )

    def open(self) -> bool | None:
        """Connects to the server that is used when a message does not call for another.

        Returns True for a new connection, False if it was there, None after a failure that
        `fail_silently` hid. Further connections stay open, too, until `close()`. Without such a
        server, messages may still name their accounts: False, and each connects when needed.
        """
        with self._lock:
            self._is_open = True
            route = None
            try:
                route = self.route()
                if self._lines.find(route) is not None:
                    return False
                self._lines.put(route, self._opened(route))
            except ImproperlyConfigured as error:
                if says_no_server(error):
                    return False
                self._is_open = False
                explain_failure(error)
                raise
            except (OSError, SecretUnreadable) as error:
                self._is_open = False
                if self.fail_silently:
                    return None
                explain_failure(error, route)
                raise
            return True

    def _opened(self, route: Route) -> Connection:
        try:
            return self._lines.take(route)
        except (OSError, SecretUnreadable) as error:
            health.note_unopened(route, error)
            raise

    def close(self) -> None:
        """Closes every connection of this backend. Never raises."""
        with self._lock:
            self._is_open = False
            self._lines.close()

    def send_messages(self, email_messages: Iterable[EmailMessage]) -> int:
        """Tries every message; returns how many were handed over to a server.

        Raises the first failure after the batch, with the failed results as `failed_results`:
        OSError (most are smtplib's and ours, see `smtp.errors`) and SecretUnreadable unless
        `fail_silently`; in any case ValueError for a message that can't be composed,
        ImproperlyConfigured, and before all what the caller's own iterator raised.
        """
        if not email_messages:
            return 0
        with self._lock:
            batch = Batch(self._lines, self.route, health.note)
            try:
                batch.send(email_messages)
            finally:
                if not self._is_open:
                    self._lines.close()
        error = batch.first_mistake if self.fail_silently else batch.first_error
        if error is not None:
            error.failed_results = batch.failed  # type: ignore[attr-defined]
            raise error
        return batch.sent
