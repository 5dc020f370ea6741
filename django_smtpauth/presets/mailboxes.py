"""Providers of mailboxes: an account is somebody's address, and sends as that address."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from .preset import (
    FIRST_CHECK,
    Credential,
    Kind,
    Limits,
    Preset,
    Username,
    UsernameForm,
    implicit_tls,
    starttls,
)

_ISPDB = "https://github.com/thunderbird/autoconfig/blob/master/ispdb/"

_GOOGLE_PASSWORD = Credential(
    title=_("An app password of the Google account"),
    steps=(
        _("Turn on 2-Step Verification for the Google account."),
        _("Open the page for app passwords and create one; its name is yours to choose."),
        _("Copy the 16 characters here. Google shows them once."),
    ),
    url="https://myaccount.google.com/apppasswords",
)
_GOOGLE_AUTHENTICATION = (
    _("An app password works, and so does OAuth 2.0."),
    _("The account's own password ended on 2022-05-30 (Gmail) and 2025-05-01 (Workspace)."),
)
_GOOGLE_SOURCE = "https://developer.nylas.com/docs/cookbook/email/gmail-smtp-settings/"

_APP_PASSWORD = _("An app password")
_APP_PASSWORD_ONLY = _("An app password works; the password of the account does not.")
_ACCOUNT_PASSWORD = _("The password of the mailbox")
_ACCOUNT_PASSWORD_WORKS = _("The password of the mailbox works.")

GOOGLE = (
    Preset(
        slug="gmail",
        name="Gmail",
        kind=Kind.MAILBOX,
        server=starttls("smtp.gmail.com"),
        alternatives=(implicit_tls("smtp.gmail.com"),),
        domains=("gmail.com", "googlemail.com"),
        credential=_GOOGLE_PASSWORD,
        limits=Limits(recipients=100, messages_per_day=500),
        authentication=_GOOGLE_AUTHENTICATION,
        spf_include="_spf.google.com",
        source=_GOOGLE_SOURCE,
        checked=FIRST_CHECK,
    ),
    Preset(
        slug="google-workspace",
        name="Google Workspace",
        kind=Kind.MAILBOX,
        server=starttls("smtp.gmail.com"),
        alternatives=(implicit_tls("smtp.gmail.com"),),
        mx_suffixes=("google.com", "googlemail.com"),
        credential=_GOOGLE_PASSWORD,
        limits=Limits(recipients=100, messages_per_day=2_000),
        authentication=_GOOGLE_AUTHENTICATION,
        spf_include="_spf.google.com",
        source=_GOOGLE_SOURCE,
        checked=FIRST_CHECK,
    ),
)

MICROSOFT = (
    Preset(
        slug="microsoft-365",
        name="Microsoft 365",
        kind=Kind.MAILBOX,
        server=starttls("smtp.office365.com"),
        mx_suffixes=("mail.protection.outlook.com", "mx.microsoft"),
        credential=Credential(
            title=_("A mailbox for which SMTP AUTH is on"),
            steps=(
                _("Let an administrator turn on “Authenticated SMTP” for the mailbox."),
                _("Check that the tenant allows it: security defaults turn it off."),
                _("Enter the password of that mailbox."),
            ),
            url="https://learn.microsoft.com/en-us/exchange/clients-and-mobile-in-exchange-online/authenticated-client-smtp-submission",
        ),
        limits=Limits(recipients=500, connections=3),
        authentication=(
            _("OAuth 2.0 works. A password works where the tenant still allows it."),
            _("At the end of December 2026 passwords are turned off for existing tenants."),
            _("An administrator can turn them on again; new tenants do not have them."),
            _("When they end for good is to be announced in the second half of 2027."),
        ),
        passwords_end=True,
        spf_include="spf.protection.outlook.com",
        source="https://techcommunity.microsoft.com/blog/exchange/updated-exchange-online-smtp-auth-basic-authentication-deprecation-timeline/4489835",
        checked=FIRST_CHECK,
    ),
    Preset(
        slug="outlook-com",
        name="Outlook.com (Hotmail, Live)",
        kind=Kind.MAILBOX,
        server=starttls("smtp-mail.outlook.com"),
        domains=(
            "outlook.com",
            "hotmail.com",
            "live.com",
            "msn.com",
            "windowslive.com",
            "outlook.at",
            "outlook.be",
            "outlook.com.au",
            "outlook.com.br",
            "outlook.de",
            "outlook.dk",
            "outlook.es",
            "outlook.fr",
            "outlook.ie",
            "outlook.it",
            "outlook.jp",
            "outlook.pt",
            "hotmail.be",
            "hotmail.ca",
            "hotmail.co.jp",
            "hotmail.co.uk",
            "hotmail.com.br",
            "hotmail.de",
            "hotmail.es",
            "hotmail.fr",
            "hotmail.it",
            "hotmail.nl",
            "hotmail.se",
            "live.at",
            "live.be",
            "live.ca",
            "live.cn",
            "live.co.uk",
            "live.com.au",
            "live.de",
            "live.dk",
            "live.fr",
            "live.ie",
            "live.it",
            "live.jp",
            "live.nl",
            "live.se",
        ),
        mx_suffixes=("olc.protection.outlook.com",),
        credential=Credential(
            title=_("An access token (OAuth 2.0)"),
            steps=(
                _("Turn on POP or IMAP in the settings of Outlook.com: that allows SMTP, too."),
                _("Let the account grant access to your application; a password is not enough."),
            ),
            url="https://support.microsoft.com/en-us/office/pop-imap-and-smtp-settings-8361e398-8af4-4e97-b147-6c6c4ac95353",
        ),
        authentication=(_("OAuth 2.0 works. Passwords are being withdrawn by Microsoft."),),
        passwords_end=True,
        source="https://support.microsoft.com/en-us/office/pop-imap-and-smtp-settings-8361e398-8af4-4e97-b147-6c6c4ac95353",
        checked=FIRST_CHECK,
    ),
)

OTHERS = (
    Preset(
        slug="aol",
        name="AOL Mail",
        kind=Kind.MAILBOX,
        server=implicit_tls("smtp.aol.com"),
        domains=(
            "aol.com",
            "aim.com",
            "aol.co.uk",
            "aol.com.au",
            "aol.com.br",
            "aol.com.mx",
            "aol.de",
            "aol.es",
            "aol.fr",
            "aol.it",
            "compuserve.com",
            "cs.com",
            "netscape.com",
            "netscape.net",
        ),
        mx_suffixes=("mx-aol.mail.gm0.yahoodns.net",),
        credential=Credential(
            title=_APP_PASSWORD,
            steps=(
                _("Sign in and open “Account security”."),
                _("Choose “Generate app password”, name it, and copy it here."),
            ),
            url="https://login.aol.com/account/security",
        ),
        authentication=(_APP_PASSWORD_ONLY,),
        source="https://help.aol.com/articles/Create-and-manage-app-password",
        checked=FIRST_CHECK,
    ),
    Preset(
        slug="fastmail",
        name="Fastmail",
        kind=Kind.MAILBOX,
        server=implicit_tls("smtp.fastmail.com"),
        domains=(
            "fastmail.com",
            "fastmail.co.uk",
            "fastmail.com.au",
            "fastmail.de",
            "fastmail.es",
            "fastmail.fm",
            "fastmail.fr",
            "fastmail.in",
            "fastmail.jp",
            "fastmail.net",
            "fastmail.nl",
            "fastmail.org",
            "fastmail.se",
            "fastmail.to",
            "fastmail.uk",
            "fastmail.us",
            "eml.cc",
            "fea.st",
            "ftml.net",
            "mailcan.com",
            "myfastmail.com",
            "ownmail.net",
            "sent.com",
            "warpmail.net",
        ),
        mx_suffixes=("messagingengine.com",),
        credential=Credential(
            title=_APP_PASSWORD,
            steps=(
                _("Open Settings, then Privacy & Security, and manage app passwords."),
                _("Create one that may send mail, and copy it here."),
            ),
            url="https://www.fastmail.com/help/technical/servernamesandports.html",
        ),
        authentication=(_APP_PASSWORD_ONLY,),
        source="https://www.fastmail.com/help/technical/servernamesandports.html",
        checked=FIRST_CHECK,
    ),
    Preset(
        slug="icloud",
        name="iCloud Mail",
        kind=Kind.MAILBOX,
        server=starttls("smtp.mail.me.com"),
        domains=("icloud.com", "me.com", "mac.com"),
        mx_suffixes=("mail.icloud.com",),
        credential=Credential(
            title=_("An app-specific password of the Apple Account"),
            steps=(
                _("Turn on two-factor authentication for the Apple Account."),
                _("Open “Sign-In and Security” and create an app-specific password."),
                _("Copy it here."),
            ),
            url="https://appleid.apple.com/",
        ),
        limits=Limits(recipients=500, messages_per_day=1_000, octets=20_000_000),
        authentication=(_APP_PASSWORD_ONLY,),
        source="https://support.apple.com/en-ca/102198",
        checked=FIRST_CHECK,
    ),
    Preset(
        slug="mailbox-org",
        name="mailbox.org",
        kind=Kind.MAILBOX,
        server=implicit_tls("smtp.mailbox.org"),
        alternatives=(starttls("smtp.mailbox.org"),),
        domains=("mailbox.org",),
        mx_suffixes=("mailbox.org",),
        credential=Credential(
            title=_ACCOUNT_PASSWORD,
            steps=(
                _("Enter the password of the mailbox."),
                _("With two-factor authentication, create an application password for this site."),
            ),
            url="https://kb.mailbox.org/de/privat/e-mail/e-mail-konfiguration/",
        ),
        authentication=(_ACCOUNT_PASSWORD_WORKS,),
        source=f"{_ISPDB}mailbox.org.xml",
        checked=FIRST_CHECK,
    ),
    Preset(
        slug="posteo",
        name="Posteo",
        kind=Kind.MAILBOX,
        server=implicit_tls("posteo.de"),
        alternatives=(starttls("posteo.de"),),
        domains=(
            "posteo.de",
            "posteo.at",
            "posteo.be",
            "posteo.ch",
            "posteo.co.uk",
            "posteo.com",
            "posteo.es",
            "posteo.eu",
            "posteo.it",
            "posteo.net",
            "posteo.nl",
            "posteo.org",
            "posteo.pl",
            "posteo.us",
        ),
        credential=Credential(
            title=_APP_PASSWORD,
            steps=(_("Create an app password in the settings of the mailbox, and copy it here."),),
            url="https://posteo.de/en/help/app-passwords",
        ),
        authentication=(_APP_PASSWORD_ONLY,),
        source="https://github.com/chatmail/provider-db/blob/master/_providers/posteo.md",
        checked=FIRST_CHECK,
    ),
    Preset(
        slug="proton-bridge",
        name="Proton Mail Bridge",
        kind=Kind.MAILBOX,
        server=starttls("127.0.0.1", 1025),
        domains=("proton.me", "protonmail.com", "protonmail.ch", "pm.me"),
        mx_suffixes=("protonmail.ch",),
        internal=True,
        credential=Credential(
            title=_("The password that Bridge shows"),
            steps=(
                _("Install Proton Mail Bridge on the machine of this site; it needs a paid plan."),
                _("Sign in there and open the mailbox details: Bridge has a password of its own."),
                _("Compare the port. Bridge takes another one if 1025 is in use."),
                _("Export Bridge's certificate and paste it as own certificate authority."),
            ),
            url="https://proton.me/mail/bridge",
        ),
        authentication=(_("The password of Bridge works; the one of the account does not."),),
        source="https://xenocept.com/docs/email-setup/proton.html",
        checked=FIRST_CHECK,
    ),
    Preset(
        slug="yahoo",
        name="Yahoo Mail",
        kind=Kind.MAILBOX,
        server=implicit_tls("smtp.mail.yahoo.com"),
        alternatives=(starttls("smtp.mail.yahoo.com"),),
        domains=(
            "yahoo.com",
            "myyahoo.com",
            "rocketmail.com",
            "yahoo.co.in",
            "yahoo.co.nz",
            "yahoo.co.uk",
            "yahoo.com.ar",
            "yahoo.com.au",
            "yahoo.com.br",
            "yahoo.com.mx",
            "yahoo.de",
            "yahoo.es",
            "yahoo.fr",
            "yahoo.it",
            "yahoo.se",
            "ymail.com",
        ),
        mx_suffixes=("yahoodns.net",),
        credential=Credential(
            title=_APP_PASSWORD,
            steps=(
                _("Sign in and open “Account security”."),
                _("Choose “Generate app password”, name it, and copy it here."),
            ),
            url="https://login.yahoo.com/account/security",
        ),
        authentication=(_APP_PASSWORD_ONLY,),
        source=f"{_ISPDB}yahoo.com.xml",
        checked=FIRST_CHECK,
    ),
    Preset(
        slug="yandex",
        name="Yandex Mail",
        kind=Kind.MAILBOX,
        server=implicit_tls("smtp.yandex.com"),
        domains=(
            "yandex.com",
            "yandex.ru",
            "yandex.by",
            "yandex.kz",
            "yandex.ua",
            "ya.ru",
            "narod.ru",
        ),
        mx_suffixes=("yandex.net", "yandex.ru"),
        credential=Credential(
            title=_APP_PASSWORD,
            steps=(
                _("Allow mail programs in the settings of the mailbox."),
                _("Create an app password for mail in the account, and copy it here."),
            ),
            url="https://yandex.com/support/mail/mail-clients/others.html",
        ),
        limits=Limits(recipients=35, messages_per_day=500),
        authentication=(_APP_PASSWORD_ONLY,),
        source="https://yandex.com/support/mail/web/letter/create/send-many-letters.html",
        checked=FIRST_CHECK,
    ),
)

_ALLOW_PROGRAMS = _("Allow access by POP3 and IMAP in the settings: that allows SMTP, too.")
_ENTER_PASSWORD = _("Enter the password of the mailbox.")

UNITED_INTERNET = (
    Preset(
        slug="gmx-net",
        name="GMX (gmx.net, gmx.de, gmx.at, gmx.ch)",
        kind=Kind.MAILBOX,
        server=implicit_tls("mail.gmx.net"),
        alternatives=(starttls("mail.gmx.net"),),
        domains=(
            "gmx.net",
            "gmx.de",
            "gmx.at",
            "gmx.ch",
            "gmx.eu",
            "gmx.biz",
            "gmx.org",
            "gmx.info",
        ),
        mx_suffixes=("gmx.net",),
        credential=Credential(
            title=_ACCOUNT_PASSWORD,
            steps=(_ALLOW_PROGRAMS, _ENTER_PASSWORD),
            url="https://hilfe.gmx.net/pop-imap/einschalten.html",
        ),
        authentication=(_ACCOUNT_PASSWORD_WORKS,),
        source=f"{_ISPDB}gmx.net.xml",
        checked=FIRST_CHECK,
    ),
    Preset(
        slug="gmx-com",
        name="GMX (gmx.com, gmx.co.uk, gmx.us)",
        kind=Kind.MAILBOX,
        server=implicit_tls("mail.gmx.com"),
        alternatives=(starttls("mail.gmx.com"),),
        domains=(
            "gmx.com",
            "gmx.ca",
            "gmx.co.uk",
            "gmx.com.br",
            "gmx.es",
            "gmx.fr",
            "gmx.ie",
            "gmx.it",
            "gmx.li",
            "gmx.pt",
            "gmx.se",
            "gmx.us",
        ),
        credential=Credential(
            title=_ACCOUNT_PASSWORD,
            steps=(_ALLOW_PROGRAMS, _ENTER_PASSWORD),
            url="https://support.gmx.com/pop-imap/toggle.html",
        ),
        authentication=(_ACCOUNT_PASSWORD_WORKS,),
        source=f"{_ISPDB}gmx.com.xml",
        checked=FIRST_CHECK,
    ),
    Preset(
        slug="web-de",
        name="WEB.DE",
        kind=Kind.MAILBOX,
        server=implicit_tls("smtp.web.de"),
        alternatives=(starttls("smtp.web.de"),),
        username=Username(UsernameForm.LOCAL_PART),
        domains=("web.de",),
        credential=Credential(
            title=_ACCOUNT_PASSWORD,
            steps=(_ALLOW_PROGRAMS, _ENTER_PASSWORD),
            url="https://hilfe.web.de/pop-imap/einschalten.html",
        ),
        authentication=(_ACCOUNT_PASSWORD_WORKS,),
        source=f"{_ISPDB}web.de.xml",
        checked=FIRST_CHECK,
    ),
)


def _zoho(region: str, where: str, *, personal: tuple[str, ...] = ()) -> tuple[Preset, ...]:
    """Zoho Mail in one of its regions; for organisations, and for persons with their domains."""
    credential = Credential(
        title=_("The password of the mailbox, or an app password"),
        steps=(
            _("Use the region in which the account was made; the others do not know it."),
            _("With two-factor authentication, create an application-specific password."),
        ),
        url="https://www.zoho.com/mail/help/zoho-smtp.html",
    )
    both = [("smtppro", f"zoho-{region}", f"Zoho Mail for organisations, {where}")]
    if personal:
        both.append(("smtp", f"zoho-personal-{region}", f"Zoho Mail for persons, {where}"))
    return tuple(
        Preset(
            slug=slug.replace(".", "-"),
            name=name,
            kind=Kind.MAILBOX,
            server=implicit_tls(f"{server}.zoho.{region}"),
            alternatives=(starttls(f"{server}.zoho.{region}"),),
            domains=personal if server == "smtp" else (),
            mx_suffixes=() if server == "smtp" else (f"zoho.{region}",),
            credential=credential,
            authentication=(
                _("The password works; with two-factor authentication only an app password."),
            ),
            source="https://postigo.net/smtp/zoho",
            checked=FIRST_CHECK,
        )
        for server, slug, name in both
    )


ZOHO = (
    *_zoho("com", "United States", personal=("zoho.com", "zohomail.com")),
    *_zoho("eu", "Europe", personal=("zoho.eu", "zohomail.eu")),
    *_zoho("in", "India", personal=("zoho.in", "zohomail.in")),
    *_zoho("com.au", "Australia"),
    *_zoho("jp", "Japan"),
)

MAILBOXES = (*GOOGLE, *MICROSOFT, *OTHERS, *UNITED_INTERNET, *ZOHO)
