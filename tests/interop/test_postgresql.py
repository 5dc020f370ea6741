"""SCRAM bound to the TLS connection, before a server of other people: it says who is right."""

from __future__ import annotations

import pytest

from django_smtpauth.smtp.sasl import MECHANISMS, ChannelBinding, Login
from django_smtpauth.smtp.sasl.binding import server_end_point
from tests.interop.postgresql import LOGIN, PASSWORD, PostgreSQL, RefusedError, Session

pytestmark = pytest.mark.interop

BOUND, UNBOUND = MECHANISMS["SCRAM-SHA-256-PLUS"], MECHANISMS["SCRAM-SHA-256"]


def login(session: Session, password: str = PASSWORD) -> Login:
    binding = server_end_point(session.certificate)
    assert binding is not None
    return Login(LOGIN, password, channel_binding=binding)


@pytest.mark.proves("SCRAM-SHA-256-PLUS", by="PostgreSQL 15")
def test_bound(postgresql: PostgreSQL) -> None:
    with postgresql.session() as session:
        assert session.offered == ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]
        assert session.authenticate(BOUND, login(session))


def test_not_bound(postgresql: PostgreSQL) -> None:
    with postgresql.session() as session:
        assert session.authenticate(UNBOUND, Login(LOGIN, PASSWORD))


def test_a_wrong_password(postgresql: PostgreSQL) -> None:
    failed = pytest.raises(RefusedError, match="password authentication failed")
    with postgresql.session() as session, failed:
        session.authenticate(BOUND, login(session, "wrong"))


def test_bound_to_another_connection(postgresql: PostgreSQL) -> None:
    """As the server sees it when somebody sits between the two with a certificate of his own."""
    other = ChannelBinding("tls-server-end-point", b"x" * 32)
    with postgresql.session() as session, pytest.raises(RefusedError, match="channel binding"):
        session.authenticate(BOUND, Login(LOGIN, PASSWORD, channel_binding=other))


def test_the_offer_of_binding_was_taken_away(postgresql: PostgreSQL) -> None:
    """We could bind and were not offered it: the server, which had, sees the attack."""
    with postgresql.session() as session, pytest.raises(RefusedError, match="channel binding"):
        session.authenticate(UNBOUND, login(session))
