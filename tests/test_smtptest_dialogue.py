"""`manage.py smtptest`: how far it goes, what its options say to a server, what it sends."""

import ssl
from email import message_from_bytes, policy

import pytest

from tests.servers.scripted import SILENCE, Answer, Then
from tests.smtptest_fixtures import (
    OURS,
    USERS,
    _account,  # noqa: F401
    _server,  # noqa: F401
    _site,  # noqa: F401
    ending,
    failing,
    row,
    run,
    server_options,
    words,
)

TO = "you@example.org"


@pytest.fixture
def here(site, server, certificates, settings):
    """The site's server; gives it."""
    settings.DEFAULT_FROM_EMAIL = "site@example.com"
    site.use(OURS, **server_options(server, ca_file=certificates.ca_file))
    return server


def verbs(server):
    """What was said after the log-in."""
    (connection,) = server.connections
    assert connection.finished.wait(10)
    said = connection.verbs
    return said[next(i for i, verb in enumerate(said) if verb == "AUTH") + 2 :]


# How far


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((), ["QUIT"]),
        (("--check",), ["MAIL", "RCPT", "RSET", "QUIT"]),
        (("--check", TO), ["MAIL", "RCPT", "RSET", "QUIT"]),
        (("--stop-after", "mail", TO), ["MAIL", "QUIT"]),
        (("--stop-after", "RCPT"), ["MAIL", "RCPT", "QUIT"]),
        (("--stop-after", "REUSE"), [*["MAIL", "RCPT", "RSET"] * 3, "QUIT"]),
    ],
)
def test_nothing_is_mailed_unless_it_is_asked_for(here, given, said):
    run(*given)
    assert verbs(here) == said
    assert here.messages == []


@pytest.mark.django_db
def test_a_check_names_these_addresses(here):
    text = run("--check", TO, "--from", "office@example.com")
    assert row(text, "Sender") == "office@example.com: 250 2.1.0 Sender ok (0.00 s)"
    assert row(text, "Recipient") == f"{TO}: 250 2.1.5 Recipient ok"
    assert "Nothing was sent." in text
    text, error = failing("--check", "nobody@example.org")
    assert error == "RCPT failed: nothing was sent."


@pytest.mark.django_db
def test_data_is_asked_for_only_by_its_name_and_sends_nothing(here):
    text = run("--stop-after", "DATA", TO)
    assert row(text, "DATA").startswith("354 ")
    assert here.connections[1].verbs[-1] == "DATA"
    assert here.messages == []


@pytest.mark.django_db
def test_delivery_may_be_the_end(here):
    assert run("--stop-after", "DELIVERY", TO).endswith("look among the spam.\n")
    assert len(here.messages) == 1


# What is said


@pytest.mark.django_db
def test_the_mechanisms(here):
    text = run("--mechanism", "login", "--mechanism", "PLAIN")
    assert row(text, "Log-in").startswith("LOGIN: ")


@pytest.mark.django_db
@pytest.mark.parametrize(("given", "flights"), [((), 1), (("--no-pipelining",), 3)])
def test_pipelining(site, scripted_server, given, flights):
    server = scripted_server(count_flights=True)
    site.use(OURS, host=server.host, port=server.port)
    run(TO, *given)
    of_envelope = [flight for flight in server.flights if {"MAIL", "RCPT", "DATA"} & set(flight)]
    assert len(of_envelope) == flights


@pytest.mark.django_db
@pytest.mark.parametrize(("given", "chunked"), [("--bdat", True), ("--no-bdat", False)])
def test_chunks(site, scripted_server, given, chunked):
    server = scripted_server(extensions=["CHUNKING", "PIPELINING"])
    site.use(OURS, host=server.host, port=server.port, bdat="eager")
    run(TO, given)
    assert bool(server.messages[0].chunks) == chunked


@pytest.mark.django_db
def test_names_and_addresses_of_this_side(here):
    run("--ehlo", "client.example.com", "--source", "127.0.0.1", "-4")
    assert here.connections[0].commands[0] == b"EHLO client.example.com"


@pytest.mark.django_db
def test_a_family_that_the_server_does_not_have(here, site, certificates):
    site.use(OURS, **server_options(here, host="127.0.0.1", ca_file=certificates.ca_file))
    text, error, code = ending("-6")
    assert "has no IPv6 address" in words(text)
    assert (error, code) == ("CONNECT failed: nothing was sent.", 20)


@pytest.mark.django_db
def test_lmtp(site, scripted_server):
    server = scripted_server()
    site.use(OURS, host=server.host, port=server.port)
    text = run("--lmtp", TO)
    assert server.connections[0].verbs[0] == "LHLO"
    assert "in LMTP it answers for each mailbox" in words(text)


@pytest.mark.django_db
def test_the_least_version_of_tls(site, scripted_server, certificates):
    context = certificates.server()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    server = scripted_server(ssl_context=context, users=USERS)
    site.use(OURS, **server_options(server, ca_file=certificates.ca_file))
    assert row(run(), "TLS").startswith("TLSv1.2")
    assert failing("--tls-min", "1.3")[1] == "TLS failed: nothing was sent."


def test_other_authorities_than_an_account_s(site, account, certificates, tmp_path, server):
    account.ca_text, account.password = "", "s3cr3t-pass"
    account.save()
    assert failing("--account", "club")[1] == "TLS failed: nothing was sent."
    text = run("--account", "club", "--ca", certificates.ca_file)
    assert row(text, "Log-in").startswith("CRAM-MD5: 235")
    assert row(text, "Server") == f"account club, {server.host}:{server.port}"


def test_not_to_verify_is_loud(site, account):
    account.ca_text, account.password = "", "s3cr3t-pass"
    account.save()
    for verbosity in (0, 1):
        text = words(run("--account", "club", "--no-verify", verbosity=verbosity))
        assert "WARNING: the certificate is NOT verified." in text
    assert "the certificate is NOT verified: verification is switched off" in text


@pytest.mark.django_db
def test_a_client_certificate(site, scripted_server, certificates):
    context = certificates.server()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(certificates.ca_file)
    server = scripted_server(ssl_context=context)
    site.use(OURS, host=server.host, port=server.port, security="starttls")
    shown = ("--cert", certificates.client_file, "--key", certificates.client_key_file)
    run("--ca", certificates.ca_file, *shown)
    assert server.connections[-1].tls.client_certificate


# What is sent


def sent(server):
    """The message as its reader has it."""
    (message,) = server.messages
    return message_from_bytes(message.content, policy=policy.default)


@pytest.mark.django_db
def test_the_message_in_every_part(here, tmp_path):
    (tmp_path / "page.html").write_text("<p>Grüße</p>")
    (tmp_path / "terms.pdf").write_bytes(b"%PDF-1.4")
    run(
        TO,
        *("--to", "two@example.org", "--cc", "cc@example.org", "--bcc", "bcc@example.org"),
        *("--from", "office@example.com", "--subject", "Grüße", "--body", "Hallo"),
        *("--html", f"@{tmp_path}/page.html", "--attach", f"{tmp_path}/terms.pdf"),
        *("--header", "X-Trial: a: b", "--header", "Reply-To: desk@example.com"),
    )
    assert here.messages[0].recipients == [
        TO,
        "two@example.org",
        "cc@example.org",
        "bcc@example.org",
    ]
    message = sent(here)
    assert message["Subject"] == "Grüße"
    assert message["To"] == f"{TO}, two@example.org"
    assert message["Cc"] == "cc@example.org"
    assert "bcc" not in str(message)
    assert message["X-Trial"] == "a: b"
    assert message["Reply-To"] == "desk@example.com"
    assert message.get_body(("plain",)).get_content().strip() == "Hallo"
    assert message.get_body(("html",)).get_content().strip() == "<p>Grüße</p>"
    (attachment,) = message.iter_attachments()
    assert attachment.get_filename() == "terms.pdf"
    assert attachment.get_content() == b"%PDF-1.4"


@pytest.mark.django_db
def test_a_message_from_a_file_goes_as_it_is(here, tmp_path):
    path = tmp_path / "one.eml"
    path.write_bytes(
        b"Received: by mx.example.net\r\nFrom: Jo <jo@example.com>\r\nTo: list@example.net\r\n"
        b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMessage-ID: <1@example.com>\r\n\r\n.dot\r\n"
    )
    run("--eml", str(path), TO)
    (message,) = here.messages
    assert message.content == path.read_bytes()
    assert (message.sender, message.recipients) == ("jo@example.com", [TO])


@pytest.mark.django_db
def test_the_size(here):
    run(TO, "--size", "100000")
    body = sent(here).get_content()
    assert 100_000 <= len(here.messages[0].content) < 102_000
    assert body.startswith("This is a test message")


@pytest.mark.django_db
def test_several_messages(here):
    text = run(TO, "--count", "5")
    assert row(text, "Messages").startswith("5 of 5 sent (4 more in ")
    assert len({message.content for message in here.messages}) == 5
    # One for the check, one for the others.
    assert len(here.connections) == 2


@pytest.mark.django_db
def test_some_of_several_messages_fail(site, scripted_server):
    refused = Answer(b"452 4.3.1 Out of space\r\n")
    server = scripted_server(replies={"CONTENT": [Answer(), Answer(), refused]})
    site.use(OURS, host=server.host, port=server.port)
    text, error, code = ending(TO, "--count", "4")
    assert (error, code) == ("CONTENT failed: 3 of 4 messages were sent.", 26)
    assert "3 of 4 sent" in text
    assert row(text, "FAILED").startswith("CONTENT: the server said: 452 4.3.1 Out of space")


# Exit codes


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("replies", "code", "stage"),
    [
        ({"GREETING": b"554 5.3.2 No service\r\n"}, 21, "GREETING"),
        ({"EHLO": b"550 5.7.1 No\r\n", "HELO": b"550 5.7.1 No\r\n"}, 22, "EHLO"),
        ({"STARTTLS": b"454 4.7.0 Not now\r\n"}, 29, "TLS"),
        ({"AUTH": b"535 5.7.8 No\r\n"}, 28, "AUTH"),
        ({"MAIL": b"550 5.7.1 No\r\n"}, 23, "MAIL"),
        ({"RCPT": b"550 5.7.1 No\r\n"}, 24, "RCPT"),
        ({"DATA": b"554 5.7.1 No\r\n"}, 25, "DATA"),
        ({"CONTENT": b"554 5.7.1 No\r\n"}, 26, "CONTENT"),
        # The connection is lost, and nobody refused.
        ({"MAIL": Answer(b"", Then.CLOSE)}, 6, "MAIL"),
        ({"AUTH": Answer(b"", Then.RESET)}, 6, "AUTH"),
        # The refusal counts, not that the server hung up then.
        ({"MAIL": Answer(b"550 5.7.1 No\r\n", Then.CLOSE)}, 23, "MAIL"),
        ({"AUTH": Answer(b"421 4.7.0 Too many\r\n", Then.CLOSE)}, 28, "AUTH"),
        # What became of the message is not known.
        ({"CONTENT": Answer(b"", Then.CLOSE)}, 26, "CONTENT"),
    ],
)
def test_the_exit_code_tells_the_stage(site, scripted_server, certificates, replies, code, stage):
    server = scripted_server(
        users=USERS, ssl_context=certificates.server(), mechanisms=["PLAIN"], replies=replies
    )
    site.use(OURS, **server_options(server, ca_file=certificates.ca_file))
    _text, error, got = ending(TO, "--no-pipelining")
    assert error.startswith(f"{stage} failed: ")
    assert got == code


@pytest.mark.django_db
def test_the_exit_code_of_a_silent_server_is_its_stage_s(site, scripted_server):
    server = scripted_server(replies={"MAIL": SILENCE})
    site.use(OURS, host=server.host, port=server.port, timeout=0.2)
    assert ending(TO)[1:] == ("MAIL failed: no message was sent.", 23)


@pytest.mark.django_db
def test_the_exit_code_of_a_reset_after_a_good_check(site, scripted_server):
    server = scripted_server(replies={"RSET": b"500 5.5.1 What?\r\n"})
    site.use(OURS, host=server.host, port=server.port)
    assert ending("--check")[1:] == ("RSET failed: nothing was sent.", 31)
