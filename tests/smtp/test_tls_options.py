"""Client certificates, pins, authorities from elsewhere: what TLSOptions can say, over sockets."""

from __future__ import annotations

import pickle
import ssl
from collections.abc import Hashable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trustme

from django_smtpauth.smtp import PeerFacts, Security, TLSError, TLSOptions, connect
from django_smtpauth.smtp.channel import chain_of
from django_smtpauth.smtp.tls import pin_of, read_pin
from tests.servers.certificates import Certificates
from tests.servers.fixtures import ServerFactory
from tests.servers.scripted import ScriptedServer
from tests.smtp.network import endpoint, failure_of, statuses, transaction
from tests.smtp.x509 import CERTIFICATE

pytestmark = pytest.mark.usefixtures("nothing_leaks")

BOTH = pytest.mark.parametrize("security", [Security.IMPLICIT_TLS, Security.STARTTLS])
VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])


@pytest.fixture(autouse=True)
def _certificates_first(certificates: Certificates) -> None:
    """Before the descriptors are counted."""


def started(
    scripted_server: ServerFactory, security: Security, context: ssl.SSLContext
) -> ScriptedServer:
    return scripted_server(ssl_context=context, implicit_tls=security is Security.IMPLICIT_TLS)


def wanting_a_certificate(certificates: Certificates) -> ssl.SSLContext:
    """A server that lets in whom the authority knows."""
    context = certificates.server()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(certificates.ca_file)
    return context


def facts_of(server: ScriptedServer, **options: Any) -> PeerFacts:
    """Sends a message; the facts of its connection."""
    message = transaction()
    with connect(endpoint(server.port, **options)) as connection:
        connection.deliver([message])
        assert connection.tls is not None
    assert statuses(message) == ["accepted"]
    return connection.tls


def client_of(server: ScriptedServer) -> bytes | None:
    facts = server.connections[0].tls
    assert facts is not None
    return facts.client_certificate


def der_of(path: str) -> bytes:
    text = Path(path).read_text()
    return ssl.PEM_cert_to_DER_cert(text[text.index("-----BEGIN CERT") :].strip())


# -- client certificates


@BOTH
@pytest.mark.parametrize("authorities", ["the system's", "an own file", "an own text"])
def test_a_client_certificate_together_with_authorities(
    scripted_server: ServerFactory,
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
    security: Security,
    authorities: str,
) -> None:
    """The client shows itself, and the server is verified all the same."""
    files = {
        "certificate_file": certificates.client_file,
        "key_file": certificates.client_key_file,
        # Contexts are kept; the system's authorities are asked once.
        "minimum": "1.3" if security is Security.STARTTLS else "1.2",
    }
    if authorities == "the system's":
        monkeypatch.setenv("SSL_CERT_FILE", certificates.ca_file)
        tls = TLSOptions(**files)
    elif authorities == "an own file":
        tls = TLSOptions(ca_file=certificates.ca_file, **files)
    else:
        tls = TLSOptions(ca_text=certificates.ca_pem, **files)
    server = started(scripted_server, security, wanting_a_certificate(certificates))
    facts_of(server, security=security, tls=tls)
    assert client_of(server) == der_of(certificates.client_file)

    stranger = started(scripted_server, security, certificates.other_ca())
    error = failure_of(stranger.port, security=security, tls=tls)
    assert isinstance(error, TLSError)
    assert error.reason == "certificate"


class FromElsewhere:
    """A client certificate that the engine does not load itself."""

    def __init__(self, certificates: Certificates, version: int = 1) -> None:
        self.certificates = certificates
        self.version = version
        self.loads = 0

    def identity(self) -> Hashable:
        return self.version

    def load_into(self, context: ssl.SSLContext) -> None:
        self.loads += 1
        files = self.certificates
        context.load_cert_chain(files.client_file, files.client_key_file)


@BOTH
def test_a_client_certificate_from_elsewhere(
    scripted_server: ServerFactory, certificates: Certificates, security: Security
) -> None:
    source = FromElsewhere(certificates)
    tls = TLSOptions(ca_file=certificates.ca_file, client_certificate=source)
    server = started(scripted_server, security, wanting_a_certificate(certificates))
    facts_of(server, security=security, tls=tls)
    assert client_of(server) == der_of(certificates.client_file)
    assert "FromElsewhere" not in repr(tls)


def test_contexts_with_different_client_certificates_never_mix(certificates: Certificates) -> None:
    one, other = FromElsewhere(certificates), FromElsewhere(certificates)
    first = TLSOptions(client_certificate=one).context()
    assert TLSOptions(client_certificate=one).context() is first
    assert TLSOptions(client_certificate=other).context() is not first
    assert TLSOptions().context() is not first
    one.version = 2
    assert TLSOptions(client_certificate=one).context() is not first
    assert (one.loads, other.loads) == (2, 1)


def test_a_client_certificate_that_can_not_be_had(
    scripted_server: ServerFactory, certificates: Certificates
) -> None:
    class Nowhere(FromElsewhere):
        def load_into(self, context: ssl.SSLContext) -> None:
            raise ValueError("key_text: it is no key")

    server = started(scripted_server, Security.STARTTLS, certificates.server())
    tls = TLSOptions(client_certificate=Nowhere(certificates))
    error = failure_of(server.port, security=Security.STARTTLS, tls=tls)
    assert error.message == "TLS can't be set up: key_text: it is no key"
    assert (error.stage, error.reason) == ("TLS", "tls-setup")


def test_a_key_that_is_not_the_certificate_s(certificates: Certificates, tmp_path: Path) -> None:
    stranger = tmp_path / "key.pem"
    certificates_key = trustme.CA().issue_cert("a.example").private_key_pem
    certificates_key.write_to_path(stranger)
    tls = TLSOptions(certificate_file=certificates.client_file, key_file=str(stranger))
    with pytest.raises(ValueError, match=r"client\.pem and .*key\.pem.* is not the certificate's"):
        tls.context()


def test_a_client_certificate_that_is_no_pem(tmp_path: Path) -> None:
    path = tmp_path / "client.pem"
    path.write_text("no certificate")
    with pytest.raises(ValueError, match=r"client\.pem can't be used: .* must be PEM"):
        TLSOptions(certificate_file=str(path)).context()


@pytest.mark.parametrize("options", [{"ca_file": __file__}, {"ca_text": "nothing"}])
def test_authorities_that_are_no_pem(options: dict[str, str]) -> None:
    named = options.get("ca_file", "the text of the authorities")
    with pytest.raises(ValueError, match=f"{named} has no PEM certificate"):
        TLSOptions(**options).context()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"certificate_file": "a.pem"}, "client_certificate can't stand with certificate_file"),
        ({"key_file": "a.pem"}, "client_certificate can't stand with certificate_file"),
    ],
)
def test_one_client_certificate_only(
    certificates: Certificates, options: dict[str, Any], named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        TLSOptions(client_certificate=FromElsewhere(certificates), **options)


# -- authorities that the engine does not know


def os_like(certificates: Certificates) -> Any:
    def new_context() -> ssl.SSLContext:
        return ssl.create_default_context(cafile=certificates.ca_file)

    return new_context


@BOTH
def test_a_context_from_elsewhere(
    scripted_server: ServerFactory, certificates: Certificates, security: Security
) -> None:
    tls = TLSOptions(new_context=os_like(certificates), minimum="1.3")
    server = started(scripted_server, security, certificates.server())
    facts_of(server, security=security, tls=tls)
    assert tls.context().minimum_version is ssl.TLSVersion.TLSv1_3
    stranger = started(scripted_server, security, certificates.other_ca())
    assert failure_of(stranger.port, security=security, tls=tls).reason == "certificate"


@pytest.mark.parametrize("options", [{"ca_file": "ca.pem"}, {"ca_text": "PEM"}])
def test_authorities_of_one_kind_only(certificates: Certificates, options: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="new_context can't stand with ca_file or ca_text"):
        TLSOptions(new_context=os_like(certificates), **options)


@pytest.mark.parametrize("words", ["the system says no", ""])
def test_a_context_that_verifies_in_its_own_way(
    scripted_server: ServerFactory, certificates: Certificates, words: str
) -> None:
    """Its error may lack what OpenSSL's always has."""

    class Verifying(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            error = ssl.SSLCertVerificationError("sent no certificates")
            if words:
                error.verify_message, error.verify_code = words, 7
            raise error

    def new_context() -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=certificates.ca_file)
        context.sslobject_class = Verifying
        return context

    server = started(scripted_server, Security.IMPLICIT_TLS, certificates.server())
    tls = TLSOptions(new_context=new_context)
    error = failure_of(server.port, security=Security.IMPLICIT_TLS, tls=tls)
    assert isinstance(error, TLSError)
    assert (error.reason, error.verify_code) == ("certificate", 7 if words else 0)
    assert f"does not verify: {words or 'sent no certificates'}" in str(error)
    assert error.certificate


def test_neither_compression_nor_renegotiation(certificates: Certificates) -> None:
    for tls in (TLSOptions(), TLSOptions(new_context=os_like(certificates))):
        for option in (ssl.OP_NO_COMPRESSION, ssl.OP_NO_RENEGOTIATION):
            assert tls.context().options & option


# -- pins


@BOTH
@VERSIONS
@pytest.mark.parametrize("kind", ["server", "expired", "wrong_host", "other_ca", "self_signed"])
def test_a_pin_in_the_place_of_verification(
    scripted_server: ServerFactory,
    certificates: Certificates,
    security: Security,
    version: ssl.TLSVersion,
    kind: str,
) -> None:
    context = getattr(certificates, kind)()
    context.maximum_version = version
    server = started(scripted_server, security, context)
    anything = TLSOptions(verify=False)
    pin = facts_of(server, security=security, tls=anything).pin
    facts_of(server, security=security, tls=TLSOptions(verify=False, pins=(pin,)))
    other = pin_of(CERTIFICATE)
    error = failure_of(server.port, security=security, tls=TLSOptions(verify=False, pins=(other,)))
    assert isinstance(error, TLSError)
    assert error.reason == "pin"
    assert pin in str(error)
    server.settle()
    # Not a word inside TLS.
    verbs = [] if security is Security.IMPLICIT_TLS else ["EHLO", "STARTTLS"]
    assert server.connections[-1].verbs == verbs


@BOTH
def test_a_pin_does_not_replace_verification(
    scripted_server: ServerFactory, certificates: Certificates, security: Security
) -> None:
    server = started(scripted_server, security, certificates.other_ca())
    pin = facts_of(server, security=security, tls=TLSOptions(verify=False)).pin
    tls = TLSOptions(ca_file=certificates.ca_file, pins=(pin,))
    assert failure_of(server.port, security=security, tls=tls).reason == "certificate"


DIGEST = "AbCd/+" * 7 + "A="


@pytest.mark.parametrize(
    ("text", "pin"),
    [
        (f"sha256//{DIGEST}", f"sha256//{DIGEST}"),
        (f"sha256/{DIGEST}", f"sha256//{DIGEST}"),
        # The digest itself may begin with a slash.
        (f"sha256//{'A' * 42}A=", f"sha256//{'A' * 42}A="),
        (f"sha256/{'/' + 'A' * 42}=", f"sha256//{'/' + 'A' * 42}="),
        (f"sha256//{'/' + 'A' * 42}=", f"sha256//{'/' + 'A' * 42}="),
        # Bits that base64 does not use.
        (f"sha256//{'A' * 42}B=", f"sha256//{'A' * 42}A="),
    ],
)
def test_how_a_pin_is_written(text: str, pin: str) -> None:
    assert read_pin(text) == pin
    assert TLSOptions(pins=(text,)).pins == (pin,)


@pytest.mark.parametrize(
    "text",
    ["", DIGEST, f"sha1//{DIGEST}", f"sha256//{DIGEST[2:]}", f"sha256//{'a' * 64}", "sha256//"],
)
def test_what_is_no_pin(text: str) -> None:
    with pytest.raises(ValueError, match="44 characters of base64"):
        TLSOptions(pins=(text,))


# -- what a failed handshake shows


@BOTH
@VERSIONS
@pytest.mark.parametrize(
    ("kind", "code"), [("expired", 10), ("wrong_host", 64), ("other_ca", 20), ("self_signed", 18)]
)
def test_the_certificate_that_did_not_verify(
    scripted_server: ServerFactory,
    certificates: Certificates,
    security: Security,
    version: ssl.TLSVersion,
    kind: str,
    code: int,
) -> None:
    context = getattr(certificates, kind)()
    context.maximum_version = version
    server = started(scripted_server, security, context)
    shown = facts_of(server, security=security, tls=TLSOptions(verify=False))
    tls = TLSOptions(ca_file=certificates.ca_file)
    error = failure_of(server.port, security=security, tls=tls)
    assert isinstance(error, TLSError)
    assert error.certificate == shown.certificate == shown.chain[0]
    assert (error.verify_code, error.host) == (code, "127.0.0.1")
    again = pickle.loads(pickle.dumps(error))
    assert (again.certificate, again.chain) == (error.certificate, error.chain)
    assert "chain" not in repr(error) + repr(shown)


@BOTH
def test_a_chain_of_several(scripted_server: ServerFactory, security: Security) -> None:
    root = trustme.CA()
    between = root.create_child_ca()
    issued = between.issue_cert("127.0.0.1")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    issued.configure_cert(context)
    chain = tuple(ssl.PEM_cert_to_DER_cert(pem.bytes().decode()) for pem in issued.cert_chain_pems)
    server = started(scripted_server, security, context)
    tls = TLSOptions(ca_text=root.cert_pem.bytes().decode())
    assert facts_of(server, security=security, tls=tls).chain == chain
    unknown = TLSOptions(ca_text=trustme.CA().cert_pem.bytes().decode())
    error = failure_of(server.port, security=security, tls=unknown)
    assert isinstance(error, TLSError)
    assert error.chain == chain
    assert len(chain) == 2


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("names", [["127.0.0.2", "mx.example"], ["::1"]])
def test_addresses_and_names_are_compared(
    scripted_server: ServerFactory, host: str, names: list[str]
) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*names).configure_cert(context)
    server = started(scripted_server, Security.IMPLICIT_TLS, context)
    tls = TLSOptions(ca_text=authority.cert_pem.bytes().decode())
    error = failure_of(server.port, host=host, security=Security.IMPLICIT_TLS, tls=tls)
    assert isinstance(error, TLSError)
    assert error.verify_code == (64 if host == "127.0.0.1" else 62)
    assert f"of {host} does not verify" in str(error)


def test_a_failure_before_any_certificate(scripted_server: ServerFactory) -> None:
    error = failure_of(scripted_server().port, security=Security.IMPLICIT_TLS)
    assert isinstance(error, TLSError)
    assert (error.chain, error.certificate, error.verify_code) == ((), None, 0)
    assert error.host == "127.0.0.1"


def in_pem() -> str:
    return ssl.DER_cert_to_PEM_cert(CERTIFICATE)


def chain_source(chain: Any) -> Any:
    return SimpleNamespace(get_unverified_chain=lambda: chain)


@pytest.mark.parametrize(
    ("tls", "chain"),
    [
        (chain_source([CERTIFICATE]), (CERTIFICATE,)),
        (chain_source([]), ()),
        # Before Python 3.13.
        (
            SimpleNamespace(
                _sslobj=chain_source([SimpleNamespace(public_bytes=in_pem)]),
            ),
            (CERTIFICATE,),
        ),
        (SimpleNamespace(_sslobj=chain_source(None)), ()),
        # Where nothing of this exists, or it is of another shape.
        (SimpleNamespace(), ()),
        (chain_source([SimpleNamespace(public_bytes=lambda: "no PEM")]), ()),
        (chain_source([SimpleNamespace()]), ()),
    ],
)
def test_chains_of_every_python(tls: Any, chain: tuple[bytes, ...]) -> None:
    assert chain_of(tls) == chain


# -- opportunistic


@pytest.mark.parametrize("offered", [True, False])
def test_opportunistic(
    scripted_server: ServerFactory, certificates: Certificates, offered: bool
) -> None:
    server = scripted_server(**({"ssl_context": certificates.server()} if offered else {}))
    message = transaction()
    tls = TLSOptions(ca_file=certificates.ca_file)
    with connect(endpoint(server.port, security=Security.OPPORTUNISTIC, tls=tls)) as connection:
        connection.deliver([message])
        assert (connection.tls is not None) is offered
    assert statuses(message) == ["accepted"]


def test_opportunistic_verifies_as_it_is_told(
    scripted_server: ServerFactory, certificates: Certificates
) -> None:
    server = scripted_server(ssl_context=certificates.self_signed())
    error = failure_of(server.port, security=Security.OPPORTUNISTIC)
    assert error.reason == "certificate"
    assert not server.accepted
    facts = facts_of(server, security=Security.OPPORTUNISTIC, tls=TLSOptions(verify=False))
    assert facts.certificate
