"""A client certificate whose key is a secret text: what is refused, and where the key goes."""

import copy
import datetime
import pickle
import ssl
import stat
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from django_smtpauth.secrets import client_certificate
from django_smtpauth.secrets.client_certificate import (
    ClientCertificate,
    InvalidClientCertificate,
)
from django_smtpauth.secrets.errors import SecretUnreadable
from django_smtpauth.secrets.secret import FreshSecret
from django_smtpauth.smtp import TLSError, TLSOptions, connect
from django_smtpauth.smtp.tls import Security
from tests.leaks import shown_by_trackers
from tests.smtp.network import endpoint, failure_of, statuses, transaction
from tests.smtp.x509 import made


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


class Texts:
    """Certificate and key of one client, as PEM."""

    def __init__(self, issued):
        self.certificate = "".join(pem.bytes().decode() for pem in issued.cert_chain_pems)
        self.key = issued.private_key_pem.bytes().decode()

    @property
    def secret(self):
        """A line from the middle of the key."""
        return self.key.splitlines()[2]


@pytest.fixture(scope="module")
def client(authority):
    return Texts(authority.issue_cert("client@example.org"))


@pytest.fixture(scope="module")
def other(authority):
    return Texts(authority.issue_cert("other@example.org"))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Where temporary files are made: nothing is left there."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    yield tmp_path
    assert list(tmp_path.iterdir()) == []


def encrypted(key):
    loaded = serialization.load_pem_private_key(key.encode(), None)
    return loaded.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"pass phrase"),
    ).decode()


# How the key reaches OpenSSL


class Watching(ssl.SSLContext):
    """Looks at the file before OpenSSL does."""

    failure = None

    def load_cert_chain(self, certfile, keyfile=None, password=None):
        path = Path(certfile)
        self.mode = stat.S_IMODE(path.stat().st_mode)
        self.content = path.read_bytes()
        self.pass_phrase = password
        assert keyfile is None
        if self.failure:
            raise self.failure
        super().load_cert_chain(certfile, password=password)


def watching():
    return Watching(ssl.PROTOCOL_TLS_CLIENT)


def test_the_key_passes_through_an_encrypted_file_of_this_user(client):
    context = watching()
    ClientCertificate(client.certificate, client.key).load_into(context)
    assert context.mode == 0o600
    assert context.content.startswith(client.certificate.encode())
    assert b"-----BEGIN ENCRYPTED PRIVATE KEY-----" in context.content
    for line in client.key.splitlines()[1:-1]:
        assert line.encode() not in context.content
    opened = serialization.load_pem_private_key(context.content, context.pass_phrase.encode())
    assert opened.private_numbers() == private_numbers(client.key)


def private_numbers(key):
    return serialization.load_pem_private_key(key.encode(), None).private_numbers()


def test_each_time_under_another_pass_phrase(client):
    first, second = watching(), watching()
    for context in (first, second):
        ClientCertificate(client.certificate, client.key).load_into(context)
    assert first.pass_phrase != second.pass_phrase
    assert len(first.pass_phrase) >= 43


@pytest.mark.parametrize("failure", [ssl.SSLError(1, "no"), OSError(28, "No space left")])
def test_the_file_is_removed_when_openssl_refuses_it(client, failure):
    context = watching()
    context.failure = failure
    with pytest.raises(ValueError, match="the client certificate can't be used: ") as caught:
        ClientCertificate(client.certificate, client.key).load_into(context)
    shown = shown_by_trackers(caught.value)
    assert client.secret not in shown
    assert context.pass_phrase not in shown


def test_a_file_that_is_gone_already_is_no_failure(client):
    class Removing(ssl.SSLContext):
        def load_cert_chain(self, certfile, keyfile=None, password=None):
            Path(certfile).unlink()

    ClientCertificate(client.certificate, client.key).load_into(Removing(ssl.PROTOCOL_TLS_CLIENT))


@pytest.mark.parametrize("make", [lambda: ec.generate_private_key(ec.SECP384R1()), None])
def test_kinds_of_keys(authority, make):
    kind = trustme.KeyType.RSA if make is None else trustme.KeyType.ECDSA
    texts = Texts(authority.issue_cert("client@example.org", key_type=kind))
    ClientCertificate(texts.certificate, texts.key).load_into(watching())


@pytest.mark.parametrize("implicit", [True, False])
@pytest.mark.parametrize("source", ["text", "secret", "callable"])
def test_the_server_sees_the_certificate(
    scripted_server, certificates, client, authority, monkeypatch, implicit, source
):
    """Together with the system's authorities."""
    monkeypatch.setenv("SSL_CERT_FILE", certificates.ca_file)
    context = certificates.server()
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    server = scripted_server(ssl_context=context, implicit_tls=implicit)
    key = {"text": client.key, "secret": FreshSecret(client.key), "callable": lambda: client.key}
    tls = TLSOptions(client_certificate=ClientCertificate(client.certificate, key[source]))
    security = Security.IMPLICIT_TLS if implicit else Security.STARTTLS
    message = transaction()
    with connect(endpoint(server.port, security=security, tls=tls)) as connection:
        connection.deliver([message])
    assert statuses(message) == ["accepted"]
    seen = server.connections[0].tls.client_certificate
    assert seen == ssl.PEM_cert_to_DER_cert(client.certificate)


# What can't be used


def field_and_words(certificate_text, key_text):
    with pytest.raises(InvalidClientCertificate) as caught:
        ClientCertificate(certificate_text, key_text).check()
    with pytest.raises(InvalidClientCertificate, match=caught.value.field):
        ClientCertificate(certificate_text, key_text).load_into(watching())
    assert str(caught.value).startswith(f"{caught.value.field}: ")
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.field) == (str(caught.value), caught.value.field)
    return caught.value.field, str(caught.value)


@pytest.mark.parametrize(
    ("texts", "field", "words"),
    [
        (lambda c, o: (c.certificate, o.key), "key_text", "not that of the certificate"),
        (
            lambda c, o: (o.certificate + c.certificate, c.key),
            "key_text",
            "does not come first in certificate_text",
        ),
        (lambda c, o: (c.certificate, c.certificate), "key_text", "BEGIN PRIVATE KEY"),
        (lambda c, o: (c.certificate, "ключ"), "key_text", "must be PEM"),
        (lambda c, o: (c.certificate, ""), "key_text", "must be PEM"),
        (lambda c, o: (c.certificate, lambda: b"key"), "key_text", "must be text, not bytes"),
        (lambda c, o: (c.certificate, encrypted(c.key)), "key_text", "without one"),
        (lambda c, o: ("", c.key), "certificate_text", "BEGIN CERTIFICATE"),
        (lambda c, o: ("текст", c.key), "certificate_text", "must be PEM"),
        (lambda c, o: (None, c.key), "certificate_text", "must be text, not NoneType"),
        (lambda c, o: (c.certificate[:200], c.key), "certificate_text", "must be PEM"),
        (lambda c, o: (c.certificate + c.key, c.key), "certificate_text", "holds a private key"),
    ],
)
def test_what_is_refused_names_the_field(client, other, texts, field, words):
    found, text = field_and_words(*texts(client, other))
    assert found == field
    assert words in text


def test_errors_do_not_show_the_key(client, other):
    broken = client.key.replace("-----END", client.secret + "\n-----END")
    for key in (other.key, broken, encrypted(client.key), client.key + "\ud800"):
        for use in (ClientCertificate.check, lambda one: one.load_into(watching())):
            try:
                use(ClientCertificate(client.certificate, lambda key=key: key))
            except ValueError as error:
                shown = shown_by_trackers(error)
                assert all(line not in shown for line in key.splitlines()[1:-1])


def test_a_certificate_with_an_unknown_kind_of_key(client):
    octets = made("Ed25519").public_bytes(serialization.Encoding.DER)
    strange = ssl.DER_cert_to_PEM_cert(octets.replace(b"\x2b\x65\x70", b"\x2b\x65\x01"))
    field, text = field_and_words(strange, client.key)
    assert (field, "of a kind that can't be used" in text) == ("certificate_text", True)


def test_no_error_at_all_shows_the_key(client, monkeypatch):
    def broken(_):
        raise RuntimeError("out of order")

    monkeypatch.setattr(client_certificate, "BestAvailableEncryption", broken)
    with pytest.raises(RuntimeError, match="out of order") as caught:
        ClientCertificate(client.certificate, lambda: client.key).load_into(watching())
    assert client.secret not in shown_by_trackers(caught.value)


def test_a_certificate_that_fits_passes(client):
    assert ClientCertificate(client.certificate, client.key).check() is None


def test_an_expired_certificate_is_a_warning(authority, caplog):
    now = datetime.datetime.now(datetime.timezone.utc)
    day = datetime.timedelta(days=1)
    texts = Texts(
        authority.issue_cert("client@example.org", not_before=now - 2 * day, not_after=now - day)
    )
    ClientCertificate(texts.certificate, texts.key).load_into(watching())
    [record] = caplog.records
    assert record.levelname == "WARNING"
    assert f"expired on {now - day:%Y-%m-%d %H:%M} UTC" in record.getMessage()


def test_a_key_of_no_use_for_certificates(client):
    pem = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    assert field_and_words(client.certificate, pem.decode())[0] == "key_text"


def test_the_error_reaches_the_sender_with_its_field(scripted_server, certificates, client, other):
    server = scripted_server(ssl_context=certificates.server())
    tls = TLSOptions(client_certificate=ClientCertificate(client.certificate, other.key))
    error = failure_of(server.port, security=Security.STARTTLS, tls=tls)
    assert isinstance(error, TLSError)
    assert "TLS can't be set up: key_text: the key is not that of the certificate" in str(error)
    assert other.secret not in shown_by_trackers(error)


def test_a_key_that_can_not_be_opened_is_its_own_error(client):
    def sealed():
        raise SecretUnreadable("Enter the secret again.", reason="mismatch")

    with pytest.raises(SecretUnreadable):
        TLSOptions(client_certificate=ClientCertificate(client.certificate, sealed)).context()


# As a value


def test_equal_by_certificate_and_key(client, other):
    def key():
        return client.key

    text = ClientCertificate(client.certificate, client.key)
    assert text == ClientCertificate(client.certificate, client.key)
    assert hash(text) == hash(ClientCertificate(client.certificate, client.key))
    assert text != ClientCertificate(client.certificate, other.key)
    assert text != ClientCertificate(other.certificate, client.key)
    assert ClientCertificate(client.certificate, key) == ClientCertificate(client.certificate, key)
    assert text != client.certificate


def test_contexts_with_different_keys_never_mix(authority, client, other):
    keys = [client.key]
    tls = TLSOptions(client_certificate=ClientCertificate(client.certificate, lambda: keys[0]))
    first = tls.context()
    assert tls.context() is first
    # Another key of the same name: the old context is not used for it.
    keys[0] = other.key
    with pytest.raises(InvalidClientCertificate):
        tls.context()
    keys[0] = client.key
    assert tls.context() is first
    text = ClientCertificate(client.certificate, client.key)
    same = ClientCertificate(client.certificate, client.key)
    assert (
        TLSOptions(client_certificate=text).context()
        is TLSOptions(client_certificate=same).context()
    )


def test_it_shows_nothing_and_is_not_pickled(client):
    one = ClientCertificate(client.certificate, client.key)
    assert repr(one) == str(one) == "<ClientCertificate>"
    assert client.secret not in repr(TLSOptions(client_certificate=one))
    with pytest.raises(TypeError, match="can't be pickled"):
        pickle.dumps(one)
    # Settings are copied now and then.
    assert copy.deepcopy({"OPTIONS": one})["OPTIONS"] is one
    assert copy.copy(one) is one
