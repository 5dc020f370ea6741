"""What smtptest advises, by the error and by the server that was tried."""

import pytest

from django_smtpauth.diagnosis.advice import advise
from django_smtpauth.sending.accounts import Account
from django_smtpauth.sending.guard import NotAllowed
from django_smtpauth.sending.mailer import MailerOptions
from django_smtpauth.sending.routing import Route, Rule
from django_smtpauth.smtp.endpoint import Endpoint
from django_smtpauth.smtp.errors import (
    AuthenticationRefused,
    ConnectError,
    HelloRefused,
    NotSupported,
    RecipientsRefused,
    SenderRefused,
    TimedOut,
    TLSError,
)
from django_smtpauth.smtp.replies import Reply
from django_smtpauth.smtp.sasl.credentials import Credentials
from django_smtpauth.smtp.tls import Security

ACCOUNT = Account(uuid=None, slug="club", host="smtp.example.com")
LOG_IN = Credentials("club", lambda: "secret")
TOKEN = Credentials("club", lambda: "secret", kind="token")
CERTIFICATE = Credentials("club", kind="certificate")


def route(
    host="smtp.example.com",
    port=587,
    security="starttls",
    account=None,
    log_in=LOG_IN,
    protocol="smtp",
):
    endpoint = Endpoint(host, port, Security(security), credentials=log_in, protocol=protocol)
    return Route(account, MailerOptions(), Rule.SETTINGS, endpoint)


LOCAL_LMTP = route("localhost", 24, security="none", log_in=None, protocol="lmtp")


def certificate_error(code):
    return TLSError(stage="TLS", reason="certificate", verify_code=code)


@pytest.mark.parametrize(
    ("error", "tried", "expected"),
    [
        (ConnectError(stage="CONNECT", reason="dns"), route(), "spelling of smtp.example.com"),
        (TimedOut(stage="CONNECT"), route(port=25), "providers block port 25"),
        (ConnectError(stage="CONNECT"), route(), "587 (STARTTLS) and 465 (implicit TLS)"),
        (ConnectError(stage="CONNECT"), route("localhost", account=ACCOUNT), "no firewall"),
        (ConnectError(stage="CONNECT"), route("localhost", 25), "That is where Django sends"),
        (
            ConnectError(stage="CONNECT", reason="proxy"),
            route("localhost", 25),
            "lets this site connect to localhost:25",
        ),
        (
            ConnectError(stage="CONNECT"),
            route("/run/smtp", security="none"),
            "a mail server listens at /run/smtp",
        ),
        (ConnectError(stage="CONNECT"), LOCAL_LMTP, "LMTP has no port of its own"),
        (
            HelloRefused(stage="EHLO", reply=Reply(500)),
            LOCAL_LMTP,
            "does not speak LMTP. Choose SMTP with the option protocol.",
        ),
        (
            HelloRefused(stage="EHLO", reply=Reply(502)),
            route(account=ACCOUNT),
            "choose LMTP in the account.",
        ),
        (
            NotSupported(stage="EHLO", reply=Reply(500), reason="no-esmtp"),
            route(),
            "choose LMTP with the option protocol.",
        ),
        (RecipientsRefused(reply=Reply(550)), LOCAL_LMTP, "its own mailboxes only"),
        (ConnectError(stage="CONNECT", reason="source-address"), route("::1"), "source_address"),
        (NotAllowed(reason="port", cure="Or: X", settings="X"), route(account=ACCOUNT), "Or:"),
        (TimedOut(stage="GREETING"), route(port=465), "use security 'implicit_tls'"),
        (TLSError(stage="TLS", reason="certificate"), route(), "with the option ca_file"),
        (
            TLSError(stage="TLS", reason="certificate"),
            route(account=ACCOUNT),
            "in the account's field for it",
        ),
        (certificate_error(20), route(), "with the option ca_file"),
        (certificate_error(18), route(), "trust_store 'os'"),
        (certificate_error(62), route(), "names in the place of smtp.example.com"),
        (certificate_error(64), route(), "names in the place of smtp.example.com"),
        (certificate_error(10), route(), "has to renew its certificate"),
        (certificate_error(9), route(), "the clock of this machine"),
        (TLSError(stage="TLS", reason="pin"), route(), "add the new pin to the option tls_pin"),
        (NotSupported(stage="AUTH", cure="Use TLS."), route(), "Use TLS."),
        (AuthenticationRefused(reply=Reply(535)), route(), "an app password"),
        (AuthenticationRefused(reply=Reply(535)), route(log_in=TOKEN), "expired or revoked"),
        (
            AuthenticationRefused(reply=Reply(535)),
            route(log_in=CERTIFICATE),
            "knows its authority",
        ),
        (AuthenticationRefused(reply=Reply(454)), route(), "Try again later"),
        (SenderRefused(reply=Reply(530)), route(log_in=None), "give user name and password"),
        (SenderRefused(reply=Reply(530)), route(log_in=None, security="none"), "'starttls'"),
        (SenderRefused(sender="a@b.example", reply=Reply(550)), route(), "let a@b.example send"),
        (RecipientsRefused(reply=Reply(550)), route(), "Connection and log-in are fine"),
        (RecipientsRefused(reply=Reply(550)), route(log_in=None), "Without a log-in"),
    ],
)
def test_a_rule_speaks(error, tried, expected):
    assert expected in advise(error, tried).text


@pytest.mark.parametrize(
    ("error", "tried"),
    [
        (TimedOut(stage="GREETING"), route(port=465, security="implicit_tls")),
        (TimedOut(stage="GREETING"), route(port=587)),
        (HelloRefused(stage="EHLO", reply=Reply(550)), route()),
        (SenderRefused(reply=Reply(450)), route()),
        (RecipientsRefused(reply=Reply(450)), route()),
    ],
)
def test_where_no_rule_knows_the_failure_the_error_speaks(error, tried):
    assert advise(error, tried).text == ""
    error.cure = "Do this."
    assert advise(error, tried).text == "Do this."


def test_other_errors_bring_no_advice():
    assert advise(ValueError("no address"), route()).text == ""
