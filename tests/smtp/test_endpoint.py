from __future__ import annotations

import pytest

from django_smtpauth.smtp.endpoint import Endpoint
from django_smtpauth.smtp.tls import Security


@pytest.mark.parametrize(
    ("endpoint", "address", "name"),
    [
        (Endpoint("mx"), ("mx", 587), "mx:587"),
        (Endpoint("mx", security=Security.IMPLICIT_TLS), ("mx", 465), "mx:465"),
        (Endpoint("mx", security=Security.NONE), ("mx", 25), "mx:25"),
        (Endpoint("mx", 2525), ("mx", 2525), "mx:2525"),
        (Endpoint("2001:db8::1", 25), ("2001:db8::1", 25), "[2001:db8::1]:25"),
        (Endpoint("/run/mx", security=Security.NONE), ("/run/mx", 0), "/run/mx"),
        (Endpoint("/run/mx", 25, security=Security.NONE), ("/run/mx", 0), "/run/mx"),
        (Endpoint("mx", label="account club, mx:587"), ("mx", 587), "account club, mx:587"),
    ],
)
def test_where_to_dial_and_what_to_call_it(
    endpoint: Endpoint, address: tuple[str, int], name: str
) -> None:
    assert endpoint.address == address
    assert endpoint.name == name
