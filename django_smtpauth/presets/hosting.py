"""Web hosting companies whose customers have mailboxes under domains of their own."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from .preset import FIRST_CHECK, Credential, Kind, Limits, Preset, Server, implicit_tls, starttls

_ISPDB = "https://github.com/thunderbird/autoconfig/blob/master/ispdb/"
_OVH_GUIDES = (
    "https://github.com/ovh/docs/tree/53c754ea8f3714b8b5cd71eb8a88547245c0938f/pages/web_cloud/"
    "email_and_collaborative_solutions"
)
_MAILBOX_PASSWORD = _("The password of the mailbox works.")


def _password(url: str) -> Credential:
    return Credential(
        title=_("The password of the mailbox"),
        steps=(
            _("Create a mailbox in the control panel; one that only sends is best."),
            _("Enter its password, which is not the one of the control panel."),
        ),
        url=url,
    )


def _ionos(top: str, where: str, help_url: str, *mx_suffixes: str) -> Preset:
    host = f"smtp.ionos.{top}"
    return Preset(
        slug=f"ionos-{top}".replace(".", "-"),
        name=f"IONOS, {where}",
        kind=Kind.HOSTING,
        server=implicit_tls(host),
        alternatives=(starttls(host),),
        mx_suffixes=(f"ionos.{top}", *mx_suffixes),
        credential=_password(help_url),
        authentication=(_MAILBOX_PASSWORD,),
        source=f"{_ISPDB}ionos.{top}",
        checked=FIRST_CHECK,
    )


def _ovh(slug: str, where: str, top: str, *alternatives: Server) -> Preset:
    return Preset(
        slug=slug,
        name=f"OVHcloud, {where}",
        kind=Kind.HOSTING,
        server=implicit_tls(f"smtp.mail.ovh.{top}"),
        alternatives=alternatives,
        mx_suffixes=(f"mail.ovh.{top}",),
        credential=_password("https://help.ovhcloud.com/"),
        authentication=(_MAILBOX_PASSWORD,),
        source=_OVH_GUIDES,
        checked=FIRST_CHECK,
    )


HOSTING = (
    Preset(
        slug="hetzner",
        name="Hetzner",
        kind=Kind.HOSTING,
        server=implicit_tls("mail.your-server.de"),
        alternatives=(starttls("mail.your-server.de"),),
        mx_suffixes=("your-server.de",),
        credential=_password("https://wiki.hetzner.de/index.php/KonsoleH:E-Mailverwaltung/en"),
        authentication=(_MAILBOX_PASSWORD,),
        source=f"{_ISPDB}hetzner.de.xml",
        checked=FIRST_CHECK,
    ),
    Preset(
        slug="infomaniak",
        name="Infomaniak",
        kind=Kind.HOSTING,
        server=implicit_tls("mail.infomaniak.com"),
        alternatives=(starttls("mail.infomaniak.com"),),
        domains=("ik.me", "ikmail.com", "etik.com"),
        mx_suffixes=("infomaniak.ch",),
        credential=Credential(
            title=_("An application password of the mailbox"),
            steps=(
                _("Open the mailbox in the Infomaniak Manager and add a device."),
                _("Copy the password that it shows here."),
            ),
            url="https://manager.infomaniak.com/",
        ),
        limits=Limits(recipients=100),
        authentication=(_("The password that was made for a device works."),),
        source="https://infomaniak.com/en/support/faq/admin2/email-service?i=8",
        checked=FIRST_CHECK,
    ),
    _ionos("com", "United States", "https://www.ionos.com/help/index.php?id=2490", "perfora.net"),
    _ionos(
        "co.uk",
        "United Kingdom",
        "https://www.ionos.co.uk/help/index.php?id=2490",
        "1and1.co.uk",
        "oneandone.co.uk",
    ),
    _ionos(
        "de",
        "Germany",
        "https://www.ionos.de/hilfe/index.php?id=2490",
        "kundenserver.de",
        "schlund.de",
    ),
    _ionos(
        "es",
        "Spain",
        "https://www.ionos.es/ayuda/index.php?id=2490",
        "1and1.es",
        "clienteservidor.es",
    ),
    _ionos(
        "fr",
        "France",
        "https://www.ionos.fr/assistance/index.php?id=2490",
        "1and1.fr",
        "unetun.com",
    ),
    _ovh("ovh-eu", "Europe", "net", implicit_tls("ssl0.ovh.net")),
    _ovh("ovh-ca", "America and Asia", "ca"),
)
