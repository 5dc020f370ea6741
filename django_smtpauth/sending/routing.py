"""Which server a message goes to, and by which rule: `choose()`, a pure function.

The first rule that applies decides:

1. The backend was built with `host`: that host and nothing else. With another option that
   describes a server (user name, port, security ...) but no host: the settings' server.
2. An account was asked for: by the message, by a block of code (`smtp_account()`), by the
   backend, or by SMTPAUTH["DEFAULTS"].
3. The account that SMTPAUTH["CHOOSER"] chooses.
4. The account that may be chosen by From and whose address is the message's From.
5. The default account.
6. The settings.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from ..secrets.client_certificate import ClientCertificate
from ..smtp.endpoint import Endpoint
from .accounts import Account, Snapshot, current_accounts
from .addressing import normalized_address
from .credentials import credentials_of
from .guard import guard_of
from .mailer import (
    NOTHING_SAID,
    SERVER_OPTIONS,
    MailerOptions,
    build_endpoint,
    default_options,
    endpoint,
    in_mailer,
    parse,
    plain_settings,
)
from .option_values import InvalidOption
from .passwords import Password


class NoServer(InvalidOption):
    """Neither the options, nor an account, nor the settings name a server."""


class AccountNotFound(ImproperlyConfigured):
    """The account that was asked for does not exist here, or is switched off."""


class Rule(enum.Enum):
    """By which rule a server was chosen; the value is the sentence for people."""

    EXPLICIT_HOST = "the mailer was given this host"
    EXPLICIT_OPTIONS = "the mailer was given options for the settings' server"
    ACCOUNT = "this account was asked for"
    BLOCK = "smtp_account() chose this account"
    CHOOSER = 'SMTPAUTH["CHOOSER"] chose this account'
    FROM = "From is this account's address"
    DEFAULT = "this is the default account"
    SETTINGS = "no account applies, so the settings' server is used"


@dataclass(frozen=True)
class Hint:
    """What is known about a message before a server is chosen.

    options: what the backend was built with, not completed from settings.
    account: the account that the message itself asks for.
    from_email: the message's From, with or without a display name.
    scope: the tenant whose accounts are meant.
    alias: the mailer's name under MAILERS, for the errors.
    block: the account that a block of code has chosen: a slug, or what a row says.
    block_only: it does not give way to a backend that was built with a server.
    chooser: gives the slug that SMTPAUTH["CHOOSER"] chooses, or None; asked when nothing else
        names an account.
    """

    options: MailerOptions = NOTHING_SAID
    account: str | None = None
    from_email: str = ""
    scope: str = ""
    alias: str | None = None
    block: str | Account | None = None
    block_only: bool = False
    chooser: Callable[[], object] | None = None


@dataclass(frozen=True)
class Route:
    """The server that was chosen. Routes are equal when one session can serve both.

    account: None when the server comes from options and settings.
    options: everything that shapes the session, but an account's password and CA.
    """

    account: Account | None
    options: MailerOptions
    rule: Rule = field(compare=False)
    endpoint: Endpoint = field(compare=False)

    @property
    def reason(self) -> str:
        """Server and rule in one line, for people."""
        return f"{self.endpoint.name}: {self.rule.value}"


def needs_accounts(hint: Hint) -> bool:
    """Whether the accounts have to be known; if not, the database need not be asked."""
    return not (hint.options.server_options or _has_row(hint))


def _has_row(hint: Hint) -> bool:
    return hint.account is None and isinstance(hint.block, Account)


def find_route(hint: Hint) -> Route:
    """`choose()` with this process's accounts and the settings; the same errors."""
    known = current_accounts(hint.scope) if needs_accounts(hint) else Snapshot()
    try:
        plain, defaults = plain_settings(), default_options()
    except InvalidOption as error:
        raise in_mailer(error, hint.alias) from None
    route = choose(hint, known.accounts, plain, defaults, known.problem or known.cure)
    # Its limits are settings as well: unusable ones are a mistake of the program, told as one.
    guard_of(route.account)
    return route


def choose(
    hint: Hint,
    accounts: Sequence[Account],
    plain: MailerOptions,
    defaults: MailerOptions = NOTHING_SAID,
    problem: str = "",
) -> Route:
    """The server for a message.

    accounts: the enabled accounts of the hint's scope.
    plain: the settings' server; without a host there is none.
    defaults: SMTPAUTH["DEFAULTS"], for what an account does not say itself.
    problem: why there are no accounts, or old ones, if so; it goes into the errors.

    Raises AccountNotFound, NoServer and InvalidOption; the latter two as InvalidMailer under
    MAILERS.
    """
    try:
        return _choose(hint, accounts, plain, defaults, problem)
    except InvalidOption as error:
        raise in_mailer(error, hint.alias) from None


def _choose(
    hint: Hint,
    accounts: Sequence[Account],
    plain: MailerOptions,
    defaults: MailerOptions,
    problem: str,
) -> Route:
    if hint.options.server_options:
        return _explicit_route(hint, plain, problem)
    for wanted, rule in (
        (hint.account, Rule.ACCOUNT),
        (hint.block, Rule.BLOCK),
        (hint.options.account or plain.account, Rule.ACCOUNT),
    ):
        if wanted:
            return _account_route(hint, _find(wanted, hint, accounts, problem), rule, defaults)
    chosen = _ask_chooser(hint)
    if chosen:
        account = _find(chosen, hint, accounts, problem)
        return _account_route(hint, account, Rule.CHOOSER, defaults)
    address = normalized_address(hint.from_email)
    for account in accounts:
        if address and account.select_by_from and _owns(account, address):
            return _account_route(hint, account, Rule.FROM, defaults)
    for account in accounts:
        if account.is_default:
            return _account_route(hint, account, Rule.DEFAULT, defaults)
    return _plain_route(hint, plain, Rule.SETTINGS, problem)


def _owns(account: Account, address: str) -> bool:
    return normalized_address(account.from_email) == address


def _ask_chooser(hint: Hint) -> str | None:
    chosen = hint.chooser() if hint.chooser is not None else None
    if chosen is not None and not isinstance(chosen, str):
        raise ImproperlyConfigured(
            f'SMTPAUTH["CHOOSER"] must return the slug of an account or None, not {chosen!r}.'
        )
    return chosen


def _find(wanted: str | Account, hint: Hint, accounts: Sequence[Account], problem: str) -> Account:
    if isinstance(wanted, Account):
        return wanted
    slug = wanted
    for account in accounts:
        if account.slug == slug:
            return account
    scope = f" of scope {hint.scope!r}" if hint.scope else ""
    known = ", ".join(account.slug for account in accounts) or "none"
    cure = problem or "Correct the name, or add and enable the account in the admin."
    raise AccountNotFound(
        f"There is no enabled account {slug!r}{scope}. Enabled accounts: {known}. {cure}"
    )


def _explicit_route(hint: Hint, plain: MailerOptions, problem: str) -> Route:
    wanted = hint.account or (hint.block if hint.block_only else None)
    if wanted:
        slug = wanted.slug if isinstance(wanted, Account) else wanted
        raise InvalidOption(
            f"The message asks for account {slug!r}, but the backend was built with "
            f"{', '.join(hint.options.server_options)}. Leave out one or the other."
        )
    rule = Rule.EXPLICIT_HOST if hint.options.host else Rule.EXPLICIT_OPTIONS
    return _plain_route(hint, plain, rule, problem)


def _plain_route(hint: Hint, plain: MailerOptions, rule: Rule, problem: str) -> Route:
    options = hint.options.over(plain)
    if not options.host:
        raise NoServer(_no_server(hint, problem))
    return Route(None, options, rule, endpoint(options))


def says_no_server(error: Exception) -> bool:
    """Whether this is NoServer, also in the form of InvalidMailer that MAILERS calls for."""
    return isinstance(error, NoServer) or isinstance(error.__context__, NoServer)


def _no_server(hint: Hint, problem: str) -> str:
    where = "OPTIONS" if hint.alias else 'EMAIL_HOST or SMTPAUTH["DEFAULTS"]'
    if hint.options.server_options:
        given = ", ".join(hint.options.server_options)
        return f"{given} given without a host: add 'host' to {where}, or leave them out."
    cure = (
        f"There is no server to send through. Name a 'host' in {where}, or add an account in "
        "the admin and make it the default."
    )
    return f"{cure} {problem}".strip()


def _account_route(hint: Hint, account: Account, rule: Rule, defaults: MailerOptions) -> Route:
    options = account_options(account, hint.options, defaults)
    return Route(account, options, rule, account_endpoint(account, options))


@lru_cache(maxsize=256)
def account_options(
    account: Account, given: MailerOptions = NOTHING_SAID, defaults: MailerOptions = NOTHING_SAID
) -> MailerOptions:
    """What is in force for an account: its server is its own; what else is asked comes from the
    options, then from the account, then from the defaults.

    Raises InvalidOption for a value that got into the database past the forms.
    """
    own = parse(
        {
            "account": account.slug,
            "host": account.host,
            "port": account.port,
            "security": account.security,
            "verify": account.verify,
            "allow_auth_without_tls": account.allow_auth_without_tls,
            "protocol": account.protocol,
            "username": account.username,
            "tls_pin": account.tls_pin.splitlines() or None,
            "tls_minimum": account.tls_minimum or None,
            "proxy": Password(account.proxy) if account.proxy else None,
            "source_address": account.source_address or None,
            "ehlo_name": account.ehlo_name or None,
            "auth_mechanisms": _mechanisms(account),
            "client_certificate": _client_certificate(account),
            "timeout": account.timeout,
            "bdat": account.bdat or None,
            "recipients": account.recipients or None,
            "dsn": _reports(account),
            "require_tls": account.require_tls,
        },
        lambda name: f"account {account.slug}, {name}",
    )
    its_own = dict.fromkeys((*SERVER_OPTIONS, "account"))
    return replace(given, **its_own).over(own.over(replace(defaults, **its_own)))


def _mechanisms(account: Account) -> list[str] | None:
    """The mechanisms that its kind of log-in leaves; None: all that fit."""
    if account.authentication == "certificate":
        return ["EXTERNAL"]
    return account.auth_mechanisms.split(",") if account.auth_mechanisms else None


def _client_certificate(account: Account) -> ClientCertificate | None:
    if not account.client_certificate or not account.client_key:
        return None
    return ClientCertificate(account.client_certificate, account.client_key)


def _reports(account: Account) -> dict[str, Any] | None:
    """What the account says of delivery reports, as the option `dsn`."""
    if not account.dsn_notify and not account.dsn_ret:
        return None
    notify = account.dsn_notify.split(",") if account.dsn_notify else []
    return {"notify": notify, "ret": account.dsn_ret or None}


def account_route(account: Account) -> Route:
    """The way to this account, whether it is saved or not.

    Raises InvalidOption for a value that no form would have let pass.
    """
    options = account_options(account, defaults=default_options())
    return Route(account, options, Rule.ACCOUNT, account_endpoint(account, options))


def overridden(route: Route, options: MailerOptions) -> Route:
    """A route with these options over its own; an account keeps its secrets.

    Options for a server (`verify`, `protocol`) count here, too: it is for checks, and no mailer
    does it. Raises InvalidOption.
    """
    if options == NOTHING_SAID:
        return route
    account, completed = route.account, options.over(route.options)
    if account is None:
        return replace(route, options=completed, endpoint=endpoint(completed))
    ca_text = None if options.ca_file else account.ca_text or None
    built = build_endpoint(completed, "", credentials_of(account), ca_text)
    label = f"account {account.slug}, {built.server}"
    return replace(route, options=completed, endpoint=replace(built, label=label))


def account_endpoint(account: Account, options: MailerOptions | None = None) -> Endpoint:
    """The engine's value for an account; its password is opened when the engine asks for it.

    options: from `account_options()`; None: the account with SMTPAUTH["DEFAULTS"]. Raises
    InvalidOption.
    """
    options = options or account_options(account, defaults=default_options())
    if not options.host:
        raise InvalidOption(
            f"account {account.slug}, host: it is empty. Type the name of a server, or choose a "
            "provider."
        )
    built = build_endpoint(options, "", credentials_of(account), account.ca_text or None)
    return replace(built, label=f"account {account.slug}, {built.server}")
