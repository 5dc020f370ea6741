"""Accounts out of the settings of a site: EMAIL_*, SMTPAUTH["DEFAULTS"], MAILERS."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from django.conf import settings
from django.utils.module_loading import import_string
from django.utils.text import slugify

from .. import presets
from ..backends import EmailBackend
from ..conf import is_explicit, mailers_configured, smtpauth_settings
from ..models import SMTPAccount
from ..secrets.client_certificate import ClientCertificate
from ..secrets.destination import normalise_lines
from ..secrets.references import SecretReference
from ..secrets.secret import FreshSecret
from ..sending.guard import says_internal
from ..sending.mailer import (
    EMAIL_SETTINGS,
    OPTIONS,
    SERVER_OPTIONS,
    MailerOptions,
    backend_options,
    default_options,
    email_settings,
    port_of,
)
from ..sending.option_values import hidden
from ..sending.passwords import Password
from ..sending.public import is_public
from ..smtp.dialling import is_address
from ..smtp.endpoint import is_path
from ..smtp.errors import SMTPError
from . import secret_sources
from .entries import Entry
from .problems import ProvisioningError
from .values import FIELDS

#: Options that an account has under the same name, and of the same type.
_SAME: Final = (
    "username",
    "verify",
    "tls_minimum",
    "allow_auth_without_tls",
    "ehlo_name",
    "source_address",
    "protocol",
    "bdat",
    "recipients",
    "require_tls",
)
_NO_FIELD: Final = "an account has no field for it. It stays in force where it is: keep it there."
_NO_ACCESS: Final = (
    "an account keeps no access token. Until it has a password it can't log in: keep this mailer."
)
_PEM: Final = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.S)


@dataclass
class Import:
    """What becomes of one mailer. source: how the site calls it.

    left: what can't be carried over, by option, with the reason. removable: what the settings
    need not say any more. replacement: a line for the settings instead.
    """

    source: str
    options: MailerOptions
    slug: str
    scope: str
    alias: str | None = None
    values: dict[str, Any] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)
    removable: list[str] = field(default_factory=list)
    replacement: str = ""

    @property
    def entry(self) -> Entry:
        return Entry(self.slug, self.scope, self.values)


def imports(
    scope: str, database: str, *, using: str | None = None, every: bool = False, slug: str = ""
) -> list[Import]:
    """What the settings say of servers, as accounts; empty when they name none.

    using: the mailer under MAILERS, "default" without it; every: all of them that are ours.
    Raises ProvisioningError, and InvalidOption for settings that can't be read.
    """
    found = list(
        _under_mailers(scope, using, every) if mailers_configured() else _plain(scope, using)
    )
    if slug and len(found) > 1:
        raise ProvisioningError("--slug names one account, but there are several: use --using.")
    for one in found:
        one.slug = slug or one.slug
        _fill(one)
        _tell_the_settings(one)
        if one.alias is None:
            _propose_default(one, database)
    return found


def _plain(scope: str, using: str | None) -> Iterator[Import]:
    if using is not None:
        raise ProvisioningError(
            "--using names an entry of the setting MAILERS (Django 6.1), which this site does "
            "not have. Leave it out."
        )
    options = email_settings().over(default_options())
    if options.host and not options.account:
        yield Import("the settings", options, "default", scope)


def _under_mailers(scope: str, using: str | None, every: bool) -> Iterator[Import]:
    chosen = using or "default"
    if not every:
        if chosen not in settings.MAILERS:
            known = ", ".join(settings.MAILERS) or "none"
            raise ProvisioningError(
                f"There is no mailer {chosen!r} in MAILERS. Known are: {known}."
            )
        path = _backend(chosen)
        if not _is_ours(path):
            raise ProvisioningError(
                f"The mailer {chosen!r} does not use this package: its BACKEND is {path}. Set it "
                f'to "django_smtpauth.backends.EmailBackend" first: the options mean the same.'
            )
    for alias in settings.MAILERS if every else [chosen]:
        if not _is_ours(_backend(alias)):
            continue
        given = hidden(_options(alias))
        given.pop("fail_silently", None)
        options = backend_options(given, alias)
        if options.account:
            continue
        options = options.over(default_options())
        if options.host:
            slug = slugify(alias) or alias
            yield Import(f"the mailer {alias!r}", options, slug, scope, alias)


def _backend(alias: str) -> str:
    # Django's own default for an entry without BACKEND.
    default = "django.core.mail.backends.smtp.EmailBackend"
    return str(settings.MAILERS[alias].get("BACKEND", default))


def _options(alias: str) -> Mapping[str, Any]:
    entry: Any = settings.MAILERS[alias]
    options: Mapping[str, Any] = entry.get("OPTIONS", {})
    return options


def _is_ours(path: str) -> bool:
    try:
        backend = import_string(path)
    except ImportError:
        return False
    return isinstance(backend, type) and issubclass(backend, EmailBackend)


# From options to fields


def _fill(one: Import) -> None:
    options, values = one.options, one.values
    values.update(host=options.host, port=port_of(options))
    values["security"] = options.effective_security.value
    values.update(
        {name: getattr(options, name) for name in _SAME if getattr(options, name) is not None}
    )
    if options.auth_mechanisms:
        values["auth_mechanisms"] = ",".join(options.auth_mechanisms)
    if options.tls_pin:
        values["tls_pin"] = "\n".join(options.tls_pin)
    if _is_internal(str(options.host)):
        # The server that the settings name may be anywhere; that of an account may not.
        values["internal_host"] = True
    preset = _preset_of(str(options.host))
    if preset:
        values["preset"] = preset
    for step in (_timeout, _proxy, _reports, _authority, _certificate, _log_in):
        step(one)
    for name in ("deadline", "pipelining", "max_unanswered", "trust_store"):
        if getattr(options, name) is not None:
            one.left[name] = _NO_FIELD


def _preset_of(host: str) -> str:
    """The provider that has this server; empty if none is known."""
    for slug, _name in FIELDS["preset"].flatchoices:
        preset = presets.get(slug)
        if preset is not None:
            hosts = [preset.host, *(server.host for server in preset.alternatives)]
            if host.lower() in hosts:
                return str(slug)
    return ""


def _is_internal(host: str) -> bool:
    """Whether the host says by itself that it is inside: no name is looked up."""
    return not is_public(host) if is_address(host) else is_path(host) or says_internal(host)


def _timeout(one: Import) -> None:
    if one.options.timeout == "bulk":
        one.left["timeout"] = _NO_FIELD
    elif one.options.timeout is not None:
        one.values["timeout"] = one.options.timeout


def _proxy(one: Import) -> None:
    proxy = one.options.proxy
    if not proxy:
        return
    if proxy.username or proxy.password:
        one.left["proxy"] = (
            "an account keeps no user name and password of a proxy. Give it as "
            'SMTPAUTH["DEFAULTS"]["proxy"], which holds for accounts, too.'
        )
    else:
        one.values["proxy"] = str(proxy)


def _reports(one: Import) -> None:
    dsn = one.options.dsn
    if dsn is None:
        return
    if dsn.notify:
        one.values["dsn_notify"] = ",".join(dsn.notify)
    if dsn.ret:
        one.values["dsn_ret"] = dsn.ret
    if dsn.envid:
        one.left["dsn"] = "an account keeps no envid, which belongs to one message."


def _authority(one: Import) -> None:
    path = one.options.ca_file
    if path:
        certificates, _key, problem = _read_pem(path)
        if problem or not certificates:
            one.left["ca_file"] = problem or f"the file {path!r} holds no certificate."
        else:
            one.values["ca_text"] = certificates


def _certificate(one: Import) -> None:
    options = one.options
    if options.client_certificate:
        one.left["client_certificate"] = (
            "its key is in no file. Give both with `set`: client_certificate and "
            "--client-key-file."
        )
    if not options.ssl_certfile:
        return
    certificates, key, problem = _read_pem(options.ssl_certfile)
    if options.ssl_keyfile and not problem:
        _, key, problem = _read_pem(options.ssl_keyfile)
    problem = problem or _misfit(certificates, key)
    if problem:
        one.left["ssl_certfile"] = problem
        if options.ssl_keyfile:
            one.left["ssl_keyfile"] = "it goes with the certificate."
        return
    one.values.update(client_certificate=certificates, client_key=key)


def _misfit(certificates: str, key: FreshSecret | None) -> str:
    """Why certificate and key can't be used; empty if they can."""
    if key is None:
        return "there is no private key in the file, nor another file for it."
    try:
        ClientCertificate(certificates, key).check()
    except ValueError as error:
        return str(error)
    return ""


def _read_pem(path: str) -> tuple[str, FreshSecret | None, str]:
    """The certificates of a file, a key that is in it, and what is wrong.

    Raises nothing: a traceback must not have a frame with the key.
    """
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            text = file.read()
    except OSError as error:
        return "", None, f"the file {path!r} can't be read ({error.strerror})."
    blocks = {match.group(0): match.group(1) for match in _PEM.finditer(text)}
    keys = [block for block, kind in blocks.items() if kind.endswith("PRIVATE KEY")]
    certificates = [block for block, kind in blocks.items() if kind == "CERTIFICATE"]
    key = FreshSecret(normalise_lines(keys[0])) if keys else None
    return normalise_lines("\n".join(certificates)), key, ""


def _log_in(one: Import) -> None:
    options, values = one.options, one.values
    external = "EXTERNAL" in (options.auth_mechanisms or ()) and "client_key" in values
    if options.access_token:
        one.left.update(access_token=_NO_ACCESS)
    if options.username and options.password:
        _password(one, options.password)
    elif options.password:
        one.left["password"] = "without a user name it is not used."  # noqa: S105 - a reason
    with_name = "password" if options.username else "none"
    values["authentication"] = (
        "certificate" if external and "password" not in values else with_name
    )


def _password(one: Import, password: Password) -> None:
    if password.is_callable and password.kind is not SecretReference:
        one.left["password"] = (
            "it is asked for at each log-in, and an account seals what it has. For accounts "
            'SMTPAUTH["CREDENTIALS"] does it; or store one: '
            f"manage.py smtpaccounts set-password {one.slug}"
        )
        return
    try:
        secret, problem = secret_sources.from_text("password", password.reveal())
    except SMTPError as error:
        secret, problem = None, f"can't be had: {error.message}"
    if problem:
        raise ProvisioningError(f"The password of {one.source} {problem}")
    one.values["password"] = secret


# What the settings say afterwards


def _tell_the_settings(one: Import) -> None:
    if one.alias is not None:
        kept = [name for name in one.left if name in _options(one.alias)]
        keep = f"  # and keep here: {', '.join(kept)}" if kept else ""
        one.replacement = f'MAILERS["{one.alias}"]["OPTIONS"] = {{"account": "{one.slug}"}}{keep}'
        return
    carried = [name for name in OPTIONS if name not in one.left]
    one.removable += [
        EMAIL_SETTINGS[name]
        for name in carried
        if name in EMAIL_SETTINGS and is_explicit(EMAIL_SETTINGS[name])
    ]
    one.removable += [
        f'SMTPAUTH["DEFAULTS"]["{name}"]'
        for name in carried
        if name in SERVER_OPTIONS and name in smtpauth_settings.DEFAULTS
    ]


def _propose_default(one: Import, database: str) -> None:
    """Mail that went to the settings' server goes on to the account, if none is before it."""
    if one.left.keys() & {"password", "access_token"}:
        one.left["is_default"] = "it can't log in yet. Set is_default=true when it can."
        return
    holder = SMTPAccount.objects.using(database).default(one.scope)
    if holder is None or holder.slug == one.slug:
        one.values["is_default"] = True
    else:
        one.left["is_default"] = f"{holder.slug!r} is the default account already, and stays it."
