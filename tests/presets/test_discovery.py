"""Discovery against a real DNS server on loopback. Nobody else is asked."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from django_smtpauth.presets.discovery import (
    MAX_SERVERS,
    Discovered,
    DiscoveryFailed,
    Record,
    discover,
)
from django_smtpauth.smtp import Security
from tests.presets.dns_server import BROKEN, SILENT, DNSServer

SUBMISSIONS = "_submissions._tcp.example.com SRV"
SUBMISSION = "_submission._tcp.example.com SRV"
MX = "example.com MX"
#: Seconds for what is answered at once, and for what is never answered.
AMPLE, SHORT = 20.0, 0.4

Serve = Callable[..., DNSServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    with ExitStack() as servers:
        yield lambda zone: servers.enter_context(DNSServer(zone))


def found(server: DNSServer, address: str = "name@example.com") -> tuple[Discovered, ...]:
    return discover(address, seconds=AMPLE, resolver=server.resolver())


def hosts(server: DNSServer) -> list[tuple[str, int]]:
    return [(one.server.host, one.server.port) for one in found(server)]


def test_tls_from_the_start_comes_before_starttls(serve: Serve) -> None:
    server = serve(
        {
            SUBMISSIONS: ["0 1 465 mail.example.com."],
            SUBMISSION: ["0 1 587 mail.example.com."],
        }
    )
    (one,) = found(server)
    assert (one.server.host, one.server.port) == ("mail.example.com", 465)
    assert one.server.security is Security.IMPLICIT_TLS
    assert one.record is Record.SUBMISSIONS
    assert server.asked == [SUBMISSIONS]


def test_starttls_if_nothing_else_is_named(serve: Serve) -> None:
    (one,) = found(serve({SUBMISSION: ["0 1 587 mail.example.com."], MX: ["10 mx.example.com."]}))
    assert (one.server.host, one.server.port) == ("mail.example.com", 587)
    assert one.server.security is Security.STARTTLS
    assert one.record is Record.SUBMISSION


def test_the_lowest_priority_comes_first(serve: Serve) -> None:
    records = ["20 0 465 c.example.com.", "0 0 465 a.example.com.", "10 0 465 b.example.com."]
    assert hosts(serve({SUBMISSIONS: records})) == [
        ("a.example.com", 465),
        ("b.example.com", 465),
        ("c.example.com", 465),
    ]


def test_weights_draw_lots_among_equals(serve: Serve) -> None:
    """Each is in front by its share: of 60 draws the light one wins more than 10 with p < 1e-9."""
    server = serve({SUBMISSIONS: ["0 1 465 light.example.com.", "0 65535 465 heavy.example.com."]})
    first = Counter(hosts(server)[0][0] for _ in range(60))
    assert first["heavy.example.com"] >= 50
    equal = serve({SUBMISSIONS: ["0 5 465 a.example.com.", "0 5 465 b.example.com."]})
    assert {hosts(equal)[0][0] for _ in range(60)} == {"a.example.com", "b.example.com"}


def test_a_dot_says_that_there_is_no_such_service(serve: Serve) -> None:
    server = serve({SUBMISSIONS: ["0 0 0 ."], SUBMISSION: ["0 1 587 mail.example.com."]})
    assert hosts(server) == [("mail.example.com", 587)]


def test_after_a_dot_nothing_is_guessed_from_mail_exchangers(serve: Serve) -> None:
    server = serve({SUBMISSION: ["0 0 0 ."], MX: ["1 aspmx.l.google.com."]})
    assert found(server) == ()
    assert MX not in server.asked


@pytest.mark.parametrize(
    ("exchanger", "slug"),
    [
        ("aspmx.l.google.com.", "google-workspace"),
        ("SMTP.Google.COM.", "google-workspace"),
        ("example-com.mail.protection.outlook.com.", "microsoft-365"),
        ("example-com.olc.protection.outlook.com.", "outlook-com"),
        ("in1-smtp.messagingengine.com.", "fastmail"),
        ("mx01.mail.icloud.com.", "icloud"),
        ("mx.zoho.eu.", "zoho-eu"),
        ("mta7.am0.yahoodns.net.", "yahoo"),
        ("mx-aol.mail.gm0.yahoodns.net.", "aol"),
        ("mx00.kundenserver.de.", "ionos-de"),
        ("www123.your-server.de.", "hetzner"),
        ("mxbiz1.qq.com.", "tencent-exmail"),
    ],
)
def test_mail_exchangers_tell_where_a_domain_is_hosted(
    serve: Serve, exchanger: str, slug: str
) -> None:
    server = serve({MX: [f"10 {exchanger}"]})
    (one,) = found(server)
    assert one.preset is not None
    assert one.preset.slug == slug
    assert one.server == one.preset.server
    assert one.record is Record.MX
    assert one.outside
    assert server.asked == [SUBMISSIONS, SUBMISSION, MX]


@pytest.mark.parametrize("exchanger", ["mx.example.com.", "mx.notgoogle.com.", "google.com.evil."])
def test_an_unknown_mail_exchanger_tells_nothing(serve: Serve, exchanger: str) -> None:
    assert found(serve({MX: [f"10 {exchanger}"]})) == ()


def test_the_preferred_mail_exchanger_decides(serve: Serve) -> None:
    records = ["20 aspmx.l.google.com.", "10 in1-smtp.messagingengine.com.", "5 mx.example.com."]
    (one,) = found(serve({MX: records}))
    assert one.preset is not None
    assert one.preset.slug == "fastmail"


@pytest.mark.parametrize(
    ("target", "outside"),
    [
        ("mail.example.com.", False),
        ("Mail.EXAMPLE.com.", False),
        ("a.b.example.com.", False),
        ("mail.example.net.", True),
        ("mail.notexample.com.", True),
        ("example.com.example.net.", True),
    ],
)
def test_a_server_outside_of_the_domain_is_told(serve: Serve, target: str, outside: bool) -> None:
    (one,) = found(serve({SUBMISSIONS: [f"0 1 465 {target}"]}))
    assert one.outside is outside


def test_a_server_that_a_preset_knows_brings_the_preset(serve: Serve) -> None:
    records = ["0 1 465 smtp.fastmail.com.", "1 1 465 mail.example.com."]
    known, own = found(serve({SUBMISSIONS: records}))
    assert known.preset is not None
    assert known.preset.slug == "fastmail"
    assert own.preset is None


def test_a_domain_without_any_record_names_nothing(serve: Serve) -> None:
    assert found(serve({})) == ()
    assert found(serve({"example.com TXT": ['"x"']})) == ()


@pytest.mark.parametrize(
    "target",
    ["1.2.3.4.", "localhost.", r"a\000b.example.com.", r"a\010b.example.com.", "-.example.com."],
)
def test_a_target_that_is_no_host_name_is_left_out(serve: Serve, target: str) -> None:
    server = serve({SUBMISSIONS: [f"0 1 465 {target}", "1 1 465 mail.example.com."]})
    assert hosts(server) == [("mail.example.com", 465)]


def test_a_port_of_zero_is_left_out(serve: Serve) -> None:
    assert hosts(serve({SUBMISSIONS: ["0 1 0 mail.example.com."]})) == []


def test_no_answer_is_longer_than_anybody_reads(serve: Serve) -> None:
    records = [f"{number} 1 465 mail{number}.example.com." for number in range(20)]
    assert hosts(serve({SUBMISSIONS: records})) == [
        (f"mail{number}.example.com", 465) for number in range(MAX_SERVERS)
    ]


@pytest.mark.parametrize(
    "address", ["name@bücher.example", "name@BÜCHER.example", "name@xn--bcher-kva.example"]
)
def test_an_international_domain_is_asked_for_as_a_labels(serve: Serve, address: str) -> None:
    server = serve({"_submissions._tcp.xn--bcher-kva.example SRV": ["0 1 465 mx.example.net."]})
    (one,) = found(server, address)
    assert one.server.host == "mx.example.net"


def test_nobody_learns_who_is_looking(serve: Serve) -> None:
    server = serve({})
    discover("secret.name+tag@example.com", seconds=AMPLE, resolver=server.resolver())
    assert server.asked == [SUBMISSIONS, SUBMISSION, MX]


@pytest.mark.parametrize("silent", [SUBMISSIONS, SUBMISSION, MX])
def test_silence_ends_in_time_for_all_questions_together(serve: Serve, silent: str) -> None:
    server = serve({silent: SILENT})
    start = time.monotonic()
    with pytest.raises(DiscoveryFailed, match=r"did not answer about .*example\.com: "):
        discover("name@example.com", seconds=SHORT, resolver=server.resolver())
    assert time.monotonic() - start < SHORT + 5


def test_no_question_is_asked_after_the_end(serve: Serve) -> None:
    server = serve({})
    with pytest.raises(DiscoveryFailed, match="in time"):
        discover("name@example.com", seconds=0, resolver=server.resolver())
    assert server.asked == []


def test_a_failure_does_not_lead_to_a_lesser_record(serve: Serve) -> None:
    """Whoever can break an answer can't bring STARTTLS in the place of TLS from the start."""
    server = serve({SUBMISSIONS: BROKEN, SUBMISSION: ["0 1 587 mail.example.com."]})
    with pytest.raises(DiscoveryFailed, match="SERVFAIL"):
        found(server)
    assert SUBMISSION not in server.asked


@pytest.mark.parametrize("text", ["", "example.com", "@example.com", "name@", "name@a b"])
def test_what_is_no_address_is_refused_before_any_question(serve: Serve, text: str) -> None:
    server = serve({})
    with pytest.raises(ValueError, match="no e-mail address"):
        found(server, text)
    assert server.asked == []


WITHOUT_DNSPYTHON = """
import sys
sys.modules["dns"] = None
from django_smtpauth.presets import for_address
from django_smtpauth.presets.discovery import DiscoveryUnavailable, discover
assert for_address("name@gmail.com").slug == "gmail"
try:
    discover("name@example.com")
except DiscoveryUnavailable as error:
    assert "pip install 'django-smtpauth[discovery]'" in str(error), error
else:
    raise AssertionError("discover() worked without dnspython")
"""


def test_without_dnspython_it_says_what_to_install() -> None:
    """In a process of its own, where the package can't be imported."""
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_DNSPYTHON], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
