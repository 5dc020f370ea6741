"""Failures of access tokens and client certificates."""

from __future__ import annotations

from typing import Final

from django.utils.translation import gettext_lazy as _

from .rule import Rule, engine, exim, page, postfix, words

_AUTH = ("AUTH",)

TOKENS: Final = (
    Rule(
        "auth.consent-lost",
        _("The permission to send for this mailbox is gone"),
        _(
            "The refresh token no longer works: it was revoked, the password changed, it "
            "was not used "
            "for months, or the application is in testing, where it lasts a week."
        ),
        (
            _("Let the owner of {place} grant access anew, and store the new refresh token."),
            _("Publish the application at the provider if it is still in testing."),
        ),
        pattern=words(r"invalid_grant|Token has been expired or revoked"),
        field="username",
        link="https://developers.google.com/identity/protocols/oauth2#expiration",
        sources=(
            page(
                "google.auth.exceptions.RefreshError: ('invalid_grant: Token has been expired or "
                'revoked.\', \'{\\n  "error": "invalid_grant"}\')',
                "https://github.com/dolfim/django-gmailapi-backend/issues/9",
                "AUTH",
            ),
        ),
    ),
    Rule(
        "auth.token-scope",
        _("The access token lacks the scope for SMTP"),
        _("Whoever granted it did not allow sending mail."),
        (
            _("Ask for the scope that the server names, and let {place} grant access anew."),
            _("For Google it is https://mail.google.com/, for Microsoft SMTP.Send."),
        ),
        stages=_AUTH,
        pattern=words(r"insufficient_scope|invalid_scope|the token lacks a scope"),
        field="username",
        sources=(
            engine(
                "the server does not take the token: insufficient_scope (the token lacks a "
                "scope); "
                "scope https://mail.google.com/",
                "AUTH",
                "refused",
                code=535,
                log_in="token",
            ),
        ),
    ),
    Rule(
        "auth.token-expired",
        _("The access token is not valid any more"),
        _("It is expired or revoked, or was issued for another user or server."),
        (
            _("Fetch a new access token: they last about an hour."),
            _("Check that {place} is the mailbox that it was issued for."),
        ),
        stages=_AUTH,
        pattern=words(r"the token is expired|token is no longer valid|invalid_token"),
        field="username",
        sources=(
            engine(
                "the server does not take the token: 401 (the token is expired, revoked, "
                "or not for "
                "this user or server); scope mail; schemes bearer",
                "AUTH",
                "refused",
                code=535,
                log_in="token",
            ),
        ),
    ),
    Rule(
        "auth.token-refused",
        _("The server does not take this access token"),
        _(
            "It may be expired or revoked, issued for another mailbox, or without the "
            "scope for SMTP; "
            "many providers also switch SMTP log-in off until an administrator allows it."
        ),
        (
            _("Fetch a new access token, and check its scope."),
            _("Check that {place} is the mailbox that it was issued for."),
            _("Let an administrator allow SMTP log-in for the mailbox."),
        ),
        stages=_AUTH,
        kinds=("refused",),
        log_ins=("token",),
        field="username",
        sources=(
            postfix(
                "535 5.7.8 Error: authentication failed: (reason unavailable)",
                "AUTH",
                log_in="token",
            ),
        ),
    ),
    Rule(
        "auth.no-client-certificate",
        _("There is no client certificate to log in with"),
        _("The account logs in with a certificate (EXTERNAL), and TLS has none to show."),
        (
            _("Enter a certificate and its key in {place}."),
            _("Or choose another log-in in {place[authentication]}."),
        ),
        reasons=("no-client-certificate",),
        field="client_certificate",
        sources=(
            engine(
                "there is no TLS with a client certificate",
                "AUTH",
                "not-supported",
                reason="no-client-certificate",
            ),
        ),
    ),
    Rule(
        "auth.certificate-refused",
        _("The server does not take this client certificate"),
        _("It does not know its authority, or the certificate is not for this user."),
        (
            _("Check that the server knows the authority of {place}."),
            _("Check that {place[username]}, if it is given, belongs to the certificate."),
        ),
        stages=_AUTH,
        kinds=("refused",),
        log_ins=("certificate",),
        field="client_certificate",
        sources=(exim("535 Incorrect authentication data", "AUTH", log_in="certificate"),),
    ),
)
