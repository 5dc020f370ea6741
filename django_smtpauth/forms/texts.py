"""What stands beside the inputs of an account."""

from django.utils.translation import gettext_lazy as _

LABELS = {
    "preset": _("Provider"),
    "from_email": _("E-mail address"),
}

#: What the list of providers begins with.
NO_PRESET = _("Found by the address, or none of these")

#: What stands at the password of an account that is not stored yet.
NEW_PASSWORD = _(
    "Many providers want an “app password” made for sending. It is stored encrypted and never "
    "shown again."
)

HELP_TEXTS = {
    "preset": _("Whose mailbox or service it is. The address often tells."),
    "from_email": _("The address this account sends from: billing@example.com."),
    "password": _(
        "Empty keeps what is stored; it is never shown. Many providers want an “app password” "
        "made for sending."
    ),
    "label": _("How people call this account, for example “Invoices”. Empty: by its address."),
    "slug": _(
        "How code and commands call this account, for example “billing”. Empty: made from the "
        "label or the address."
    ),
    "scope": _("The tenant this account belongs to. Empty on a site without tenants."),
    "notes": _("For the people who keep this account. Nobody else sees them."),
    "enabled": _("An account that is not enabled sends nothing."),
    "host": _(
        "For example smtp.example.com, an IP address, or the path of a Unix socket. Empty: the "
        "provider's server."
    ),
    "port": _(
        "587 with STARTTLS, 465 with implicit TLS, often 24 for LMTP, unless your provider "
        "differs. A Unix socket has none: this is ignored then."
    ),
    "security": _(
        "What Django's settings call EMAIL_USE_TLS is STARTTLS here, EMAIL_USE_SSL is implicit "
        "TLS."
    ),
    "verify": _(
        "Without it, whoever sits between this site and the server can read the password and the "
        "mail."
    ),
    "ca_text": _(
        "PEM text of the authority that signed the server's certificate. Empty: the authorities "
        "that this computer trusts."
    ),
    "tls_pin": _(
        "Public keys that the server must show, one “sha256//…” a line. Empty: the certificate "
        "alone decides."
    ),
    "tls_minimum": _("An older server is refused."),
    "allow_auth_without_tls": _(
        "Only for a server on a network that you trust, such as a mail catcher: the password "
        "travels in clear."
    ),
    "internal_host": _(
        "The server stands on this machine or in a private network, where accounts may not go "
        "otherwise."
    ),
    "proxy": _("For example socks5://proxy.example.com:1080. Empty: as the settings say."),
    "source_address": _("The IP address of this machine that mail leaves from. Usually empty."),
    "ehlo_name": _("How this machine calls itself: www.example.com. Usually empty."),
    "timeout": _("Seconds to wait for the server. Empty: sensible values for each step."),
    "authentication": _("Most servers want a user name and a password."),
    "username": _("Often the whole e-mail address. Empty: what the provider wants."),
    "auth_mechanisms": _(
        "Names such as SCRAM-SHA-256 with commas in between, the best first. Empty: the safest "
        "one that the server offers."
    ),
    "client_certificate": _(
        "PEM text, from “-----BEGIN CERTIFICATE-----” on, with the intermediate ones behind it."
    ),
    "client_key": _(
        "PEM text of its private key, without a passphrase. Empty keeps what is stored; it is "
        "never shown."
    ),
    "from_name": _("The name beside the address, where a message gives none."),
    "may_send_as": _("Further addresses and whole domains, one a line."),
    "foreign_from": _("What becomes of a message from an address that this account does not own."),
    "protocol": _(
        "LMTP is for the program that puts mail into mailboxes, such as Dovecot. It delivers to "
        "its own mailboxes only, never to the rest of the world."
    ),
    "recipients": _(
        "What becomes of a message to several people if the server refuses one of them."
    ),
    "require_tls": _(
        "“Yes”: the message travels encrypted to its destination, or is not delivered "
        "(REQUIRETLS). Few servers can promise it; through the others nothing is sent."
    ),
    "dsn_ret": _("How much of the message comes back with a report of failure."),
    "bdat": _(
        "A faster way to hand over content, used where the server offers it (CHUNKING). If in "
        "doubt, leave it as it is."
    ),
}
