"""Duties of the command line: what a caller, a user or an editor typed stays one argument."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from django_smtpauth.sending.options import DSN, MessageOptions, RecipientOptions
from django_smtpauth.sending.passwords import Password
from django_smtpauth.sending.proxies import Proxy, dial_through
from django_smtpauth.smtp import (
    Content,
    Envelope,
    Recipient,
    SenderOptions,
    SMTPError,
    Transaction,
    connect,
)
from tests.backend_fixtures import PASSWORD, USER, backend_for, message
from tests.security.attacks import EVIL, GENEROUS, assert_not_injected, generous, user_of
from tests.servers.fixtures import ServerFactory
from tests.servers.proxies import HTTPProxy, Socks5Proxy
from tests.servers.scripted import ScriptedServer
from tests.smtp.network import CREDENTIALS, endpoint

pytestmark = pytest.mark.usefixtures("nothing_leaks")

BREAKS = ["\r\n", "\n", "\r", "\0", "\x0b", "\x1f", "\x7f"]
#: Line ends of Unicode, which some encodings and some parsers take for one.
WIDE_BREAKS = ["\x85", "\u2028", "\u2029"]
CONTENT = Content.of(b"Subject: hello\r\n\r\nbody\r\n")

Attack = Callable[[ScriptedServer, str], Any]


def mail(**fields: Any) -> Attack:
    """A message one field of which is the attacker's."""

    def attack(server: ScriptedServer, text: str) -> None:
        filled = {name: make(text) for name, make in fields.items()}
        options = filled.pop("smtp_options", None)
        one = message(**filled)
        if options is not None:
            one.smtp_options = options
        user_of(server).send_messages([one])

    return attack


def option(name: str, make: Callable[[str], Any] = str) -> Attack:
    """An option of the backend."""

    def attack(server: ScriptedServer, text: str) -> None:
        user_of(server, **{name: make(text)}).send_messages([message()])

    return attack


def engine(**changes: Callable[[str], Any]) -> Attack:
    """The endpoint, without the backend's own checks."""

    def attack(server: ScriptedServer, text: str) -> None:
        made = {name: make(text) for name, make in changes.items()}
        connect(endpoint(server.port, credentials=CREDENTIALS, **made)).close()

    return attack


def envelope(make: Callable[[str], Envelope]) -> Attack:
    """The envelope, without composition."""

    def attack(server: ScriptedServer, text: str) -> None:
        one = Transaction(make(text), CONTENT)
        with connect(endpoint(server.port, credentials=CREDENTIALS)) as connection:
            connection.deliver([one])
        if one.error is not None:
            raise one.error

    return attack


def for_one(**options: Any) -> MessageOptions:
    return MessageOptions(recipient_options={"to@example.org": RecipientOptions(**options)})


REFUSED: dict[str, Attack] = {
    "from": mail(from_email=lambda t: f"a{t}@example.com"),
    "from, behind the address": mail(from_email=lambda t: f"a@example.com{t}"),
    "from, the name": mail(from_email=lambda t: f"A {t} <a@example.com>"),
    "to": mail(to=lambda t: [f"a@example.org{t}"]),
    "to, quoted": mail(to=lambda t: [f'"a{t}"@example.org']),
    "cc": mail(cc=lambda t: [f"a{t}@example.org"]),
    "bcc": mail(bcc=lambda t: [f"a@exam{t}ple.org"]),
    "reply_to": mail(reply_to=lambda t: [f"a{t}@example.org"]),
    "subject": mail(subject=lambda t: f"a{t}"),
    "header": mail(headers=lambda t: {"X-Any": f"a{t}"}),
    "header, its name": mail(headers=lambda t: {f"X-Any{t}": "a"}),
    "envid": mail(smtp_options=lambda t: MessageOptions(dsn=DSN(envid=f"a{t}"))),
    "notify": mail(smtp_options=lambda t: MessageOptions(dsn=DSN(notify=(f"NEVER{t}",)))),
    "ret": mail(smtp_options=lambda t: MessageOptions(dsn=DSN(ret=f"HDRS{t}"))),
    "submitter": mail(smtp_options=lambda t: MessageOptions(submitter=f"a{t}@example.com")),
    "parameter": mail(smtp_options=lambda t: MessageOptions(parameters={"MT-PRIORITY": t})),
    "parameter, its name": mail(smtp_options=lambda t: MessageOptions(parameters={f"X{t}": None})),
    "parameter of RCPT": mail(smtp_options=lambda t: for_one(parameters={"MT-PRIORITY": t})),
    "whose options": mail(
        smtp_options=lambda t: MessageOptions(
            recipient_options={f"to@example.org{t}": RecipientOptions()}
        )
    ),
    "EHLO name": option("ehlo_name", "client{}.test".format),
    "host": option("host", "127.0.0.1{}".format),
    "mechanism": option("auth_mechanisms", lambda t: [f"PLAIN{t}"]),
    "the engine's EHLO name": engine(ehlo_name="client{}.test".format),
    "the engine's mechanism": engine(auth_mechanisms=lambda t: (f"PLAIN{t}",)),
    "the engine's sender": envelope(lambda t: Envelope.of(f"a{t}@example.org", ["b@x.test"])),
    "the engine's recipient": envelope(lambda t: Envelope.of("a@x.test", [f"b@x.test{t}"])),
    "the engine's AUTH=": envelope(
        lambda t: Envelope(
            "a@x.test", (Recipient("b@x.test"),), options=SenderOptions(auth=f"a{t}@x.test")
        )
    ),
}

#: What may hold anything, since it travels encoded.
ENCODED: dict[str, Attack] = {
    "orcpt": mail(smtp_options=lambda t: for_one(orcpt=f"a{t}")),
    "orcpt, with its type": mail(smtp_options=lambda t: for_one(orcpt=f"x-kind;a{t}@example.org")),
    "orcpt, not ASCII": mail(smtp_options=lambda t: for_one(orcpt=f"ä{t}@example.org")),
    "user name": option("username", "club{}".format),
    "password": option("password", "secret{}".format),
    "body": mail(body=lambda t: f"a{t}\n"),
}


@pytest.mark.parametrize("line_end", [*BREAKS, *WIDE_BREAKS], ids=ascii)
@pytest.mark.parametrize("attack", REFUSED.values(), ids=REFUSED.keys())
def test_crlf_in_command_arguments(
    scripted_server: ServerFactory, attack: Attack, line_end: str
) -> None:
    """An error before anything of the message is sent, not a cleaned-up text."""
    server = generous(scripted_server)
    with pytest.raises((ValueError, SMTPError)):
        attack(server, f"{line_end}{EVIL}")
    server.settle()
    assert_not_injected(server)
    assert server.messages == []
    assert not any(b"MAIL" in line or b"RCPT" in line for line in server.commands)


@pytest.mark.parametrize("line_end", [*BREAKS, *WIDE_BREAKS], ids=ascii)
@pytest.mark.parametrize("attack", ENCODED.values(), ids=ENCODED.keys())
def test_crlf_in_what_travels_encoded(
    scripted_server: ServerFactory, attack: Attack, line_end: str
) -> None:
    server = generous(scripted_server)
    try:
        attack(server, f"{line_end}X {EVIL}")
    except (ValueError, SMTPError):
        assert server.messages == []
    server.settle()
    assert_not_injected(server)


@pytest.mark.parametrize("line_end", [*BREAKS, *WIDE_BREAKS, " ", "/", "@"], ids=ascii)
@pytest.mark.parametrize("kind", [HTTPProxy, Socks5Proxy])
def test_crlf_in_what_a_proxy_is_told(kind: type[Any], line_end: str) -> None:
    """The target of CONNECT is the server's name, which an account's editor may have typed."""
    target = f"mx.test:25 HTTP/1.1{line_end}{EVIL}: x{line_end}"
    with kind() as proxy:
        name = "http" if kind is HTTPProxy else "socks5"
        known = Proxy(name, proxy.host, proxy.port, "", Password(""))
        with pytest.raises(SMTPError, match="no name that a proxy could look up"):
            connect(endpoint(25, host=target), dial=partial(dial_through, known))
    assert proxy.requests == []


PROXY_URLS = [
    "http://proxy.test:3128{}X-Evil: 1",
    "http://user{}:word@127.0.0.1:3128",
    "http://user:word{}@127.0.0.1:3128",
    "socks5://user:word{}@127.0.0.1:1080",
]


@pytest.mark.parametrize("shape", PROXY_URLS)
@pytest.mark.parametrize("line_end", ["\r\n", "%0d%0a", "%0A", "%00", "\u2028"], ids=ascii)
def test_crlf_in_a_proxy_s_url(scripted_server: ServerFactory, shape: str, line_end: str) -> None:
    server = scripted_server()
    with pytest.raises(ValueError, match="proxy") as caught:
        backend_for(server, proxy=shape.format(line_end))
    assert "word" not in str(caught.value).replace("password", "")


# -- characters of which half is a line end

#: U+760D U+760A and U+010D U+010A end in the octets of CR and LF, U+FF1E looks like ">".
NARROWED = ["\u760d\u760a", "\u010d\u010a", "\u0d0a\u0a0d", "\uff0d\uff0a"]


@pytest.mark.parametrize("wide", NARROWED, ids=ascii)
@pytest.mark.parametrize("utf8", [True, False])
def test_wide_characters_are_not_narrowed_to_line_ends(
    scripted_server: ServerFactory, wide: str, utf8: bool
) -> None:
    extensions = [word for word in GENEROUS if utf8 or word != "SMTPUTF8"]
    server = scripted_server(extensions=extensions, users={USER: PASSWORD})
    local = f"a{wide}{EVIL}"
    fields: list[dict[str, Any]] = [
        {"from_email": f"{local}@example.com"},
        {"to": [f"{local}@example.org"]},
        {"bcc": [f"{local}@example.org"]},
    ]
    for one in [message(**changed) for changed in fields]:
        if utf8:
            assert user_of(server).send_messages([one]) == 1
        else:
            with pytest.raises(SMTPError, match="SMTPUTF8"):
                user_of(server).send_messages([one])
    assert_not_injected(server)
    addressed = [line for line in server.commands if EVIL.encode() in line]
    assert len(addressed) == (3 if utf8 else 0)
    assert all(f"<{local}@example.".encode() in line for line in addressed)


@pytest.mark.parametrize("wide", NARROWED, ids=ascii)
def test_wide_characters_in_header_and_body(scripted_server: ServerFactory, wide: str) -> None:
    server = scripted_server(extensions=GENEROUS, users={USER: PASSWORD})
    text = f"a{wide}{EVIL}: x{wide}."
    one = message(
        subject=text,
        body=text,
        from_email=f"a{wide}{EVIL} <a@example.com>",
        headers={"X-Any": text},
    )
    one.attach(f"{text}.txt", text, "text/plain")
    assert user_of(server).send_messages([one]) == 1
    assert_not_injected(server)
    [received] = server.accepted
    assert received.sender == "a@example.com"


WIDE_OPTIONS: dict[str, Attack] = {
    "envid": REFUSED["envid"],
    "parameter": REFUSED["parameter"],
    "submitter": REFUSED["submitter"],
    "EHLO name": REFUSED["EHLO name"],
    "the engine's EHLO name": REFUSED["the engine's EHLO name"],
}


@pytest.mark.parametrize("wide", NARROWED, ids=ascii)
@pytest.mark.parametrize("attack", WIDE_OPTIONS.values(), ids=WIDE_OPTIONS.keys())
def test_wide_characters_where_ascii_is_wanted(
    scripted_server: ServerFactory, attack: Attack, wide: str
) -> None:
    server = generous(scripted_server)
    with pytest.raises(ValueError, match=r"ASCII|UTF-8"):
        attack(server, f"{wide}{EVIL}")
    assert not any(EVIL.encode() in line for line in server.commands)
    assert server.messages == []


# -- addresses

SMUGGLED = [
    "a@example.org> SIZE=1",
    "a@example.org>SIZE=1",
    "a@example.org SIZE=1",
    "a@example.org NOTIFY=NEVER",
    "a@example.org> NOTIFY=SUCCESS ORCPT=rfc822;b@x.test",
    "a b@example.org",
    "a>b@example.org",
    "a<b@example.org",
    "a@exam ple.org",
    "a@exam>ple.org",
    "a@[127.0.0.1]> SIZE=1",
    "a@[127.0.0.1> SIZE=1]",
    "@relay.test:a@example.org",
    "a@example.org,b@example.org",
    "a@example.org\uff1e SIZE=1",
    '"a"> SIZE=1 <"b"@example.org',
    '"a@example.org> SIZE=1',
]


ADDRESSED: dict[str, Attack] = {
    "from": mail(from_email=str),
    "to": mail(to=lambda address: [address]),
    "bcc": mail(bcc=lambda address: [address]),
    "the engine's sender": envelope(lambda address: Envelope.of(address, ["b@x.test"])),
    "the engine's recipient": envelope(lambda address: Envelope.of("a@x.test", [address])),
}


@pytest.mark.parametrize("address", SMUGGLED, ids=ascii)
@pytest.mark.parametrize("place", ADDRESSED)
def test_parameters_smuggled_through_addresses(
    scripted_server: ServerFactory, address: str, place: str
) -> None:
    server = generous(scripted_server)
    with pytest.raises(ValueError, match="address"):
        ADDRESSED[place](server, address)
    assert not any(line.startswith((b"MAIL", b"RCPT")) for line in server.commands)


WORDS = [" SIZE=1", "> SIZE=1", ">", "\xa0SIZE=1", "=1", "+41", "ä", "\U0001f600"]
#: What says it, and in which command it would stand.
OPTIONS: dict[str, tuple[Attack, bytes]] = {
    "envid": (REFUSED["envid"], b"MAIL"),
    "submitter": (REFUSED["submitter"], b"MAIL"),
    "ret": (REFUSED["ret"], b"MAIL"),
    "parameter": (REFUSED["parameter"], b"MAIL"),
    "parameter, its name": (REFUSED["parameter, its name"], b"MAIL"),
    "notify": (REFUSED["notify"], b"RCPT"),
    "parameter of RCPT": (REFUSED["parameter of RCPT"], b"RCPT"),
    "whose options": (REFUSED["whose options"], b"RCPT"),
    "orcpt": (ENCODED["orcpt"], b"RCPT"),
    "orcpt, with its type": (ENCODED["orcpt, with its type"], b"RCPT"),
}


@pytest.mark.parametrize("words", WORDS, ids=ascii)
@pytest.mark.parametrize("place", OPTIONS)
def test_parameters_smuggled_through_options(
    scripted_server: ServerFactory, place: str, words: str
) -> None:
    """One value is one word, without anything that has a meaning in the command."""
    server = generous(scripted_server)
    attack, verb = OPTIONS[place]
    try:
        attack(server, words)
    except ValueError:
        assert server.commands == []
        return
    encoded = place in ("envid", "submitter", "orcpt", "orcpt, with its type")
    # A value that RFC 5321 4.1.2 allows stands as it is.
    assert encoded or (place.startswith("parameter") and words in (">", "+41"))
    [line] = [line for line in server.commands if line.startswith(verb)]
    _, _, parameters = line.partition(b">")
    own = [word for word in parameters.split() if not word.startswith((b"SIZE=", b"BODY="))]
    assert len(own) == 1
    assert re.fullmatch(rb"[A-Z-]+=(?:[!-*,-<>-~]|\+[0-9A-F]{2})+", own[0])
    assert parameters.isascii()
    assert parameters.count(b"SIZE=") == (verb == b"MAIL")


@pytest.mark.parametrize("domain", ["ex\uff1eample.org", "ex\u2100ample.org", "ex\uff20x.test"])
def test_parameters_smuggled_through_look_alikes(
    scripted_server: ServerFactory, domain: str
) -> None:
    """What IDNA makes of a domain is looked at once more."""
    server = generous(scripted_server)
    with pytest.raises(ValueError, match="address"):
        user_of(server).send_messages([message(to=[f"a@{domain}"])])
    assert server.messages == []


@pytest.mark.parametrize(
    "address",
    ['"a> SIZE=1"@example.org', '"a\\"> NOTIFY=NEVER"@example.org', '"> <b@x.test"@example.org'],
)
def test_parameters_inside_quotes_stay_there(scripted_server: ServerFactory, address: str) -> None:
    server = generous(scripted_server)
    assert user_of(server).send_messages([message(to=[address])]) == 1
    [line] = [line for line in server.commands if line.startswith(b"RCPT")]
    assert line == f"RCPT TO:<{address}>".encode()
