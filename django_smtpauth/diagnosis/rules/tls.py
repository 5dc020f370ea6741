"""Failures of TLS: the wrong mode for a port, certificates, versions."""

from __future__ import annotations

from typing import Final

from django.utils.translation import gettext_lazy as _

from ...certificates import EXPIRED, NOT_YET_VALID, OTHER_NAME, SELF_SIGNED
from .rule import Rule, Source, engine, exim, page, postfix, python, words

_TLS = ("TLS", "GREETING")


def _verify(why: str, code: int) -> Source:
    wording = f"the certificate of smtp.example.com does not verify: {why}"
    return engine(wording, "TLS", "tls", reason="certificate", verify_code=code)


TLS: Final = (
    Rule(
        "tls.plain-port",
        _("The port does not begin with TLS"),
        _("On {server} the server speaks first, in clear, and changes to TLS when asked to."),
        (
            _('Set {place} to STARTTLS: security "starttls".'),
            _("Or use port 465, which goes with implicit TLS, in {place[port]}."),
        ),
        stages=_TLS,
        kinds=("tls",),
        pattern=words(r"wrong version number|WRONG_VERSION_NUMBER"),
        field="security",
        sources=(
            engine(
                "the TLS handshake failed: wrong version number",
                "TLS",
                "tls",
                reason="handshake",
                security="implicit_tls",
                port=587,
            ),
            python("ssl.SSLError: [SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1020)"),
        ),
    ),
    Rule(
        "tls.starttls-missing",
        _("The server does not offer STARTTLS"),
        _("So the connection can't become encrypted on this port, and nothing was sent."),
        (
            _(
                "Set {place} to implicit TLS and {place[port]} to 465, if the server has "
                "that port."
            ),
            _(
                "Check {place[host]}: something in between may hide STARTTLS, as some "
                "firewalls do."
            ),
            _('Choose "none" only for a server inside a network that you trust.'),
        ),
        stages=("TLS", "EHLO"),
        reasons=("starttls-missing",),
        field="security",
        sources=(
            engine(
                "the server does not offer STARTTLS",
                "TLS",
                "not-supported",
                reason="starttls-missing",
            ),
            python("smtplib.SMTPNotSupportedError: STARTTLS extension not supported by server."),
        ),
    ),
    Rule(
        "tls.starttls-refused",
        _("The server does not begin TLS"),
        _("It answers STARTTLS with a refusal: its own certificate or key may be broken."),
        (
            _("Tell whoever runs the server."),
            _("Use implicit TLS (port 465) in {place}, if the server has that port."),
        ),
        stages=("TLS",),
        codes=(454, 500, 501, 502, 503, 554),
        pattern=words(r"TLS not available|STARTTLS|command not implemented"),
        field="security",
        sources=(
            page(
                "454 TLS not available due to temporary reason",
                "https://www.rfc-editor.org/rfc/rfc3207#section-4",
                "TLS",
            ),
            exim("503 STARTTLS command used when not advertised", "TLS"),
            postfix("502 5.5.1 Error: command not implemented", "TLS"),
            postfix("454 4.7.0 TLS not available due to local problem", "TLS"),
        ),
    ),
    Rule(
        "tls.needed",
        _("The server wants TLS first"),
        _("Without encryption it takes neither a log-in nor mail."),
        (
            _('Set {place} to STARTTLS: use security "starttls" with port 587.'),
            _("Or set it to implicit TLS with port 465 in {place[port]}."),
        ),
        codes=(530, 538, 523, 554, 550),
        pattern=words(
            r"issue a STARTTLS command first|without SSL/TLS encryption is not allowed"
            r"|Encryption required for requested authentication"
        ),
        field="security",
        sources=(
            postfix("530 5.7.0 Must issue a STARTTLS command first", "MAIL"),
            page(
                "530 Must issue a STARTTLS command first",
                "https://pastebin.com/t22G4F69",
                "AUTH",
                host="email-smtp.us-east-1.amazonaws.com",
            ),
            page(
                "530 5.7.7 Email sending without SSL/TLS encryption is not allowed. Please see: "
                "http://help.yandex.ru/mail/mail-clients/ssl.xml",
                "https://github.com/PHPMailer/PHPMailer/issues/283",
                "AUTH",
            ),
            page(
                "538 Encryption required for requested authentication mechanism.",
                "http://www.smtprelay.net/smtp-error-codes.html",
                "AUTH",
            ),
        ),
    ),
    Rule(
        "tls.certificate-expired",
        _("The certificate of the server has expired"),
        _("It ended on {ended}, or one of its authorities did."),
        (
            _("Tell whoever runs {host}, who has to renew its certificate."),
            _("If it is fine, look at the clock of this machine."),
            _("Check {place}: another name may lead to a server that is kept up."),
        ),
        reasons=("certificate",),
        verify_codes=tuple(EXPIRED),
        field="host",
        sources=(
            _verify("certificate has expired", 10),
            python(
                "ssl.SSLCertVerificationError: [SSL: CERTIFICATE_VERIFY_FAILED] "
                "certificate verify "
                "failed: certificate has expired (_ssl.c:1020)"
            ),
        ),
    ),
    Rule(
        "tls.clock",
        _("The certificate of the server is not valid yet"),
        _("It was made for a later day: more often than not the clock of this machine is wrong."),
        (
            _("Set the clock of this machine, and let it follow a time server."),
            _("If it is right, whoever runs {host} has to renew its certificate."),
        ),
        reasons=("certificate",),
        verify_codes=tuple(NOT_YET_VALID),
        sources=(_verify("certificate is not yet valid", 9),),
    ),
    Rule(
        "tls.other-name",
        _("The certificate is for another name"),
        _("The server shows a certificate for {names}, and the site asked for {host}."),
        (
            _(
                "If this is the server that you mean, put one of its certificate's names "
                "into {place}."
            ),
            _("Otherwise find out who answers at {host}: it may be somebody in between."),
        ),
        reasons=("certificate",),
        verify_codes=tuple(OTHER_NAME),
        field="host",
        sources=(
            _verify("Hostname mismatch, certificate is not valid for 'smtp.example.com'.", 62),
            python(
                "ssl.SSLCertVerificationError: [SSL: CERTIFICATE_VERIFY_FAILED] "
                "certificate verify "
                "failed: Hostname mismatch, certificate is not valid for 'localhost'. "
                "(_ssl.c:1020)"
            ),
        ),
    ),
    Rule(
        "tls.self-signed",
        _("The server made its certificate itself"),
        _("Nobody vouches for it, so it could be anybody's."),
        (
            _("Give that certificate as PEM in {place}, if the server is your own."),
            _("Or pin its key in {place[tls_pin]}."),
            _("Better let the server have a certificate of a public authority."),
        ),
        reasons=("certificate",),
        verify_codes=tuple(SELF_SIGNED),
        field="ca_text",
        sources=(_verify("self-signed certificate", 18),),
    ),
    Rule(
        "tls.unknown-authority",
        _("The certificate comes from an authority that is not trusted here"),
        _(
            "A company's own authority, a virus scanner or a proxy in between that opens "
            "TLS, or a "
            "machine without certificates of authorities."
        ),
        (
            _("Give the authority's certificate as PEM in {place}, if it is your own."),
            _(
                "If the operating system knows the authority, let the option trust_store 'os' ask "
                "it."
            ),
            _("Install the authorities (the package ca-certificates) if every server fails so."),
        ),
        reasons=("certificate",),
        verify_codes=(19,),
        field="ca_text",
        sources=(_verify("self-signed certificate in certificate chain", 19),),
    ),
    Rule(
        "tls.incomplete-chain",
        _("The certificate does not lead to an authority that is known here"),
        _(
            "The server leaves out an intermediate certificate, or its authority is not "
            "trusted on "
            "this machine."
        ),
        (
            _("Tell whoever runs {host}, who has to send the intermediate certificates, too."),
            _("Until then give the missing certificate as PEM in {place}."),
            _(
                "If the operating system knows the authority, let the option trust_store 'os' ask "
                "it."
            ),
        ),
        reasons=("certificate",),
        field="ca_text",
        sources=(_verify("unable to get local issuer certificate", 20),),
    ),
    Rule(
        "tls.pin",
        _("The server has another key than the pinned one"),
        _("Either its key was replaced, or somebody stands between this machine and the server."),
        (
            _("Ask whoever runs the server whether its key was replaced."),
            _("Only if it was, add the new pin to the option tls_pin, here {place}."),
        ),
        reasons=("pin",),
        field="tls_pin",
        sources=(
            engine(
                "the public key of smtp.example.com is not the pinned one",
                "TLS",
                "tls",
                reason="pin",
            ),
        ),
    ),
    Rule(
        "tls.too-old",
        _("The server speaks only a TLS that is too old"),
        _("Versions before 1.2 are broken (RFC 8996), and this machine refuses them."),
        (
            _("Tell whoever runs {host}, who has to update it."),
            _("Check {place[host]}: providers have newer servers under another name."),
            _("Lower {place} only if nothing else is possible and the network is trusted."),
        ),
        stages=_TLS,
        pattern=words(r"protocol[ _]version|unsupported[ _]protocol|version too low"),
        field="tls_minimum",
        sources=(
            engine(
                "the TLS handshake failed: tlsv1 alert protocol version",
                "TLS",
                "tls",
                reason="handshake",
            ),
            engine(
                "the TLS handshake failed: unsupported protocol", "TLS", "tls", reason="handshake"
            ),
        ),
    ),
    Rule(
        "tls.no-common-ground",
        _("The server ends the TLS handshake"),
        _("It offers ciphers that this machine refuses, or it wants a client certificate."),
        (
            _("Ask whoever runs {host} which TLS it speaks, and whether it wants a certificate."),
            _("If it wants one, enter it in {place}."),
            _("Check that OpenSSL on this machine is not restricted further than its default."),
        ),
        stages=_TLS,
        kinds=("tls",),
        pattern=words(r"alert handshake failure|no shared cipher|dh key too small|key too small"),
        field="client_certificate",
        sources=(
            engine(
                "the TLS handshake failed: sslv3 alert handshake failure",
                "TLS",
                "tls",
                reason="handshake",
            ),
            engine("the TLS handshake failed: dh key too small", "TLS", "tls", reason="handshake"),
        ),
    ),
    Rule(
        "tls.setup",
        _("TLS can't be set up on this machine"),
        _("A certificate, a key or an option of this site is unusable, so nothing was dialled."),
        (
            _("Correct what the error names: {place}, {place[ca_text]} or {place[tls_minimum]}."),
            _("Check that the user that runs this site may read the files."),
        ),
        reasons=("tls-setup",),
        field="client_certificate",
        sources=(
            engine(
                "TLS can't be set up: [Errno 2] No such file or directory",
                "TLS",
                "tls",
                reason="tls-setup",
            ),
        ),
    ),
    Rule(
        "tls.injected",
        _("Somebody may have written into the connection before TLS"),
        _(
            "Words came in clear behind the server's answer to STARTTLS: an attack, or a "
            "broken server."
        ),
        (
            _("Use implicit TLS (port 465) in {place}, where nothing is said in clear."),
            _("Tell whoever runs the server, and find out what stands in between."),
        ),
        reasons=("starttls-injection",),
        field="security",
        sources=(
            engine(
                "The server sent octets behind its answer to STARTTLS, outside TLS.",
                "TLS",
                "protocol",
                reason="starttls-injection",
            ),
        ),
    ),
    Rule(
        "tls.silent",
        _("The TLS handshake does not come to an end"),
        _("The port does not expect TLS at once, or something in between swallows it."),
        (
            _("Check {place}: port 465 goes with implicit TLS, 587 with STARTTLS."),
            _("Try from another network: large packets may get lost on the way (MTU)."),
        ),
        stages=("TLS",),
        kinds=("timed-out",),
        field="security",
        sources=(engine("no end of the TLS handshake", "TLS", "timed-out"),),
    ),
    Rule(
        "tls.hung-up",
        _("The server hung up in the TLS handshake"),
        _("The port does not speak TLS, or the server blocks this address or its TLS."),
        (
            _("Check {place}: port 465 goes with implicit TLS, 587 with STARTTLS."),
            _("Ask whoever runs the server whether the address of this site is blocked."),
        ),
        stages=("TLS",),
        kinds=("disconnected",),
        field="security",
        sources=(
            engine("the server hung up in the TLS handshake", "TLS", "disconnected"),
            page(
                "ConnectionResetError: [WinError 10054] An existing connection was "
                "forcibly closed by "
                "the remote host",
                "https://github.com/PacktPublishing/Django-4-by-example/issues/18",
                "TLS",
                kind="disconnected",
            ),
        ),
    ),
)
