"""What runs tests on other databases: in CI an absent server never looks like a success."""

import pytest

from tests.databases.__main__ import SERVERS, main


@pytest.mark.parametrize(("ci", "status"), [("", 0), ("true", 1)])
@pytest.mark.parametrize("name", sorted(SERVERS.keys() - {"sqlite"}))
def test_a_server_that_is_absent(name, ci, status, monkeypatch, capsys):
    monkeypatch.setenv("CI", ci)
    variable = f"SMTPAUTH_INTEROP_{name.upper()}"
    monkeypatch.delenv(variable, raising=False)
    assert main([name, "--", "tests/databases"]) == status
    assert capsys.readouterr().out == f"{name}: skipped, {variable} does not say where it is\n"


@pytest.mark.parametrize(("arguments", "status"), [(["--version"], 0), (["--no-such-option"], 1)])
def test_the_status_is_that_of_the_tests(arguments, status, capfd):
    assert main(["sqlite", "--", *arguments]) == status
