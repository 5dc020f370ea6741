"""The snippets of the page on TLS do what the page says."""

from __future__ import annotations

import re
import shutil
import ssl
import subprocess

import pytest
import trustme

from django_smtpauth.certificates import explain
from django_smtpauth.sending.mailer import MailerOptions, backend_options, endpoint
from django_smtpauth.smtp.tls import pin_of
from tests.backend_fixtures import _fresh_process, mail_settings  # noqa: F401
from tests.smtp.x509 import CERTIFICATE
from tests.test_certificates import DAY, NOW, OURS, failed, issued
from tests.test_docs import ROOT, snippets

PAGE = ROOT / "docs/tls.md"
PYTHON = snippets(PAGE, "python")
OPTIONS = [code for code in PYTHON if "OPTIONS = {" in code]


def code_with(words: str) -> str:
    [code] = [code for code in PYTHON if words in code]
    return code


def options_of(code: str) -> MailerOptions:
    issued = trustme.CA().issue_cert("site@example.org")
    vault = {
        "certificate": issued.cert_chain_pems[0].bytes().decode(),
        "key": issued.private_key_pem.bytes().decode(),
    }
    names = {"read_from_vault": vault.__getitem__}
    exec(code, names)
    return backend_options(names["OPTIONS"])


@pytest.mark.parametrize("code", OPTIONS)
def test_options_can_be_written_like_this(code):
    options = options_of(code)
    assert endpoint(options).host == "smtp.example.com"
    if options.client_certificate:
        options.client_certificate.check()


def test_there_are_as_many_as_the_page_has():
    assert len(OPTIONS) == 5
    assert len(options_of(code_with("tls_pin")).tls_pin) == 2


def test_the_certificate_of_an_error(
    scripted_server,
    mail_settings,  # noqa: F811
    certificates,
    capsys,
):
    server = scripted_server(ssl_context=certificates.self_signed())
    mail_settings(host="localhost", port=server.port, security="starttls")
    exec(code_with("read_chain"), {})
    told = capsys.readouterr().out
    assert told.startswith("CN=localhost ('localhost',) ")
    assert "sha256//" in told


def test_asking_for_a_pin(scripted_server, certificates, capsys):
    server = scripted_server(ssl_context=certificates.self_signed())
    code = code_with("connection.tls.pin").replace(
        '"smtp.example.com"', f'"localhost", {server.port}'
    )
    exec(code, {})
    assert capsys.readouterr().out.startswith("sha256//")
    assert not server.messages


@pytest.mark.skipif(not shutil.which("openssl"), reason="the command openssl is not here")
def test_a_pin_from_a_certificate(tmp_path):
    [command] = snippets(PAGE, "sh")
    (tmp_path / "server.pem").write_text(ssl.DER_cert_to_PEM_cert(CERTIFICATE))
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, check=True)
    assert f"sha256//{done.stdout.decode().strip()}" == pin_of(CERTIFICATE)


def test_the_sentences_of_the_table_are_the_real_ones():
    rows = re.findall(r"^\| (it .*?|its .*?) \|", PAGE.read_text(), re.M)
    two_days_ago = NOW - 2 * DAY
    errors = [
        failed(62, issued(names=["mail.example.org", "*.example.net"])),
        failed(10, issued(after=NOW - 9 * DAY, until=two_days_ago)),
        failed(18, issued()),
        failed(20, issued(issuer="Example CA")),
    ]
    for row, error in zip(rows, errors, strict=True):
        assert explain(error, NOW).startswith(OURS + row.replace("\\*", "*"))
