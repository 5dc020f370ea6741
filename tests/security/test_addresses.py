"""Duties of the address: one parser, which parts nothing twice and is soon done."""

from __future__ import annotations

import time

import pytest
from django.core.mail import EmailMessage

from tests.backend_fixtures import message
from tests.security.attacks import generous, user_of
from tests.servers.fixtures import ServerFactory

pytestmark = pytest.mark.usefixtures("nothing_leaks")


MISROUTED = [
    '"xclow3n@gmail.com x"@internal.example',
    '"a@evil.example"@internal.example',
    '"a@evil.example, b"@internal.example',
    '"a\\"@evil.example>"@internal.example',
    '"<a@evil.example>"@internal.example',
    '"a\\\\"@internal.example',
]


@pytest.mark.parametrize("written", ["{}", "Name <{}>", '"Doe, J. @evil.example" <{}>'])
@pytest.mark.parametrize("address", MISROUTED)
def test_quoted_local_parts_misrouted(
    scripted_server: ServerFactory, address: str, written: str
) -> None:
    """The domain is what follows the closing quote, and there is one recipient."""
    server = generous(scripted_server)
    one = message(to=[written.format(address)])
    assert user_of(server).send_messages([one]) == 1
    [received] = server.accepted
    assert received.recipient_lines == [f"RCPT TO:<{address}>".encode()]
    assert list(one.smtp_result.recipients) == [address]


HUGE = 50_000
BOMBS = {
    "comments in comments": "(" * HUGE + ")" * HUGE + "a@example.org",
    "open comments": "(" * HUGE + "a@example.org",
    "quotes": '"' * HUGE + "a@example.org",
    "escapes": '"' + "\\" * HUGE + '"@example.org',
    "angles": "<" * HUGE + "a@example.org",
    "names": "a " * HUGE + "<a@example.org",
    "dots": "a." * HUGE + "@example.org",
    "ats": "a@" * HUGE + "example.org",
    "groups": "a:" * HUGE + "a@example.org",
    "labels": "a@" + "a." * HUGE + "org",
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
@pytest.mark.parametrize("place", ["from_email", "to"])
def test_quoted_local_parts_are_read_in_bounded_time(
    scripted_server: ServerFactory, bomb: str, place: str
) -> None:
    server = generous(scripted_server)
    began = time.monotonic()
    one: EmailMessage = message(**{place: bomb if place == "from_email" else [bomb]})
    with pytest.raises(ValueError, match="address"):
        user_of(server).send_messages([one])
    assert time.monotonic() - began < 2
    assert server.messages == []
