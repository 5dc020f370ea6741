from __future__ import annotations

import pickle
from typing import Any

import pytest

from django_smtpauth.smtp.endpoint import Endpoint
from django_smtpauth.smtp.sasl import Credentials


class Vault:
    """Holds a secret, and would tell it to whoever prints the vault."""

    def __call__(self) -> str:
        return "hunter2"

    def __repr__(self) -> str:
        return "Vault(hunter2)"


def test_the_secret_is_asked_for_and_not_kept() -> None:
    credentials = Credentials("me", Vault())

    assert credentials.secret() == "hunter2"
    assert repr(credentials) == "Credentials(username='me', kind='password')"
    assert "hunter2" not in repr(Endpoint("mx.example", credentials=credentials))


def test_credentials_are_values() -> None:
    vault = Vault()

    assert Credentials("me", vault) == Credentials("me", vault)
    assert pickle.loads(pickle.dumps(Credentials("me", str))) == Credentials("me", str)
    assert Credentials("me", vault) != Credentials("me", vault, kind="token")


def test_kinds_of_secret() -> None:
    wrong: Any = "bearer"
    with pytest.raises(ValueError, match="one of password, token, certificate, not 'bearer'"):
        Credentials("me", str, kind=wrong)


def test_a_certificate_is_no_secret() -> None:
    credentials = Credentials("", kind="certificate")

    assert credentials.secret() == ""
    assert pickle.loads(pickle.dumps(credentials)) == credentials
    with pytest.raises(ValueError, match="A certificate has no callable"):
        Credentials("me", str, kind="certificate")


@pytest.mark.parametrize("kind", ["password", "token"])
def test_every_other_kind_is_asked_for(kind: Any) -> None:
    with pytest.raises(ValueError, match=f"A {kind} needs a callable"):
        Credentials("me", kind=kind)
